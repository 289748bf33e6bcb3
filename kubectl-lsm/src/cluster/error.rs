//! Why the cluster gave no answer, in one sentence with what to do.
//!
//! In: an error of the client, and what was asked. Out: an [`Error`].

use lsm_ready_crds::ExitCode;
use lsm_ready_crds::text::{printable, truncate};

/// Maximum length of what an API server says, in characters.
const MAX_MESSAGE_CHARS: usize = 500;

/// A request, for messages and for the rule that allows it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Asked {
    /// For example `list`.
    pub verb: &'static str,
    /// For example `lsmready.io`. Empty for the core group.
    pub group: &'static str,
    /// For example `lsmnodes`.
    pub resource: &'static str,
}

impl Asked {
    /// A request to list objects.
    pub const fn list(group: &'static str, resource: &'static str) -> Self {
        Self { verb: "list", group, resource }
    }

    /// A request to get one object.
    pub const fn get(group: &'static str, resource: &'static str) -> Self {
        Self { verb: "get", group, resource }
    }

    /// The rule of a role that allows it.
    fn rule(self) -> String {
        let Self { verb, group, resource } = self;
        let group = if group.is_empty() { "\"\"" } else { group };
        format!("{{apiGroups: [{group}], resources: [{resource}], verbs: [{verb}]}}")
    }

    /// The resource with its group, or the group alone.
    fn name(self) -> String {
        match (self.resource, self.group) {
            ("", group) => format!("the API group {group}"),
            (resource, "") => resource.to_owned(),
            (resource, group) => format!("{resource}.{group}"),
        }
    }
}

/// Why the cluster gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("no kubeconfig: {0}. Name a file with --kubeconfig, or set KUBECONFIG")]
    NoKubeconfig(String),
    #[error("cannot use the kubeconfig {0}: {1}")]
    KubeconfigFile(String, String),
    #[error("the kubeconfig names no current context: choose one with --context")]
    NoContext,
    #[error("no {what} {name:?} in the kubeconfig{}", did_you_mean(.near))]
    NotInKubeconfig { what: &'static str, name: String, near: Vec<String> },
    #[error("cannot use the kubeconfig: {0}")]
    Kubeconfig(String),
    #[error(
        "cannot reach the API server {server}: {cause}. Check the context (kubectl config \
         current-context) and the network"
    )]
    Unreachable { server: String, cause: String },
    #[error("the API server {0} does not accept your credentials: log in again")]
    Unauthorized(String),
    #[error(
        "you may not {verb} {name}: ask an administrator for a role with the rule {rule}{hint}",
        verb = .0.verb, name = .0.name(), rule = .0.rule(), hint = hint(*.0)
    )]
    Forbidden(Asked),
    #[error(
        "lsm-ready is not installed in this cluster: it has no CRDs of lsmready.io. Install it \
         (docs/install.md), or choose another cluster with --context"
    )]
    NotInstalled,
    #[error(
        "the cluster does not serve {name} in version v1alpha1 (it serves: {}): use the version of \
         the plugin that belongs to the installed lsm-ready, or apply its CRDs again",
        if .served.is_empty() { "none".to_owned() } else { .served.join(", ") }
    )]
    NotServed { name: String, served: Vec<String> },
    #[error("invalid selector {0:?}: write for example pool=blue,zone!=a ({1})")]
    Selector(String, String),
    #[error("no {what} {name:?}{}", did_you_mean(.near))]
    NotFound { what: &'static str, name: String, near: Vec<String> },
    #[error("the API server did not answer in time to {} {}: try again, or give it more time with \
         --request-timeout", .0.verb, .0.name())]
    Timeout(Asked),
    #[error(
        "the API server's answer to {verb} {name} is invalid: {1}", verb = .0.verb, name = .0.name()
    )]
    Answer(Asked, String),
    #[error("the list of {0} changed faster than it could be read: try again")]
    Expired(String),
}

fn did_you_mean(near: &[String]) -> String {
    if near.is_empty() { String::new() } else { format!("; did you mean {}?", near.join(" or ")) }
}

/// The role in config/rbac that has the rule.
fn hint(asked: Asked) -> &'static str {
    if asked.group == lsm_ready_crds::names::GROUP {
        " (ClusterRole lsm-ready-viewer has it)"
    } else {
        ""
    }
}

impl Error {
    /// The exit code. What the caller corrects in the command line is wrong use.
    pub const fn code(&self) -> ExitCode {
        match self {
            Self::KubeconfigFile(..)
            | Self::NoContext
            | Self::NotInKubeconfig { .. }
            | Self::Selector(..)
            | Self::NotFound { .. } => ExitCode::WrongUse,
            Self::NoKubeconfig(_)
            | Self::Kubeconfig(_)
            | Self::Unreachable { .. }
            | Self::Unauthorized(_)
            | Self::Forbidden(_)
            | Self::NotInstalled
            | Self::NotServed { .. }
            | Self::Timeout(_)
            | Self::Answer(..)
            | Self::Expired(_) => ExitCode::CannotBeJudged,
        }
    }

    /// What an error of the client means for that request.
    pub fn of(error: &kube::Error, asked: Asked, server: &str) -> Self {
        let kube::Error::Api(status) = error else {
            return Self::of_transport(error, asked, server);
        };
        match status.code {
            401 => Self::Unauthorized(server.to_owned()),
            403 => Self::Forbidden(asked),
            404 => Self::NotServed { name: asked.name(), served: Vec::new() },
            410 => Self::Expired(asked.name()),
            504 => Self::Timeout(asked),
            _ => Self::Answer(asked, shorten(&status.message)),
        }
    }

    fn of_transport(error: &kube::Error, asked: Asked, server: &str) -> Self {
        match error {
            kube::Error::SerdeError(error) => Self::Answer(asked, shorten(&error.to_string())),
            kube::Error::Auth(error) => Self::Kubeconfig(cause(error)),
            _ => {
                let cause = cause(error);
                if cause.contains("timed out") || cause.contains("deadline") {
                    return Self::Timeout(asked);
                }
                Self::Unreachable { server: server.to_owned(), cause }
            }
        }
    }
}

/// The innermost cause, which says what really happened, in one line.
pub fn cause(error: &(dyn std::error::Error + 'static)) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    shorten(&cause.to_string())
}

/// The text in one bounded line.
pub fn shorten(text: &str) -> String {
    truncate(&printable(text, usize::MAX), MAX_MESSAGE_CHARS)
}

#[cfg(test)]
mod tests {
    use kube::core::Status;

    use super::*;

    fn api(code: u16) -> kube::Error {
        kube::Error::Api(Box::new(
            Status::failure("it\nsays\u{1b}[2J no", "Reason").with_code(code),
        ))
    }

    #[test]
    fn each_failure_is_one_line_with_what_to_do() {
        let asked = Asked::list("lsmready.io", "lsmnodes");
        for (code, words) in [
            (401, "log in again"),
            (403, "{apiGroups: [lsmready.io], resources: [lsmnodes], verbs: [list]}"),
            (404, "does not serve lsmnodes.lsmready.io"),
            (410, "try again"),
            (504, "--request-timeout"),
            (500, "invalid: it⏎says"),
        ] {
            let error = Error::of(&api(code), asked, "https://one");
            let said = error.to_string();
            assert!(said.contains(words), "{said}");
            assert!(!said.contains(['\n', '\u{1b}']), "{said}");
            assert_eq!(error.code(), ExitCode::CannotBeJudged);
        }
    }

    #[test]
    fn the_core_group_is_written_as_roles_write_it() {
        let said = Error::Forbidden(Asked::list("", "nodes")).to_string();
        assert!(said.contains(r#"you may not list nodes"#), "{said}");
        assert!(said.contains(r#"{apiGroups: [""], resources: [nodes], verbs: [list]}"#), "{said}");
    }
}

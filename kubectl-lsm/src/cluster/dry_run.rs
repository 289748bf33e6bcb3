//! Asks the API server whether it would accept an object.

use kube::api::{Patch, PatchParams};
use kube::core::Request;
use lsm_ready_crds::text::{printable, truncate};
use lsm_ready_tetragon::tracing_policy::{GROUP, KINDS};
use serde::Serialize;
use serde_json::Value;

use crate::cluster::{Cluster, error};

/// The field manager in the dry run. Nothing is written under it.
const FIELD_MANAGER: &str = "kubectl-lsm-ready";

/// Maximum length of an API server's answer in a message, in characters.
const MAX_MESSAGE_CHARS: usize = 1000;

/// What the API server says to an object.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[serde(tag = "result", content = "message")]
pub enum DryRun {
    /// It would accept the object.
    Accepted,
    /// It would refuse the object.
    Refused(String),
    /// It could not be asked.
    NotAsked(String),
}

impl Cluster {
    /// What the API server says to that policy of Tetragon in a dry run of server-side apply, with
    /// strict validation of its fields.
    pub async fn dry_run(&self, object: &Value) -> DryRun {
        let Some((path, name)) = place(object, &self.client) else {
            return DryRun::NotAsked("it has no name".to_owned());
        };
        let params = PatchParams { dry_run: true, ..PatchParams::apply(FIELD_MANAGER).force() };
        let params = params.validation_strict();
        let request = match Request::new(path).patch(&name, &params, &Patch::Apply(object)) {
            Ok(request) => request,
            Err(error) => return DryRun::NotAsked(error.to_string()),
        };
        match self.client.request::<Value>(request).await {
            Ok(_) => DryRun::Accepted,
            Err(kube::Error::Api(status)) => answer(status.code, &status.message),
            Err(error) => DryRun::NotAsked(error::cause(&error)),
        }
    }
}

/// Path of the list that the object belongs to, and the object's name.
fn place(object: &Value, client: &kube::Client) -> Option<(String, String)> {
    let name = object["metadata"]["name"].as_str()?.to_owned();
    let version = object["apiVersion"].as_str()?.strip_prefix(GROUP)?.strip_prefix('/')?;
    let kind = object["kind"].as_str()?;
    let (_, plural) = KINDS.into_iter().find(|(known, _)| *known == kind)?;
    let base = format!("/apis/{GROUP}/{version}");
    if kind != "TracingPolicyNamespaced" {
        return Some((format!("{base}/{plural}"), name));
    }
    let namespace = object["metadata"]["namespace"].as_str();
    let namespace = namespace.unwrap_or(client.default_namespace());
    Some((format!("{base}/namespaces/{namespace}/{plural}"), name))
}

/// A refusal of the object itself has one of these codes. Others are about the user or the cluster.
fn answer(code: u16, message: &str) -> DryRun {
    let message = truncate(&printable(message, usize::MAX), MAX_MESSAGE_CHARS);
    match code {
        400 | 422 => DryRun::Refused(message),
        // So does an API server answer that finds a field which its schema does not have.
        500 if message.contains("field not declared in schema") => DryRun::Refused(message),
        _ => DryRun::NotAsked(message),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_answer_about_the_object_is_a_refusal() {
        for code in [400, 422] {
            assert_eq!(answer(code, "no\nway"), DryRun::Refused("no⏎way".to_owned()), "{code}");
        }
        let unknown_field = ".spec.strange: field not declared in schema";
        assert!(matches!(answer(500, unknown_field), DryRun::Refused(_)));
        for code in [401, 403, 404, 409, 500, 503] {
            assert!(matches!(answer(code, ""), DryRun::NotAsked(_)), "{code}");
        }
    }
}

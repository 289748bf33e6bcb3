//! Whether Tetragon's policies will load and deny, said before anybody applies them.
//!
//! In: the objects of a file, what is known of the nodes ([`nodes`]), and Tetragon's release. Out: for each policy one of
//! the answers of [`PolicyVerdict`], with the reason ([`Preflight`]), by the reading and the forecast that the operator makes
//! too ([`lsm_ready_tetragon::verdict`]). [`render`] makes text of it.

pub mod kinds;
pub mod nodes;
pub mod render;
pub mod result;

use lsm_ready_tetragon::forecast::Nodes;
use lsm_ready_tetragon::tracing_policy::{
    self, Effect, Release, Severity, TextVerdict, TracingPolicy,
};
use lsm_ready_tetragon::verdict::{PolicyVerdict, TargetVersion, judge};
use serde_json::Value;

use crate::cluster::Server;
use crate::documents::Document;
use crate::exit;
use crate::preflight::nodes::Cluster;
use crate::preflight::result::{Hook, Judged, Preflight, SCHEMA};

/// Why nothing can be judged.
#[derive(Debug, Eq, PartialEq, thiserror::Error)]
pub enum Error {
    /// There is none.
    #[error("{0}: it has no TracingPolicy or TracingPolicyNamespaced of group cilium.io{hint}", hint = hint(.1))]
    NoPolicy(String, Vec<String>),
}

fn hint(remarks: &[String]) -> String {
    remarks.iter().flat_map(|remark| ["; ", remark.as_str()]).collect()
}

/// A policy and where it stands.
#[derive(Clone, Debug)]
pub struct Placed {
    /// `TracingPolicy` or `TracingPolicyNamespaced`.
    pub kind: String,
    /// Its file and the line of it on which its document begins.
    pub place: String,
    /// The policy.
    pub policy: TracingPolicy,
    /// The whole object, as the API server is asked about it.
    pub object: Value,
    /// What the API server said to it.
    pub server: Option<Server>,
}

/// What is in a file.
#[derive(Debug, Default)]
pub struct Found {
    /// Tetragon's policies.
    pub policies: Vec<Placed>,
    /// Policies of which nothing can be said, with place and reason.
    pub unreadable: Vec<String>,
    /// What looks like a policy and is none.
    pub remarks: Vec<String>,
}

/// Tetragon's policies among the objects of that file; other objects are passed over.
pub fn policies(file: &str, documents: Vec<Document>) -> Found {
    let mut found = Found::default();
    for document in documents {
        let place = format!("{file}:{}", document.line);
        let kind = match kinds::kind(&document.value) {
            kinds::Kind::Policy(kind) => kind,
            kinds::Kind::Like(remark) => {
                found.remarks.push(format!("{place}: {remark}"));
                continue;
            }
            kinds::Kind::Other => continue,
        };
        match TracingPolicy::from_file(&document.value) {
            Ok(policy) => {
                let kind = kind.to_owned();
                found.policies.push(Placed {
                    kind,
                    place,
                    policy,
                    object: document.value,
                    server: None,
                });
            }
            Err(error) => found.unreadable.push(unreadable(&place, kind, &document.value, &error)),
        }
    }
    found
}

fn unreadable(place: &str, kind: &str, object: &Value, error: &tracing_policy::Error) -> String {
    let name = object["metadata"]["name"].as_str().unwrap_or_default();
    format!("{place}: {kind} {name}: {error}")
}

/// What becomes of these policies on those nodes, with agents of the release in target.
pub fn preflight(policies: &[Placed], cluster: &Cluster, target: TargetVersion) -> Preflight {
    let nodes = cluster.nodes();
    let judged: Vec<Judged> = policies.iter().map(|placed| one(placed, &nodes, target)).collect();
    let mut remarks = cluster.remarks.clone();
    remarks.extend(target.remark());
    Preflight {
        schema: SCHEMA,
        result: judged.iter().map(|judged| judged.result).max().unwrap_or(PolicyVerdict::Unknown),
        tetragon: target.releases().iter().map(Release::name).collect(),
        nodes: nodes.len(),
        policies: judged,
        remarks,
    }
}

fn one(placed: &Placed, nodes: &Nodes<'_>, target: TargetVersion) -> Judged {
    let Placed { kind, place, policy, server, .. } = placed;
    let judged = judge(policy, nodes, target);
    let (outcome, why) = match server {
        Some(Server::Refused(message)) => {
            (PolicyVerdict::NotLoadable, format!("the API server refuses it: {message}"))
        }
        Some(Server::NotAsked(message)) if judged.verdict < PolicyVerdict::Unknown => {
            (PolicyVerdict::Unknown, format!("the API server could not be asked: {message}"))
        }
        _ => (judged.verdict, judged.why),
    };
    let releases = target.releases();
    let mut told = 0;
    Judged {
        kind: kind.clone(),
        namespace: policy.name.namespace.clone(),
        name: policy.name.name.clone(),
        place: place.clone(),
        result: outcome,
        why,
        denies: policy.effect(releases) == Some(Effect::Denies),
        diagnostics: result::diagnostics(policy, releases),
        server: server.clone(),
        nodes: judged.forecast.nodes,
        loadable: judged.forecast.loadable,
        not_loadable: judged.forecast.not_loadable,
        unknown: judged.forecast.unknown,
        hooks: judged
            .forecast
            .hooks
            .into_iter()
            .map(|hook| Hook::of(hook, nodes, &mut told))
            .collect(),
    }
}

/// The exit code. With `require_deny` each policy has to deny something.
pub fn code(preflight: &Preflight, require_deny: bool) -> u8 {
    if require_deny && preflight.policies.iter().any(|judged| !judged.denies) {
        return exit::NOT_LOADABLE;
    }
    match preflight.result {
        PolicyVerdict::Denies | PolicyVerdict::DeniesNothing | PolicyVerdict::NoLsmHooks => {
            exit::LOADABLE
        }
        PolicyVerdict::NotLoadable => exit::NOT_LOADABLE,
        PolicyVerdict::Unknown => exit::NOT_JUDGED,
    }
}

/// Asks the API server about each policy. What it takes is not refused for its schema.
pub fn ask_server(policies: &mut [Placed], ask: impl Fn(&Value) -> Server) {
    for placed in policies {
        let said = ask(&placed.object);
        if said == Server::Accepted {
            placed.policy.mark_accepted();
        }
        placed.server = Some(said);
    }
}

/// Whether the text of some policy is refused or cannot be judged by a release in target, and not by another.
pub fn depends_on_release(policies: &[Placed], target: TargetVersion) -> bool {
    let releases = target.releases();
    let depends = |placed: &Placed| {
        let diagnostics = &placed.policy.diagnostics;
        let refused = diagnostics
            .releases(Severity::Schema)
            .or(diagnostics.releases(Severity::Agent))
            .and(releases);
        !refused.is_empty()
            && matches!(target.text_verdict(&placed.policy), TextVerdict::Unjudged(_))
    };
    policies.iter().any(depends)
}

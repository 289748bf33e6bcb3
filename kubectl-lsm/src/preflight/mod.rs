//! Whether Tetragon's policies will load and deny, before anybody applies them.
//!
//! In: the objects of a file, what is known of the nodes ([`nodes`]), and Tetragon's release. Out:
//! a verdict for each policy, with its cause ([`PreflightResult`]). [`render`] prints it. The
//! operator reaches the same verdicts, by the same functions ([`lsm_ready_tetragon::verdict`]).

pub mod kinds;
pub mod nodes;
pub mod render;
pub mod result;

use lsm_ready_tetragon::forecast::Nodes;
use lsm_ready_tetragon::tracing_policy::{
    self, Effect, Release, Severity, TextVerdict, TracingPolicy,
};
use lsm_ready_tetragon::verdict::{JudgedPolicy, PolicyVerdict, TargetVersion, judge};
use serde_json::Value;

use crate::cluster::Cluster as Connection;
use crate::cluster::dry_run::DryRun;
use crate::preflight::kinds::Kind;
use crate::preflight::nodes::Cluster;
use crate::preflight::result::{HookResult, PolicyResult, PreflightResult, SCHEMA};

#[derive(Debug, Eq, PartialEq, thiserror::Error)]
pub enum Error {
    #[error(
        "{0}: found no TracingPolicy or TracingPolicyNamespaced of group cilium.io{notes}",
        notes = notes(.1)
    )]
    NoPolicy(String, Vec<String>),
}

fn notes(notes: &[String]) -> String {
    notes.iter().flat_map(|note| ["; ", note.as_str()]).collect()
}

/// A policy and its place.
#[derive(Clone, Debug)]
pub struct LocatedPolicy {
    /// `TracingPolicy` or `TracingPolicyNamespaced`.
    pub kind: String,
    /// The file, and the line on which the policy's document begins.
    pub location: String,
    pub policy: TracingPolicy,
    /// The whole object, for the API server.
    pub object: Value,
    /// What the API server said, if it was asked.
    pub server: Option<DryRun>,
}

/// What some files contain.
#[derive(Debug, Default)]
pub struct PolicyFiles {
    /// Tetragon's policies.
    pub policies: Vec<LocatedPolicy>,
    /// Invalid documents and policies: place and reason of each.
    pub invalid: Vec<String>,
    /// Objects that look as if they were meant to be policies.
    pub notes: Vec<String>,
}

/// Tetragon's policies among the objects of that file. Other objects are skipped.
pub fn policies(file: &str, documents: Vec<crate::documents::Document>) -> PolicyFiles {
    let mut found = PolicyFiles::default();
    for document in documents {
        let location = format!("{file}:{}", document.line);
        match kinds::kind(&document.value) {
            Kind::Policy(kind) => {
                let kind = kind.to_owned();
                found.add(location, kind, document.value);
            }
            Kind::Similar(note) => found.notes.push(format!("{location}: {note}")),
            Kind::Other => {}
        }
    }
    found
}

impl PolicyFiles {
    fn add(&mut self, location: String, kind: String, object: Value) {
        match TracingPolicy::from_file(&object) {
            Ok(policy) => {
                self.policies.push(LocatedPolicy { kind, location, policy, object, server: None });
            }
            Err(error) => self.invalid.push(invalid(&location, &kind, &object, &error)),
        }
    }
}

fn invalid(location: &str, kind: &str, object: &Value, error: &tracing_policy::Error) -> String {
    let name = object["metadata"]["name"].as_str().unwrap_or_default();
    format!("{location}: {kind} {name}: {error}")
}

/// Judges these policies on those nodes, for agents of that version.
pub fn preflight(
    policies: &[LocatedPolicy],
    cluster: &Cluster,
    target: TargetVersion,
) -> PreflightResult {
    let nodes = cluster.nodes();
    let policies: Vec<PolicyResult> =
        policies.iter().map(|located| judge_policy(located, &nodes, target)).collect();
    PreflightResult {
        schema: SCHEMA,
        result: policies.iter().map(|policy| policy.result).max().unwrap_or(PolicyVerdict::Unknown),
        tetragon: target.releases().iter().map(Release::name).collect(),
        nodes: nodes.len(),
        policies,
        notes: cluster.notes.iter().cloned().chain(target.note()).collect(),
    }
}

fn judge_policy(located: &LocatedPolicy, nodes: &Nodes<'_>, target: TargetVersion) -> PolicyResult {
    let LocatedPolicy { kind, location, policy, server, .. } = located;
    let JudgedPolicy { verdict, cause, forecast } =
        with_dry_run(judge(policy, nodes, target), server.as_ref());
    let mut explained = 0;
    PolicyResult {
        kind: kind.clone(),
        namespace: policy.name.namespace.clone(),
        name: policy.name.name.clone(),
        location: location.clone(),
        result: verdict,
        message: cause,
        denies: policy.effect(target.releases()) == Some(Effect::Denies),
        diagnostics: result::diagnostics(policy, target.releases()),
        server: server.clone(),
        nodes: forecast.nodes,
        loadable: forecast.loadable,
        not_loadable: forecast.not_loadable,
        unknown: forecast.unknown,
        hooks: forecast
            .hooks
            .into_iter()
            .map(|hook| HookResult::of(hook, nodes, &mut explained))
            .collect(),
    }
}

/// The verdict after the API server's answer. A refusal is final. An API server that cannot be
/// asked leaves an otherwise good policy unknown.
fn with_dry_run(judged: JudgedPolicy, server: Option<&DryRun>) -> JudgedPolicy {
    match server {
        Some(DryRun::Refused(message)) => JudgedPolicy {
            verdict: PolicyVerdict::NotLoadable,
            cause: format!("the API server refuses it: {message}"),
            ..judged
        },
        Some(DryRun::NotAsked(message)) if judged.verdict < PolicyVerdict::Unknown => {
            JudgedPolicy {
                verdict: PolicyVerdict::Unknown,
                cause: format!("the API server could not be asked: {message}"),
                ..judged
            }
        }
        Some(DryRun::Accepted | DryRun::NotAsked(_)) | None => judged,
    }
}

/// Asks the API server about each policy. A policy that it accepts is not refused for its schema.
/// Without a connection, the answer for each policy is why there is none.
pub async fn ask_server(policies: &mut [LocatedPolicy], connection: Result<&Connection, &str>) {
    for located in policies {
        let answer = match connection {
            Ok(connection) => connection.dry_run(&located.object).await,
            Err(why) => DryRun::NotAsked(why.to_owned()),
        };
        if answer == DryRun::Accepted {
            located.policy.mark_accepted();
        }
        located.server = Some(answer);
    }
}

/// Whether some policy cannot be judged because the releases in question treat it differently.
pub fn depends_on_release(policies: &[LocatedPolicy], target: TargetVersion) -> bool {
    let releases = target.releases();
    let depends = |located: &LocatedPolicy| {
        let diagnostics = &located.policy.diagnostics;
        let refusing =
            diagnostics.releases(Severity::Schema).or(diagnostics.releases(Severity::Agent));
        !refusing.and(releases).is_empty()
            && matches!(target.text_verdict(&located.policy), TextVerdict::Unknown(_))
    };
    policies.iter().any(depends)
}

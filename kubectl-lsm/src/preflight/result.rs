//! The answer of `preflight`, in the form of `-o json`.

use lsm_ready_crds::State;
use lsm_ready_tetragon::forecast::{HookForecast, Nodes, NodesByReason};
use lsm_ready_tetragon::tracing_policy::{Diagnostic, Release, Releases, Severity, TracingPolicy};
use lsm_ready_tetragon::verdict::PolicyVerdict;
use serde::{Serialize, Serializer};

use crate::cluster::Server;

/// Names the form of `-o json`. Fields may be added under it; a change of meaning gets another name.
pub const SCHEMA: &str = "lsmready.io/preflight/v2";

/// Of so many hooks of a policy the reason is told in words, with the name that was meant.
const MOST_HOOKS_TOLD: usize = 20;

/// The answer.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Preflight {
    /// [`SCHEMA`].
    pub schema: &'static str,
    /// The gravest of the policies'.
    #[serde(serialize_with = "word")]
    pub result: PolicyVerdict,
    /// The releases of Tetragon whose rules were applied.
    pub tetragon: Vec<&'static str>,
    /// Nodes that are known.
    pub nodes: usize,
    /// Each policy, in the order of the file.
    pub policies: Vec<Judged>,
    /// What could not be looked at.
    pub remarks: Vec<String>,
}

/// One policy.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Judged {
    /// `TracingPolicy` or `TracingPolicyNamespaced`.
    pub kind: String,
    /// Its namespace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Its name.
    pub name: String,
    /// Its file and the line of it on which its document begins.
    pub place: String,
    /// What becomes of it.
    #[serde(serialize_with = "word")]
    pub result: PolicyVerdict,
    /// Why, where the hooks below do not tell it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub why: String,
    /// An enforcing action is in effect, so that it denies where it loads.
    pub denies: bool,
    /// Fields, and what is to be said about them.
    pub diagnostics: Vec<Found>,
    /// What the API server said to it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server: Option<Server>,
    /// Nodes that it is for.
    pub nodes: usize,
    /// Those on which all of its hooks take their programs.
    pub loadable: usize,
    /// Those on which one was shown not to.
    pub not_loadable: usize,
    /// The others.
    pub unknown: usize,
    /// Each hook.
    pub hooks: Vec<Hook>,
}

/// A field, and what is to be said about it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Found {
    /// `Refused`, `CannotBeJudged` or `Remark`.
    pub severity: &'static str,
    /// The field.
    pub field: String,
    /// The rule, and what to write instead.
    pub rule: String,
    /// The releases with that rule.
    pub releases: Vec<&'static str>,
    /// The same in words.
    #[serde(skip)]
    pub range: String,
}

/// One hook.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Hook {
    /// Its name, as the policy has it.
    pub hook: String,
    /// It has to take a sleepable program.
    pub sleepable: bool,
    /// The field that asks for it.
    pub field: String,
    /// Nodes that take its programs.
    pub loadable: usize,
    /// The others.
    pub others: Vec<Reason>,
}

/// Nodes that do not take a hook's programs, or are not known to.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Reason {
    /// A code of docs/reasons.md.
    pub reason: String,
    /// `NotLoadable` or `Unknown`.
    #[serde(serialize_with = "word")]
    pub result: PolicyVerdict,
    /// How many.
    pub nodes: usize,
    /// The first three by name.
    pub sample: Vec<String>,
    /// The reason in a sentence. Of a policy with many such hooks only the first have one.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// What to change.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub fix: String,
}

impl Hook {
    /// The hook with its reasons; `told` counts those that got words.
    pub fn of(forecast: HookForecast, nodes: &Nodes<'_>, told: &mut usize) -> Self {
        let HookForecast { requirement, loadable, others } = forecast;
        let with_words = !others.is_empty() && *told < MOST_HOOKS_TOLD;
        *told += usize::from(with_words);
        let reason = |others: NodesByReason| {
            let words = with_words.then(|| nodes.explain(&requirement, &others));
            let (message, fix) = words.map(|words| (words.message, words.fix)).unwrap_or_default();
            let result = if others.state == State::Unknown {
                PolicyVerdict::Unknown
            } else {
                PolicyVerdict::NotLoadable
            };
            Reason {
                reason: others.reason,
                result,
                nodes: others.count,
                sample: others.sample,
                message,
                fix,
            }
        };
        let others = others.into_iter().map(reason).collect();
        Self {
            sleepable: requirement.sleepable,
            loadable,
            others,
            field: requirement.why,
            hook: requirement.hook,
        }
    }
}

/// What was found in a policy that concerns these releases; what the API server took is not told as refused by it.
pub fn diagnostics(policy: &TracingPolicy, releases: Releases) -> Vec<Found> {
    let is_meant = |found: &&Diagnostic| {
        !found.releases.and(releases).is_empty()
            && (found.severity != Severity::Schema || policy.is_from_file())
    };
    policy.diagnostics.iter().filter(is_meant).map(|found| one(found, releases)).collect()
}

fn one(found: &Diagnostic, releases: Releases) -> Found {
    let releases = found.releases.and(releases);
    Found {
        severity: match found.severity {
            Severity::Schema | Severity::Agent => "Refused",
            Severity::Unjudged => "CannotBeJudged",
            Severity::Remark => "Remark",
        },
        field: found.path.clone(),
        rule: found.rule.clone(),
        releases: releases.iter().map(Release::name).collect(),
        range: releases.to_string(),
    }
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
fn word<S: Serializer>(outcome: &PolicyVerdict, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(match outcome {
        PolicyVerdict::Denies => "Denies",
        PolicyVerdict::NoLsmHooks => "NoLsmHooks",
        PolicyVerdict::DeniesNothing => "DeniesNothing",
        PolicyVerdict::Unknown => "Unknown",
        PolicyVerdict::NotLoadable => "NotLoadable",
    })
}

//! The answer of `preflight`, in the form of `-o json`.

use lsm_ready_crds::{ExitCode, State};
use lsm_ready_tetragon::forecast::{HookForecast, Nodes, NodesByReason};
use lsm_ready_tetragon::tracing_policy::{Diagnostic, Release, Releases, Severity, TracingPolicy};
use lsm_ready_tetragon::verdict::PolicyVerdict;
use serde::{Serialize, Serializer};

use crate::cluster::dry_run::DryRun;

/// The name of this form of `-o json`. Fields may be added under the same name. A change of meaning
/// gets another name.
pub const SCHEMA: &str = "lsmready.io/preflight/v3";

/// Maximum number of hooks of a policy that are explained in sentences.
const MAX_EXPLAINED_HOOKS: usize = 20;

#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PreflightResult {
    /// [`SCHEMA`].
    pub schema: &'static str,
    /// The worst verdict of all policies.
    #[serde(serialize_with = "verdict")]
    pub result: PolicyVerdict,
    /// The releases of Tetragon whose rules were applied.
    pub tetragon: Vec<&'static str>,
    /// Number of known nodes.
    pub nodes: usize,
    /// Each policy, in the order of the files.
    pub policies: Vec<PolicyResult>,
    /// What could not be read, and what was assumed.
    pub notes: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PolicyResult {
    /// `TracingPolicy` or `TracingPolicyNamespaced`.
    pub kind: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    pub name: String,
    /// The file, and the line on which the policy's document begins.
    pub location: String,
    #[serde(serialize_with = "verdict")]
    pub result: PolicyVerdict,
    /// The cause of the result, if it is in the policy's text or at the API server. Causes on the
    /// nodes are in `hooks`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// The policy denies something on each node on which it loads.
    pub denies: bool,
    /// What was found in the policy's text.
    pub diagnostics: Vec<DiagnosticResult>,
    /// What the API server said, if it was asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server: Option<DryRun>,
    /// Number of nodes that the policy selects.
    pub nodes: usize,
    /// Number of those nodes on which all of its hooks accept their programs.
    pub loadable: usize,
    /// Number of those nodes on which some hook was shown not to.
    pub not_loadable: usize,
    /// Number of the remaining nodes.
    pub unknown: usize,
    pub hooks: Vec<HookResult>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DiagnosticResult {
    /// `Refused`, `CannotBeJudged` or `Note`.
    pub severity: &'static str,
    /// The field of the policy.
    pub field: String,
    /// What is wrong, and what to write instead.
    pub rule: String,
    /// The releases that have this rule.
    pub releases: Vec<&'static str>,
    /// The same releases as a phrase.
    #[serde(skip)]
    pub range: String,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HookResult {
    pub hook: String,
    /// The hook has to accept a sleepable program.
    pub sleepable: bool,
    /// The field of the policy that requires the hook.
    pub field: String,
    /// Number of nodes that accept the hook's programs.
    pub loadable: usize,
    /// The other nodes.
    pub others: Vec<ReasonResult>,
}

/// Nodes that do not accept a hook's programs, or are not known to, for one reason.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ReasonResult {
    /// A code of docs/reasons.md.
    pub reason: String,
    /// `NotLoadable` or `Unknown`.
    #[serde(serialize_with = "verdict")]
    pub result: PolicyVerdict,
    /// Number of these nodes.
    pub nodes: usize,
    /// The first three of them by name.
    pub sample: Vec<String>,
    /// The reason as a sentence. Empty after the first [`MAX_EXPLAINED_HOOKS`] hooks.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// What to change.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub fix: String,
}

impl PreflightResult {
    /// The exit code. With `require_deny` each policy has to deny something.
    pub fn code(&self, require_deny: bool) -> ExitCode {
        if require_deny && self.policies.iter().any(|policy| !policy.denies) {
            return ExitCode::DoesNotHold;
        }
        match self.result {
            PolicyVerdict::Denies | PolicyVerdict::DeniesNothing | PolicyVerdict::NoLsmHooks => {
                ExitCode::Holds
            }
            PolicyVerdict::NotLoadable => ExitCode::DoesNotHold,
            PolicyVerdict::Unknown => ExitCode::CannotBeJudged,
        }
    }
}

impl HookResult {
    /// The result for one hook. `explained` counts the hooks of the policy that have sentences.
    pub fn of(forecast: HookForecast, nodes: &Nodes<'_>, explained: &mut usize) -> Self {
        let HookForecast { requirement, loadable, others } = forecast;
        let with_sentences = !others.is_empty() && *explained < MAX_EXPLAINED_HOOKS;
        *explained += usize::from(with_sentences);
        let reason = |others: NodesByReason| {
            let verdict = with_sentences.then(|| nodes.explain(&requirement, &others));
            let (message, fix) =
                verdict.map(|verdict| (verdict.message, verdict.fix)).unwrap_or_default();
            ReasonResult::of(others, message, fix)
        };
        let others = others.into_iter().map(reason).collect();
        Self {
            sleepable: requirement.sleepable,
            loadable,
            others,
            field: requirement.field,
            hook: requirement.hook,
        }
    }
}

impl ReasonResult {
    fn of(nodes: NodesByReason, message: String, fix: String) -> Self {
        let result = match nodes.state {
            State::Unknown => PolicyVerdict::Unknown,
            State::NotReady | State::Ready => PolicyVerdict::NotLoadable,
        };
        Self {
            reason: nodes.reason,
            result,
            nodes: nodes.count,
            sample: nodes.sample,
            message,
            fix,
        }
    }
}

/// The diagnostics of a policy for these releases. The schema's diagnostics are left out for a
/// policy that the API server accepted.
pub fn diagnostics(policy: &TracingPolicy, releases: Releases) -> Vec<DiagnosticResult> {
    let applies = |found: &&Diagnostic| {
        !found.releases.and(releases).is_empty()
            && (found.severity != Severity::Schema || policy.is_from_file())
    };
    policy.diagnostics.iter().filter(applies).map(|found| diagnostic(found, releases)).collect()
}

fn diagnostic(found: &Diagnostic, releases: Releases) -> DiagnosticResult {
    let releases = found.releases.and(releases);
    DiagnosticResult {
        severity: match found.severity {
            Severity::Schema | Severity::Agent => "Refused",
            Severity::Unknown => "CannotBeJudged",
            Severity::Note => "Note",
        },
        field: found.path.clone(),
        rule: found.rule.clone(),
        releases: releases.iter().map(Release::name).collect(),
        range: releases.to_string(),
    }
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
fn verdict<S: Serializer>(verdict: &PolicyVerdict, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(match verdict {
        PolicyVerdict::Denies => "Denies",
        PolicyVerdict::NoLsmHooks => "NoLsmHooks",
        PolicyVerdict::DeniesNothing => "DeniesNothing",
        PolicyVerdict::Unknown => "Unknown",
        PolicyVerdict::NotLoadable => "NotLoadable",
    })
}

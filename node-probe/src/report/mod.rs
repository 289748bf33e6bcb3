//! The report: one check of this machine in its documented, stable form (docs/check-output.md).
//!
//! In: what the canary showed, the facts, and the time the check took. Out: a [`Report`], which
//! serialises as the JSON of `node-probe check` and becomes the status of an LsmNode.
//!
//! `diagnose` judges the canary, `replay` judges recorded facts instead, `checks` explains both by
//! the facts, `hooks` judges required hooks, `bounds` keeps every text within the schema, `text`
//! renders the report for people, and `npd` for node-problem-detector.

use std::time::Duration;

use lsm_ready_crds::consistency::evidence_state;
use lsm_ready_crds::node::{self, Kernel, LsmNodeStatus, Lsms, Securityfs};
use lsm_ready_crds::{Evidence, Reason, State};
use schemars::JsonSchema;
use serde::Serialize;

use crate::canary::Observed;
use crate::facts::Facts;
use crate::fix::{fix, required_lsms};

mod bounds;
pub mod check;
pub(crate) mod checks;
pub mod diagnose;
pub mod hooks;
pub mod npd;
pub mod replay;
#[cfg(test)]
mod schema_tests;
#[cfg(test)]
mod tests;
pub mod text;
mod words;

use bounds::{MAX_DETAIL, MAX_MESSAGE, bounded};
pub use check::Check;
use checks::{REQUIRED_LSMS, RequiredLsms};
use diagnose::{Diagnosis, diagnose};
use hooks::Hooks;

/// Version of the JSON form. It changes if a field is removed or changes its meaning. Fields may be
/// added without a new version.
pub const SCHEMA: &str = "lsmready.io/check/v1";

/// One check of this machine.
#[derive(Clone, Debug, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// Name and version of this form.
    #[schemars(extend("const" = SCHEMA))]
    pub schema: &'static str,
    /// The highest rung proved.
    pub evidence: Evidence,
    /// Why the evidence is no higher; `CanaryDenied` at the top.
    #[schemars(with = "String")]
    pub reason: Reason,
    /// The reason in a sentence, with the raw error.
    pub message: String,
    /// What to change on this machine. Empty if nothing has to be changed.
    pub fix: String,
    /// The rungs, lowest first, then the facts that explain them.
    pub checks: Vec<Check>,
    /// The running kernel.
    pub kernel: Kernel,
    /// The active LSMs, and where they were read.
    pub lsms: Lsms,
    /// Whether this kernel has securityfs, and whether it is mounted.
    pub securityfs: Securityfs,
    /// The lockdown level. `None` if it could not be read.
    pub lockdown: Option<String>,
    /// The id of this boot. Empty if it could not be read.
    #[serde(rename = "bootID")]
    pub boot_id: String,
    /// What the hook trial says about required hooks. `None` if no hook is required.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hooks: Option<Hooks>,
    /// How long the check took, in milliseconds.
    pub duration_ms: u64,
}

impl Report {
    /// Makes the report of a run of the canary.
    pub fn of(observed: &Observed, facts: &Facts, took: Duration) -> Self {
        let explanations = checks::explain(&observed.result, facts);
        Self::from_diagnosis(diagnose(observed, facts), explanations, facts, took)
    }

    /// Makes the report of a diagnosis, with checks that explain it.
    pub fn from_diagnosis(
        diagnosis: Diagnosis,
        explanations: Vec<Check>,
        facts: &Facts,
        took: Duration,
    ) -> Self {
        let mut checks = diagnosis.rungs;
        checks.extend(explanations);
        for check in &mut checks {
            check.detail = bounded(&check.detail, MAX_DETAIL);
            check.fix = bounded(&check.fix, MAX_MESSAGE);
        }
        Self {
            schema: SCHEMA,
            evidence: diagnosis.evidence,
            reason: diagnosis.reason,
            message: bounded(&diagnosis.message, MAX_MESSAGE),
            fix: bounded(&fix(diagnosis.reason, facts), MAX_MESSAGE),
            checks,
            kernel: bounds::kernel(&facts.kernel),
            lsms: bounds::lsms(&facts.lsms),
            securityfs: facts.securityfs.into(),
            lockdown: facts.lockdown.as_deref().map(bounds::lockdown),
            boot_id: bounds::boot_id(&facts.boot_id),
            hooks: None,
            duration_ms: milliseconds(took),
        }
    }

    /// Adds the check whether further LSMs are active. If they are the first requirement that does
    /// not hold, their reason becomes the report's.
    pub fn require_lsms(&mut self, names: &[String], required: Evidence, facts: &Facts) {
        if names.is_empty() {
            return;
        }
        let RequiredLsms { mut check, missing } = checks::required_lsms(names, facts);
        let fix = match check.reason {
            Some(Reason::RequiredLsmInactive) => required_lsms(names, &missing, facts),
            Some(other) => fix(other, facts),
            None => String::new(),
        };
        let is_inactive = check.outcome == State::NotReady;
        if let Some(reason) = check.reason.filter(|_| self.is_preceded_by(check.outcome, required))
        {
            self.explain_by(reason, &check.detail, &fix);
        } else if is_inactive && self.is_fixed_by_lsm_parameter() {
            // This fix sets lsm= for the required LSMs and for bpf at once.
            self.fix = bounded(&fix, MAX_MESSAGE);
        } else if is_inactive {
            self.fix = bounded(&format!("{}\n{fix}", self.fix), MAX_MESSAGE);
        } else {
            check.fix = bounded(&fix, MAX_MESSAGE);
        }
        check.detail = bounded(&check.detail, MAX_DETAIL);
        self.checks.push(check);
    }

    /// Adds the judgement of required hooks. If they are the first requirement that does not hold,
    /// their reason becomes the report's.
    pub fn require_hooks(&mut self, hooks: Hooks, required: Evidence, facts: &Facts) {
        if self.is_preceded_by(hooks.holds(), required)
            && let Some(failing) = hooks.failing()
        {
            self.explain_by(failing.reason, &failing.message, &fix(failing.reason, facts));
        }
        self.hooks = Some(hooks);
    }

    /// Whether a requirement with this outcome is to be reported before what the report says so
    /// far: everything else holds, or everything else is only unknown and this is shown not to
    /// hold.
    fn is_preceded_by(&self, outcome: State, required: Evidence) -> bool {
        match self.holds(required) {
            State::Ready => outcome != State::Ready,
            State::Unknown => outcome == State::NotReady,
            State::NotReady => false,
        }
    }

    fn is_fixed_by_lsm_parameter(&self) -> bool {
        matches!(self.reason, Reason::BpfNotInLsmList | Reason::NeverFired)
    }

    fn explain_by(&mut self, reason: Reason, message: &str, fix: &str) {
        self.reason = reason;
        self.message = bounded(message, MAX_MESSAGE);
        self.fix = bounded(fix, MAX_MESSAGE);
    }

    /// Whether all requirements hold: the evidence, and the LSMs and hooks that
    /// [`Self::require_lsms`] and [`Self::require_hooks`] have added.
    pub fn holds(&self, required: Evidence) -> State {
        let checks: Vec<node::Check> = self.checks.iter().cloned().map(Into::into).collect();
        let evidence = evidence_state(self.evidence, &checks, required);
        let hooks = self.hooks.as_ref().map_or(State::Ready, Hooks::holds);
        // Recorded facts can show that a higher rung is out of reach while the lowest is unknown.
        let is_required = |rung: Evidence| rung > self.evidence && rung <= required;
        let rungs = Evidence::RUNGS.into_iter().filter(|rung| is_required(*rung));
        let names: Vec<&str> = rungs.map(Evidence::as_str).chain([REQUIRED_LSMS]).collect();
        self.checks
            .iter()
            .filter(|check| names.contains(&check.name))
            .fold(evidence.worst(hooks), |worst, check| worst.worst(check.outcome))
    }

    /// The report as the status of an LsmNode. The writer adds the times.
    pub fn into_status(self) -> LsmNodeStatus {
        LsmNodeStatus {
            boot_id: self.boot_id,
            observed_time: None,
            denied_since: None,
            refused_since: None,
            denied_before: Vec::new(),
            probe_version: env!("CARGO_PKG_VERSION").to_owned(),
            kernel: self.kernel,
            lsms: self.lsms,
            securityfs: self.securityfs,
            lockdown: self.lockdown,
            evidence: self.evidence,
            reason: self.reason.code().to_owned(),
            message: self.message,
            fix: self.fix,
            checks: self.checks.into_iter().map(Into::into).collect(),
            hook_profile: None,
        }
        .printable()
    }
}

/// The duration in whole milliseconds.
pub(crate) fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

//! The report: one check of this machine in its documented, stable form (docs/check-output.md).
//!
//! In: the diagnosis, the facts, the canary's trial and the time it took. Out: [`Report`], which serialises as the JSON
//! of `node-probe check` and becomes the status of an `LsmNode`.

use lsm_ready_crds::State;
use lsm_ready_crds::node::{Check, Kernel, LsmNodeStatus, Lsms, Securityfs};
use lsm_ready_crds::{Evidence, Reason};
use serde::{Deserialize, Serialize};

use crate::canary::Observed;
use crate::facts::Facts;
use crate::fix::{fix, required_lsms};

pub(crate) mod checks;
pub mod diagnose;
pub mod hooks;
pub mod replay;
#[cfg(test)]
mod tests;
pub mod text;

use checks::REQUIRED_LSMS;
use diagnose::{Diagnosis, diagnose};
use hooks::Hooks;

/// Version of the JSON form. It changes when a field changes its meaning or goes; new fields may come without.
pub const SCHEMA: &str = "lsmready.io/check/v1";

/// The LsmNode's limit for one check's detail, and for its message and fix.
const DETAIL_MAX: usize = 2000;
const MESSAGE_MAX: usize = 4000;

/// One check of this machine.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Report {
    /// [`SCHEMA`].
    pub schema: String,
    /// The highest rung proved.
    pub evidence: Evidence,
    /// The code of the reason, `CanaryDenied` at the top.
    pub reason: String,
    /// The reason in a sentence, with the raw error.
    pub message: String,
    /// What to change on this machine; empty where nothing has to be.
    pub fix: String,
    /// The rungs, lowest first, then the facts that explain them.
    pub checks: Vec<Check>,
    /// The running kernel.
    pub kernel: Kernel,
    /// The active LSMs, and where they were read from.
    pub lsms: Lsms,
    /// Whether this kernel has securityfs, and whether it is mounted.
    #[serde(default)]
    pub securityfs: Securityfs,
    /// The lockdown level; null where it could not be read.
    pub lockdown: Option<String>,
    /// This boot's id; empty where it could not be read.
    #[serde(rename = "bootID")]
    pub boot_id: String,
    /// What the hook trial says to the hooks that are required; left out where none is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hooks: Option<Hooks>,
    /// How long the check took, in milliseconds.
    pub duration_ms: u64,
}

impl Report {
    /// Puts it together.
    pub fn of(observed: &Observed, facts: &Facts, duration_ms: u64) -> Self {
        Self::from_diagnosis(
            diagnose(observed, facts),
            checks::of(&observed.trial, facts),
            facts,
            duration_ms,
        )
    }

    /// The same from a diagnosis that was made otherwise.
    pub fn from_diagnosis(
        diagnosis: Diagnosis,
        explaining: Vec<Check>,
        facts: &Facts,
        duration_ms: u64,
    ) -> Self {
        let mut checks = diagnosis.rungs;
        checks.extend(explaining);
        for check in &mut checks {
            check.detail = cut(&check.detail, DETAIL_MAX);
            check.fix = cut(&check.fix, MESSAGE_MAX);
        }
        Self {
            schema: SCHEMA.to_owned(),
            evidence: diagnosis.evidence,
            reason: diagnosis.reason.code().to_owned(),
            message: cut(&diagnosis.message, MESSAGE_MAX),
            fix: cut(&fix(diagnosis.reason, facts), MESSAGE_MAX),
            checks,
            kernel: facts.kernel.clone(),
            lsms: facts.lsms.clone(),
            securityfs: facts.securityfs.into(),
            lockdown: facts.lockdown.clone(),
            boot_id: facts.boot_id.clone(),
            hooks: None,
            duration_ms,
        }
    }

    /// Judges further LSMs by the list of active ones. Where the evidence holds, or the LSMs are shown to be missing
    /// and the evidence was only not tried, they become the report's reason.
    pub fn require_lsms(&mut self, names: &[String], required: Evidence, facts: &Facts) {
        if names.is_empty() {
            return;
        }
        let before = self.holds(required);
        let (mut check, missing) = checks::required_lsms(names, facts);
        let reason = Reason::from_code(&check.reason);
        let fix_of_lsms = match reason {
            Some(Reason::RequiredLsmInactive) => required_lsms(names, &missing, facts),
            Some(other) => fix(other, facts),
            None => String::new(),
        };
        let shown = check.outcome == State::NotReady;
        let untold = match before {
            State::Ready => check.outcome != State::Ready,
            State::Unknown => shown,
            State::NotReady => false,
        };
        if untold {
            self.reason.clone_from(&check.reason);
            self.message = cut(&check.detail, MESSAGE_MAX);
            self.fix = cut(&fix_of_lsms, MESSAGE_MAX);
        } else if shown
            && [Reason::BpfNotInLsmList, Reason::NeverFired]
                .map(Reason::code)
                .contains(&self.reason.as_str())
        {
            // One lsm= for both.
            self.fix = cut(&fix_of_lsms, MESSAGE_MAX);
        } else if shown {
            self.fix = cut(&format!("{}\n{fix_of_lsms}", self.fix), MESSAGE_MAX);
        } else {
            check.fix = cut(&fix_of_lsms, MESSAGE_MAX);
        }
        self.checks.push(check);
    }

    /// Puts in what the trial says to required hooks. Where they are the first thing that does not hold, their reason
    /// becomes the report's.
    pub fn require_hooks(&mut self, hooks: Hooks, required: Evidence, facts: &Facts) {
        let untold = match self.holds(required) {
            State::Ready => hooks.holds() != State::Ready,
            State::Unknown => hooks.holds() == State::NotReady,
            State::NotReady => false,
        };
        if let Some((reason, message)) = hooks.failing().filter(|_| untold) {
            self.fix = cut(&fix(reason, facts), MESSAGE_MAX);
            reason.code().clone_into(&mut self.reason);
            self.message = cut(&message, MESSAGE_MAX);
        }
        self.hooks = Some(hooks);
    }

    /// Whether what is required holds: the evidence, and the LSMs and hooks if [`Self::require_lsms`] and
    /// [`Self::require_hooks`] were called.
    pub fn holds(&self, required: Evidence) -> State {
        let rungs =
            Evidence::RUNGS.into_iter().filter(|rung| *rung > self.evidence && *rung <= required);
        let names: Vec<&str> = rungs.map(Evidence::as_str).chain([REQUIRED_LSMS]).collect();
        let open = self.checks.iter().filter(|check| names.contains(&check.name.as_str()));
        let outcomes: Vec<State> = open.map(|check| check.outcome).collect();
        let hooks = self.hooks.as_ref().map_or(State::Ready, Hooks::holds);
        let holds = if outcomes.contains(&State::NotReady) {
            State::NotReady
        } else if self.evidence < required || outcomes.contains(&State::Unknown) {
            State::Unknown
        } else {
            State::Ready
        };
        holds.worst(hooks)
    }

    /// The same as an LsmNode's status. The time is for who writes it.
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
            reason: self.reason,
            message: self.message,
            fix: self.fix,
            checks: self.checks,
            hook_profile: None,
        }
    }
}

/// At most so many characters.
fn cut(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    text.chars().take(most - 1).chain(['…']).collect()
}

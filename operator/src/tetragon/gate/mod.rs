//! Whether agents may be restarted now. Every write to a DaemonSet and every eviction passes this
//! gate.
//!
//! In: the limits that the policies set ([`Limits`]), the DaemonSet with its owner's annotation and
//! its own budget, and the time. Out: open, closed until a time, or closed until somebody acts. Of
//! several requests the strongest is followed, but every limit applies
//! (docs/adr/0013-when-agents-may-be-restarted.md).

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::DaemonSet;
use kube::ResourceExt;
use lsm_ready_crds::ConditionReason;
use lsm_ready_crds::names::APPLY_ANNOTATION;
use lsm_ready_crds::window::{InvalidWindow, Opening, Schedule, opening};
use lsm_ready_tetragon::plan::{NoNeed, Plan};

use super::rollout::budget::{Budget, budget};
use crate::watch::key::DaemonSetKey;

/// When and how agents may be restarted, as all policies that name the DaemonSet say it.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Limits {
    /// The windows, each with its policy.
    pub windows: Vec<(String, Result<Schedule, InvalidWindow>)>,
    /// The smallest `maxConcurrent`, with its policy.
    pub max_concurrent: Option<(i32, String)>,
    /// Some policy sets `restartStaleAgents`.
    pub restart_stale: bool,
}

/// Whether agents may be restarted.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub enum Gate {
    /// They may be restarted.
    #[default]
    Open,
    /// Not before every window is open.
    Until {
        /// When every window is open.
        opens: Timestamp,
        /// The policies with a window.
        policies: String,
    },
    /// The windows are never open at the same time.
    Never {
        /// The policies with a window.
        policies: String,
    },
    /// A window is invalid.
    Invalid {
        /// The policy with the invalid window.
        policy: String,
        /// What is wrong with it.
        error: InvalidWindow,
    },
    /// The DaemonSet's owner holds it by annotation.
    Held {
        /// The annotation's value.
        word: String,
    },
    /// The DaemonSet's own rolling update would restart more agents at once than a policy allows.
    TooLarge {
        /// The DaemonSet's budget.
        budget: Budget,
        /// The maximum that the policy allows.
        max: i32,
        /// The policy.
        policy: String,
    },
}

/// What a closed gate means for a condition.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Closed {
    /// The condition's reason.
    pub reason: ConditionReason,
    /// The cause, and how to open the gate.
    pub message: String,
    /// The gate stays closed until somebody acts.
    pub stalled: bool,
}

/// Whether the agents of that DaemonSet may be restarted now.
pub fn gate(limits: &Limits, daemon_set: &DaemonSet, now: Timestamp) -> Gate {
    let word = daemon_set.annotations().get(APPLY_ANNOTATION).map(String::as_str);
    // Any other word is a mistake. To hold is the safe reading, because it restarts nothing.
    if let Some(word) = word.filter(|word| *word != "allow") {
        return Gate::Held { word: word.to_owned() };
    }
    if let Some(too_large) = too_large(limits, daemon_set) {
        return too_large;
    }
    if word.is_some() { Gate::Open } else { windows(limits, now) }
}

fn too_large(limits: &Limits, daemon_set: &DaemonSet) -> Option<Gate> {
    let (max, policy) = limits.max_concurrent.clone()?;
    let budget = budget(daemon_set).filter(|budget| budget.agents > max)?;
    Some(Gate::TooLarge { budget, max, policy })
}

fn windows(limits: &Limits, now: Timestamp) -> Gate {
    let mut schedules = Vec::new();
    for (policy, window) in &limits.windows {
        match window {
            Ok(schedule) => schedules.push(schedule.clone()),
            Err(error) => {
                return Gate::Invalid { policy: policy.clone(), error: error.clone() };
            }
        }
    }
    let policies =
        || limits.windows.iter().map(|(policy, _)| policy.as_str()).collect::<Vec<_>>().join(", ");
    match opening(&schedules, now) {
        Opening::Now => Gate::Open,
        Opening::At(opens) => Gate::Until { opens, policies: policies() },
        Opening::Never => Gate::Never { policies: policies() },
    }
}

impl Gate {
    /// The gate for that plan. Where the owner's own mount has replaced ours, the agents are being
    /// replaced for that already. To remove the rest of ours later would replace them once more, so
    /// only the owner can hold that.
    pub fn before(self, plan: &Plan) -> Self {
        let is_superseded =
            matches!(plan, Plan::Remove { superseded: Some(NoNeed::AlreadyMounted(_)) });
        if is_superseded && !matches!(self, Self::Held { .. }) { Self::Open } else { self }
    }

    /// Whether a single agent may be restarted. A budget that is too large matters for whole
    /// rollouts only.
    pub const fn allows_one(&self) -> bool {
        matches!(self, Self::Open | Self::TooLarge { .. })
    }

    /// When a closed gate opens without help.
    pub const fn opens_at(&self) -> Option<Timestamp> {
        match self {
            Self::Until { opens, .. } => Some(*opens),
            Self::Open
            | Self::Never { .. }
            | Self::Invalid { .. }
            | Self::Held { .. }
            | Self::TooLarge { .. } => None,
        }
    }

    /// What a closed gate means. None where it is open.
    pub fn closed(&self, key: &DaemonSetKey) -> Option<Closed> {
        let (reason, stalled, message) = match self {
            Self::Open => return None,
            Self::Until { opens, policies } => {
                (ConditionReason::OutsideWindow, false, until(*opens, policies, key))
            }
            Self::Never { policies } => {
                (ConditionReason::OutsideWindow, true, never(policies, key))
            }
            Self::Invalid { policy, error } => {
                let message =
                    format!("the window of LsmPolicy {policy} is invalid and never opens: {error}");
                (ConditionReason::OutsideWindow, true, message)
            }
            Self::Held { word } => (ConditionReason::Held, true, held(word, key)),
            Self::TooLarge { budget, max, policy } => {
                let message = exceeds(budget, *max, policy, key);
                (ConditionReason::BudgetTooLarge, true, message)
            }
        };
        Some(Closed { reason, message, stalled })
    }
}

fn until(opens: Timestamp, policies: &str, key: &DaemonSetKey) -> String {
    format!(
        "agents are restarted only in the window of LsmPolicy {policies}, which opens at \
         {opens:.0}; to change it now: {}",
        allow(key)
    )
}

fn never(policies: &str, key: &DaemonSetKey) -> String {
    format!(
        "agents are restarted only while the windows of LsmPolicies {policies} are all open, and \
         these never overlap: make them overlap, or change it now: {}",
        allow(key)
    )
}

fn held(word: &str, key: &DaemonSetKey) -> String {
    let mistake = if word == "hold" { "" } else { " (neither allow nor hold, so it holds)" };
    format!(
        "the owner of DaemonSet {key} holds it by the annotation \
         {APPLY_ANNOTATION}={word}{mistake}; to release it: {}, or remove the annotation \
         ({APPLY_ANNOTATION}-)",
        allow(key)
    )
}

fn exceeds(budget: &Budget, max: i32, policy: &str, key: &DaemonSetKey) -> String {
    let Budget { field, says, agents } = budget;
    format!(
        "LsmPolicy {policy} lets at most {max} agents be restarted at once (maxConcurrent), and \
         DaemonSet {key} would restart {agents} ({field}: {says}), which lsm-ready does not \
         change: set spec.updateStrategy.rollingUpdate.{field} to {max} or less, or maxConcurrent \
         to {agents}"
    )
}

/// The command with which the DaemonSet's owner opens the gate.
fn allow(key: &DaemonSetKey) -> String {
    let DaemonSetKey { namespace, name } = key;
    format!("kubectl -n {namespace} annotate --overwrite daemonset {name} {APPLY_ANNOTATION}=allow")
}

#[cfg(test)]
mod tests;

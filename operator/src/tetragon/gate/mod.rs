//! Whether agents may be restarted now: the one gate before every write to a DaemonSet.
//!
//! In: the limits that all policies set ([`Limits`]), the DaemonSet with its owner's annotation and its own budget, and the
//! time. Out: open, closed until a moment, or closed until somebody acts. A wish is strong or weak, and the strongest
//! wins; a limit limits, so that all of them hold (docs/adr/0013-when-agents-may-be-restarted.md).

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::DaemonSet;
use kube::ResourceExt;
use lsm_ready_crds::ConditionReason;
use lsm_ready_crds::names::APPLY_ANNOTATION;
use lsm_ready_crds::window::{InvalidWindow, Opening, Schedule, opening};
use lsm_ready_tetragon::plan::{NoNeed, Plan};

use super::rollout::budget::{Budget, budget};
use crate::watch::key::DaemonSetKey;

/// What all policies that name a DaemonSet say about when and how its agents may be restarted.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Limits {
    /// The windows, each with the policy that has it.
    pub windows: Vec<(String, Result<Schedule, InvalidWindow>)>,
    /// The smallest `maxConcurrent`, with the policy that has it.
    pub max_concurrent: Option<(i32, String)>,
    /// Some policy says `restartStaleAgents`.
    pub restart_stale: bool,
}

/// Whether agents may be restarted.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub enum Gate {
    /// They may.
    #[default]
    Open,
    /// Not before every window is open.
    Until {
        /// When they are.
        opens: Timestamp,
        /// The policies that have one.
        policies: String,
    },
    /// The windows are never open at once.
    Never {
        /// The policies that have one.
        policies: String,
    },
    /// A window means nothing.
    Invalid {
        /// The policy that has it.
        policy: String,
        /// What is wrong with it.
        error: InvalidWindow,
    },
    /// The DaemonSet's owner holds it by annotation.
    Held {
        /// The annotation's value.
        word: String,
    },
    /// The DaemonSet's own update would restart more agents at once than a policy allows.
    TooLarge {
        /// The DaemonSet's own.
        budget: Budget,
        /// What is allowed.
        max: i32,
        /// The policy that says so.
        policy: String,
    },
}

/// What the gate means for a condition.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Closed {
    /// The condition's reason.
    pub reason: ConditionReason,
    /// Why, and how to let it go.
    pub message: String,
    /// It stays so until somebody acts.
    pub stalled: bool,
}

/// Whether the agents of that DaemonSet may be restarted now.
pub fn gate(limits: &Limits, daemon_set: &DaemonSet, now: Timestamp) -> Gate {
    let word = daemon_set.annotations().get(APPLY_ANNOTATION).map(String::as_str);
    // A word that is neither is a mistake, and holding is the mistake that restarts nothing.
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
    /// The gate before that plan. Where the owner's own mount has taken ours' place, agents are being replaced for that
    /// already, and waiting with what is left over would replace them once more: only who holds it is heard.
    pub fn before(self, plan: &Plan) -> Self {
        let is_superseded =
            matches!(plan, Plan::Remove { superseded: Some(NoNeed::AlreadyMounted(_)) });
        if is_superseded && !matches!(self, Self::Held { .. }) { Self::Open } else { self }
    }

    /// Whether a single agent may be restarted: a budget that is too large is used by whole rollouts only.
    pub const fn lets_one(&self) -> bool {
        matches!(self, Self::Open | Self::TooLarge { .. })
    }

    /// What a closed gate means.
    pub fn closed(&self, key: &DaemonSetKey) -> Option<Closed> {
        let DaemonSetKey { namespace, name } = key;
        let annotate = |word: &str| {
            format!(
                "kubectl -n {namespace} annotate --overwrite daemonset {name} {APPLY_ANNOTATION}={word}"
            )
        };
        let closed = |reason, message, stalled| Some(Closed { reason, message, stalled });
        match self {
            Self::Open => None,
            Self::Until { opens, policies } => {
                let message = format!(
                    "agents are restarted in the window only (LsmPolicy {policies}), which opens at {opens:.0}; to let it go \
                     now: {}",
                    annotate("allow")
                );
                closed(ConditionReason::OutsideWindow, message, false)
            }
            Self::Never { policies } => {
                let message = format!(
                    "agents are restarted only when the windows of LsmPolicies {policies} are open at once, which they never \
                     are: make them overlap, or let it go now: {}",
                    annotate("allow")
                );
                closed(ConditionReason::OutsideWindow, message, true)
            }
            Self::Invalid { policy, error } => closed(
                ConditionReason::OutsideWindow,
                format!("LsmPolicy {policy} has a window that never opens: {error}"),
                true,
            ),
            Self::Held { word } => {
                let what = if word == "hold" {
                    ""
                } else {
                    ", which is neither allow nor hold and so holds it"
                };
                let message = format!(
                    "the owner of DaemonSet {key} holds it by the annotation {APPLY_ANNOTATION}={word}{what}; to let it go: \
                     {}, or take the annotation away ({APPLY_ANNOTATION}-)",
                    annotate("allow")
                );
                closed(ConditionReason::Held, message, true)
            }
            Self::TooLarge { budget, max, policy } => {
                let Budget { field, says, agents } = budget;
                let message = format!(
                    "LsmPolicy {policy} lets at most {max} agents be restarted at once (maxConcurrent), and DaemonSet {key} \
                     would restart {agents} ({field}: {says}), which lsm-ready does not change: set \
                     spec.updateStrategy.rollingUpdate.{field} to {max} or less, or maxConcurrent to {agents}"
                );
                closed(ConditionReason::BudgetTooLarge, message, true)
            }
        }
    }
}

#[cfg(test)]
mod tests;

//! What an `LsmPolicy`'s status says about Tetragon: the conditions `SecurityfsMounted`,
//! `TetragonRolledOut` and `TetragonHardened`, and `Stalled` where somebody has to act.
//!
//! In: the policy, the observation of the DaemonSet that it names, and the DaemonSet's state. Out:
//! the conditions. A pure function, so the status is the same whichever controller runs first.

mod securityfs;

use lsm_ready_crds::conditions::{
    Finding, SECURITYFS_MOUNTED, STALLED, TETRAGON_HARDENED, TETRAGON_ROLLED_OUT,
};
use lsm_ready_crds::policy::Tetragon;
use lsm_ready_crds::{ConditionReason, LsmPolicy, State};
use lsm_ready_tetragon::audit::{Advice, audit};

use super::observe::Observation;
use super::rollout::rollout;
use super::state::DaemonSetState;
use crate::watch::key::DaemonSetKey;
use securityfs::SecurityfsFinding;

/// The conditions.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Findings {
    /// Whether the agent sees securityfs.
    pub securityfs: Finding,
    /// Whether every agent runs the present pod template. Unknown while agents are being replaced.
    pub rolled_out: Finding,
    /// Whether the agent's container may do more than it needs. Advice, which blocks nothing.
    pub hardened: Finding,
    /// Nothing goes on until somebody acts.
    pub stalled: Option<Finding>,
}

/// The conditions of that policy.
pub fn findings(
    policy: &LsmPolicy,
    observed: &Observation<'_>,
    state: &DaemonSetState,
) -> Findings {
    let own = policy.spec.tetragon.clone().unwrap_or_default();
    let name = policy.metadata.name.as_deref().unwrap_or_default();
    let found = securityfs::find(observed, state);
    let rolled_out = rolled_out(&found, observed, state);
    let found = found.for_policy(&own, observed.requests.standing(name), observed);
    Findings::of(found, rolled_out, hardened(&own, observed))
}

/// The conditions of that policy where the DaemonSet does not exist.
pub fn without_daemon_set(policy: &LsmPolicy, key: &DaemonSetKey) -> Findings {
    let own = policy.spec.tetragon.clone().unwrap_or_default();
    let message = format!(
        "DaemonSet {key} does not exist: set spec.tetragon.daemonSet to Tetragon's namespace and \
         name (kubectl get daemonsets -A), or install Tetragon"
    );
    let reason = ConditionReason::DaemonSetNotFound;
    let rolled_out = Finding::new(TETRAGON_ROLLED_OUT, false, reason, &message);
    let hardened = Finding::new(TETRAGON_HARDENED, State::Unknown, reason, &message);
    let found = SecurityfsFinding::without_daemon_set(own.securityfs.mount, message);
    Findings::of(found, rolled_out, hardened)
}

impl Findings {
    fn of(found: SecurityfsFinding, rolled_out: Finding, hardened: Finding) -> Self {
        let SecurityfsFinding { status, reason, message, stalled } = found;
        let securityfs = Finding::new(SECURITYFS_MOUNTED, status, reason, message);
        let stalled =
            stalled.then(|| Finding { type_: STALLED, status: State::Ready, ..securityfs.clone() });
        Self { securityfs, rolled_out, hardened, stalled }
    }
}

/// `TetragonRolledOut`. A mount that is still to be added will replace the agents, so the rollout
/// is pending then.
fn rolled_out(
    found: &SecurityfsFinding,
    observed: &Observation<'_>,
    state: &DaemonSetState,
) -> Finding {
    if found.is_pending() {
        return pending(observed);
    }
    let survey = state.survey.as_ref().and_then(|survey| survey.result(&observed.rollout));
    let found = rollout(observed.daemon_set, &observed.rollout, survey);
    match &state.stale.refused {
        Some(refused) => Finding { message: format!("{}; {refused}", found.message), ..found },
        None => found,
    }
}

fn pending(observed: &Observation<'_>) -> Finding {
    let key = &observed.key;
    let message = match observed.gate.closed(key) {
        Some(closed) => format!(
            "the rollout has not begun: adding the mount to DaemonSet {key} will replace its \
             agents, and {}",
            closed.message
        ),
        None => format!(
            "the rollout has not begun: lsm-ready is about to add the mount to DaemonSet {key}, \
             which replaces its agents"
        ),
    };
    Finding::new(TETRAGON_ROLLED_OUT, State::Unknown, ConditionReason::Pending, message)
}

/// `TetragonHardened`. The reason is that of the first excess, the message reports all of them.
fn hardened(own: &Tetragon, observed: &Observation<'_>) -> Finding {
    let found = |status, reason, message| Finding::new(TETRAGON_HARDENED, status, reason, message);
    let container = &own.daemon_set.container;
    match audit(observed.daemon_set, container, &observed.nodes.app_armor).as_deref() {
        Ok([]) => {
            let message =
                "the agent's container has no right that an agent was seen to work without";
            found(State::Ready, ConditionReason::NothingFound, message.to_owned())
        }
        Ok(all @ [first, ..]) => {
            let messages: Vec<&str> =
                all.iter().map(|Advice { message, .. }| message.as_str()).collect();
            found(State::NotReady, first.reason, messages.join(". "))
        }
        Err(refusal) => found(State::Unknown, refusal.reason(), refusal.to_string()),
    }
}

#[cfg(test)]
mod tests;

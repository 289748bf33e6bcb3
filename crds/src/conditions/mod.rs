//! The conditions of an `LsmPolicy`: their types and reasons, and the one function that merges them.
//!
//! docs/conditions.md says what each means to a reader; its tables are made of [`tables`].

pub mod docs;
mod reason;
pub mod tables;

pub use reason::ConditionReason;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

use crate::state::State;

/// Everything the policy asks for holds.
pub const READY: &str = "Ready";
/// Enough of the selected nodes are ready.
pub const NODES_READY: &str = "NodesReady";
/// The kernels of the selected nodes take what Tetragon's policies hook: a forecast from the hook profiles.
pub const TRACING_POLICIES_LOADABLE: &str = "TracingPoliciesLoadable";
/// The agent sees the host's securityfs, or does not need it mounted.
pub const SECURITYFS_MOUNTED: &str = "SecurityfsMounted";
/// Every agent runs the DaemonSet's present pod template.
pub const TETRAGON_ROLLED_OUT: &str = "TetragonRolledOut";
/// The agent's container may do nothing that its work does not need. Advice: it holds up nothing.
pub const TETRAGON_HARDENED: &str = "TetragonHardened";
/// Every TracingPolicy that is for a node is enabled and enforced there, as the agents say. It holds up nothing.
pub const TRACING_POLICIES_ENFORCED: &str = "TracingPoliciesEnforced";
/// kstatus: work is under way.
pub const RECONCILING: &str = "Reconciling";
/// kstatus: work cannot go on until somebody changes something.
pub const STALLED: &str = "Stalled";

/// The newly found state of one condition, without the time at which it became so.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Finding {
    /// One of the constants above.
    pub type_: &'static str,
    /// Whether it holds.
    pub status: State,
    /// Why.
    pub reason: ConditionReason,
    /// A sentence for people.
    pub message: String,
}

impl Finding {
    /// A finding.
    pub fn new(
        type_: &'static str,
        status: impl Into<State>,
        reason: ConditionReason,
        message: impl Into<String>,
    ) -> Self {
        Self { type_, status: status.into(), reason, message: message.into() }
    }
}

/// `found` as conditions: an old condition's transition time is kept unless its status flips. Conditions that were not
/// found again are dropped, and the order is that of `found`, so equal findings give equal conditions.
#[must_use]
pub fn merge(
    old: &[Condition],
    found: &[Finding],
    generation: Option<i64>,
    now: &Time,
) -> Vec<Condition> {
    found
        .iter()
        .map(|finding| {
            let since = old
                .iter()
                .find(|condition| {
                    condition.type_ == finding.type_
                        && condition.status == finding.status.condition_status()
                })
                .map_or_else(|| now.clone(), |condition| condition.last_transition_time.clone());
            Condition {
                type_: finding.type_.to_owned(),
                status: finding.status.condition_status().to_owned(),
                reason: finding.reason.code().to_owned(),
                message: finding.message.clone(),
                observed_generation: generation,
                last_transition_time: since,
            }
        })
        .collect()
}

/// The condition of that type.
#[must_use]
pub fn find<'a>(conditions: &'a [Condition], type_: &str) -> Option<&'a Condition> {
    conditions.iter().find(|condition| condition.type_ == type_)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Time {
        Time(jiff::Timestamp::from_second(seconds).unwrap())
    }

    #[test]
    fn time_moves_only_when_the_status_flips() {
        let ready = |status: bool, reason| vec![Finding::new(READY, status, reason, "")];
        let first = merge(&[], &ready(false, ConditionReason::NoNodesSelected), Some(1), &at(10));
        let reworded =
            merge(&first, &ready(false, ConditionReason::TooFewNodesReady), Some(2), &at(20));
        assert_eq!(reworded[0].last_transition_time, at(10));
        assert_eq!(reworded[0].reason, "TooFewNodesReady");
        let flipped =
            merge(&reworded, &ready(true, ConditionReason::AllNodesReady), Some(2), &at(30));
        assert_eq!(flipped[0].last_transition_time, at(30));
    }

    #[test]
    fn a_condition_not_found_again_goes() {
        let old = merge(
            &[],
            &[Finding::new(STALLED, true, ConditionReason::Contested, "")],
            None,
            &at(1),
        );
        assert!(merge(&old, &[], None, &at(2)).is_empty());
    }
}

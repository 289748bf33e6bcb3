//! The conditions of an `LsmPolicy`: their types, their reasons, and the function that merges them.
//!
//! docs/conditions.md explains each of them. Its tables are generated from [`tables`].

pub mod docs;
mod reason;
pub mod tables;

pub use reason::ConditionReason;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

use crate::state::State;
use crate::text::printable_lines;

/// Maximum length of a condition's message, by the schema of the CRDs.
const MAX_MESSAGE: usize = 32_768;

/// Type of the condition that everything the policy asks for holds.
pub const READY: &str = "Ready";
/// Type of the condition that enough of the selected nodes are ready.
pub const NODES_READY: &str = "NodesReady";
/// Type of the condition that Tetragon's policies will load on the selected nodes. It is a forecast
/// from the hook profiles.
pub const TRACING_POLICIES_LOADABLE: &str = "TracingPoliciesLoadable";
/// Type of the condition that the agent sees the host's securityfs, or does not need it.
pub const SECURITYFS_MOUNTED: &str = "SecurityfsMounted";
/// Type of the condition that every agent runs the current pod template of its `DaemonSet`.
pub const TETRAGON_ROLLED_OUT: &str = "TetragonRolledOut";
/// Type of the condition that the agent's container has no more rights than it needs. It is advice,
/// and no other condition depends on it.
pub const TETRAGON_HARDENED: &str = "TetragonHardened";
/// Type of the condition that, by the agents' answers, every `TracingPolicy` is enabled and
/// enforced on its nodes. No other condition depends on it.
pub const TRACING_POLICIES_ENFORCED: &str = "TracingPoliciesEnforced";
/// Type of the condition that the circuit breaker holds changes of nodes. No other condition
/// depends on it.
pub const CHANGES_HELD: &str = "ChangesHeld";
/// Type of the condition that the taint of a new or changed policy goes on step by step. No other
/// condition depends on it.
pub const TAINT_STAGED: &str = "TaintStaged";
/// Type of the kstatus condition that a change is in progress.
pub const RECONCILING: &str = "Reconciling";
/// Type of the kstatus condition that the operator cannot continue until someone changes something.
pub const STALLED: &str = "Stalled";

/// The state of one condition as found now, without its transition time.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Finding {
    /// Type of the condition: one of the constants above.
    pub type_: &'static str,
    /// Whether the condition holds.
    pub status: State,
    /// Why the condition has this status.
    pub reason: ConditionReason,
    /// The reason in a sentence, with names and numbers.
    pub message: String,
}

impl Finding {
    /// Makes a finding.
    pub fn new(
        type_: &'static str,
        status: impl Into<State>,
        reason: ConditionReason,
        message: impl Into<String>,
    ) -> Self {
        Self { type_, status: status.into(), reason, message: message.into() }
    }
}

/// Turns findings into conditions, in the same order. A condition keeps its old transition time
/// unless its status changes. Old conditions without a finding are dropped. Messages can repeat
/// texts of nodes, agents and other people's objects, so they are made printable and bounded here.
#[must_use]
pub fn merge(
    old: &[Condition],
    found: &[Finding],
    generation: Option<i64>,
    now: &Time,
) -> Vec<Condition> {
    let condition = |finding: &Finding| {
        let status = finding.status.condition_status();
        let unchanged = find(old, finding.type_).filter(|old| old.status == status);
        let last_transition_time =
            unchanged.map_or_else(|| now.clone(), |old| old.last_transition_time.clone());
        Condition {
            type_: finding.type_.to_owned(),
            status: status.to_owned(),
            reason: finding.reason.code().to_owned(),
            message: printable_lines(&finding.message, MAX_MESSAGE),
            observed_generation: generation,
            last_transition_time,
        }
    };
    found.iter().map(condition).collect()
}

/// The condition with that type.
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
    fn the_transition_time_moves_only_when_the_status_changes() {
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
    fn a_message_is_printable_and_fits_the_schema() {
        let hostile = "a\u{1b}[2J\u{202e}b\u{e0041}\u{fe0f}\nc\0";
        let merged = |message: &str| {
            let found = [Finding::new(READY, true, ConditionReason::AllNodesReady, message)];
            merge(&[], &found, None, &at(1))[0].message.clone()
        };
        let shown = "a\u{fffd}[2J\u{fffd}b\u{fffd}\u{fffd}\nc\u{fffd}";
        assert_eq!(merged(hostile), shown);
        assert_eq!(merged(&"ü".repeat(40_000)).chars().count(), MAX_MESSAGE);
    }

    #[test]
    fn a_condition_that_is_not_found_again_is_dropped() {
        let old = merge(
            &[],
            &[Finding::new(STALLED, true, ConditionReason::Contested, "")],
            None,
            &at(1),
        );
        assert!(merge(&old, &[], None, &at(2)).is_empty());
    }
}

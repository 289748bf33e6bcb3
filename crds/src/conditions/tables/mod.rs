//! What each condition's reasons mean, and what to do, as printed in docs/conditions.md.

mod agents;
mod daemon_set;
mod nodes;

use super::ConditionReason;
use super::{
    CHANGES_HELD, NODES_READY, SECURITYFS_MOUNTED, TAINT_STAGED, TETRAGON_HARDENED,
    TETRAGON_ROLLED_OUT, TRACING_POLICIES_ENFORCED, TRACING_POLICIES_LOADABLE,
};
use crate::names::NODE_CONDITION;

/// One row of a condition's table.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// The reason.
    pub reason: ConditionReason,
    /// The meaning, as the end of the sentence "it means that …".
    pub meaning: &'static str,
    /// What to do. Empty where nothing has to be done.
    pub remedy: &'static str,
}

const fn row(reason: ConditionReason, meaning: &'static str, remedy: &'static str) -> Row {
    Row { reason, meaning, remedy }
}

/// Each condition's type and the table of its reasons. `Ready` shares the table of `NodesReady`.
pub const TABLES: &[(&str, &[Row])] = &[
    (NODES_READY, nodes::NODES_READY),
    (TRACING_POLICIES_LOADABLE, nodes::TRACING_POLICIES_LOADABLE),
    (SECURITYFS_MOUNTED, daemon_set::SECURITYFS_MOUNTED),
    (TETRAGON_ROLLED_OUT, daemon_set::TETRAGON_ROLLED_OUT),
    (TETRAGON_HARDENED, daemon_set::TETRAGON_HARDENED),
    (TRACING_POLICIES_ENFORCED, agents::TRACING_POLICIES_ENFORCED),
    (CHANGES_HELD, nodes::CHANGES_HELD),
    (TAINT_STAGED, nodes::TAINT_STAGED),
    (NODE_CONDITION, nodes::NODE_CONDITION),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_reason_is_in_a_table_and_no_table_has_it_twice() {
        let mut all = BTreeSet::new();
        for (condition, rows) in TABLES {
            let mut seen = BTreeSet::new();
            for row in *rows {
                assert!(seen.insert(row.reason), "{condition} has {} twice", row.reason);
                assert!(!row.meaning.is_empty(), "{condition}: {} means something", row.reason);
            }
            all.append(&mut seen);
        }
        assert_eq!(all, ConditionReason::ALL.iter().copied().collect());
    }
}

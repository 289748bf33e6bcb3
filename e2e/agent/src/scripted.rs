//! Policies that come from a file and are not loaded: the test agent without a kernel.
//!
//! In: a file in the form of `tetra tracingpolicy list -o json`. Out: the policies that gRPC and
//! the metrics list.

use std::fs;
use std::path::Path;

use anyhow::Context as _;

use crate::messages::{ListTracingPoliciesResponse, TracingPolicyStatus};

/// The policies of that file.
pub fn read(path: &Path) -> anyhow::Result<Vec<TracingPolicyStatus>> {
    let text = fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
    let listed: ListTracingPoliciesResponse = serde_json::from_str(&text)
        .with_context(|| format!("read the policies in {}", path.display()))?;
    Ok(listed.policies)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As Tetragon 1.7.0 printed it.
    #[test]
    fn the_output_of_tetra_can_be_read() {
        let printed = r#"{"policies": [{"id": "2", "name": "deny-secret", "sensors": ["generic_lsm"], "enabled": true,
            "state": "TP_STATE_ENABLED", "kernel_memory_bytes": "639944", "mode": "TP_MODE_MONITOR",
            "stats": {"action_counters": {"override": "1", "monitor_override": "2"}}}]}"#;
        let listed: ListTracingPoliciesResponse = serde_json::from_str(printed).unwrap();
        let policy = &listed.policies[0];
        assert_eq!(
            (policy.id, policy.state, policy.mode, policy.kernel_memory_bytes),
            (2, 1, 2, 639_944)
        );
        let counters = policy.stats.as_ref().unwrap().action_counters.as_ref().unwrap();
        assert_eq!((counters.r#override, counters.monitor_override), (1, 2));
        assert!(
            serde_json::from_str::<ListTracingPoliciesResponse>(r#"{"policies": [{"stat": 1}]}"#)
                .is_err()
        );
        assert!(
            serde_json::from_str::<ListTracingPoliciesResponse>(
                r#"{"policies": [{"state": "ON"}]}"#
            )
            .is_err()
        );
    }
}

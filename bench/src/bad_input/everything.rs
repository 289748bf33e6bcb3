//! Policies that all select everything: each Node has a label of each, and each change of a node
//! changes the counts of all.

use std::sync::Arc;

use lsm_ready_crds::names::MAX_POLICIES;
use serde::Serialize;

use super::running;
use crate::Failure;
use crate::fleet::{Fleet, Proof};
use crate::latency::{self, Rate};
use crate::stats::{bytes, count, rounded};
use crate::world::{World, say};

const RATE: Rate = Rate { changes_per_second: 50, seconds: 10 };

#[derive(Clone, Debug, Serialize)]
pub struct Everything {
    pub policies: usize,
    pub operator_cpu_seconds_per_1000_changes: f64,
    pub label_p50_ms: f64,
    pub p99_above_server_ms: f64,
    pub missing: usize,
    pub node_writes_per_change: f64,
    pub most_writes_of_a_policy_in_a_second: usize,
    pub peak_rss_bytes: u64,
    pub peak_rss_kb_per_node: f64,
}

pub async fn measure(nodes: usize) -> Result<Everything, Failure> {
    say(&format!("{MAX_POLICIES} policies that select everything"));
    let fleet = Fleet::all_selecting(nodes, MAX_POLICIES);
    let world = Arc::new(World::create(fleet, Proof::Denied).await?);
    let operator = running(&world).await?;
    let latency = latency::measure(&world, &operator, RATE).await?;
    let peak = operator.usage().peak_rss_bytes;
    Ok(Everything {
        policies: world.fleet.policies.len(),
        operator_cpu_seconds_per_1000_changes: latency.operator_cpu_seconds_per_1000_changes,
        label_p50_ms: latency.label_ms.p50,
        p99_above_server_ms: latency.p99_above_server_ms,
        missing: latency.missing,
        node_writes_per_change: latency.node_writes_per_change,
        most_writes_of_a_policy_in_a_second: latency.most_writes_of_a_policy_in_a_second,
        peak_rss_bytes: peak,
        peak_rss_kb_per_node: rounded(bytes(peak) / 1000.0 / count(nodes)),
    })
}

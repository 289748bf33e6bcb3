//! Section joining: a Node is created, its probe reports, and its label is there.
//!
//! One node after the other joins a fleet that rests. Its report is written at once, as by a probe
//! whose check takes no time, so that the operator is still busy with the new Node: the hardest
//! case. Beside it stands what the API server itself takes: from the request that creates the Node
//! until the measuring client's watch shows it.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use e2e::wait;
use serde::Serialize;

use crate::Failure;
use crate::audit;
use crate::course::{Course, Follows};
use crate::fleet::{Proof, name};
use crate::follow::{Flips, Follow, METADATA, Seen};
use crate::operator::Operator;
use crate::stats::{Quantiles, count, milliseconds, quantiles, rounded};
use crate::world::{OPERATOR, World, say, wait_for};

/// How many nodes join.
const JOINS: usize = 50;
const DEADLINE: Duration = Duration::from_secs(20);

#[derive(Clone, Debug, Serialize)]
pub struct Joining {
    pub nodes: usize,
    pub joins: usize,
    /// From the answer to the report until the label was seen, in milliseconds. What a node waits
    /// for beside its probe's check.
    pub label_ms: Quantiles,
    /// From the answer to the creation of the Node until the label was seen.
    pub node_to_label_ms: Quantiles,
    /// From the request that creates a Node until a watch shows it: the API server alone.
    pub server_ms: Quantiles,
    /// The slowest of the labels, beside the API server's usual time.
    pub slowest_above_server_ms: f64,
    /// Writes of the operator to Nodes, for each join: one before the report and one after it, and
    /// with a taint two each. Half of the nodes are selected by a policy that taints.
    pub node_writes_per_join: f64,
}

/// One node that joined.
#[derive(Clone, Copy, Debug)]
struct Join {
    node: usize,
    began: Instant,
    created: Instant,
    reported: Instant,
}

/// Measures it on a fleet on which all nodes can deny. The nodes are gone again afterwards, also if
/// the measurement fails.
pub async fn measure(world: &World, operator: &Operator) -> Result<Joining, Failure> {
    say(&format!("{JOINS} nodes join"));
    let measured = join_all(world).await;
    let left = leave(world, operator).await;
    let joining = measured?;
    left.map(|()| joining)
}

async fn join_all(world: &World) -> Result<Joining, Failure> {
    let watch = Follow::start(&world.client, "/api/v1/nodes", METADATA).await?;
    watch.with(|seen| {
        seen.flips = Some(Flips::default());
        seen.firsts = Some(HashMap::new());
    });
    let (log, mut joins) = (world.server.audit_log(), Vec::new());
    let offset = audit::end(&log)?;
    for node in world.fleet.nodes..world.fleet.nodes + JOINS {
        let join = join(world, node).await?;
        wait::until(DEADLINE, &format!("the label of {}", name(node)), async || {
            watch.with(|seen| join.waits(seen)).ok_or("no label")
        })
        .await?;
        joins.push(join);
    }
    // The counts of policies are written up to a second later.
    wait_for(Duration::from_secs(2)).await;
    let writes = audit::writes(&audit::since(&log, offset)?, OPERATOR);
    let of_nodes = writes.iter().filter(|write| write.resource.starts_with("nodes")).count();
    let waits: Vec<Waits> =
        watch.with(|seen| joins.iter().filter_map(|join| join.waits(seen)).collect::<Vec<Waits>>());
    let times = |of: fn(&Waits) -> f64| quantiles(waits.iter().map(of).collect());
    let (label_ms, server_ms) = (times(|waits| waits.label), times(|waits| waits.server));
    Ok(Joining {
        nodes: world.fleet.nodes,
        joins: joins.len(),
        label_ms,
        node_to_label_ms: times(|waits| waits.node_to_label),
        server_ms,
        slowest_above_server_ms: rounded(label_ms.max - server_ms.p50),
        node_writes_per_join: rounded(count(of_nodes) / count(joins.len())),
    })
}

async fn join(world: &World, node: usize) -> Result<Join, Failure> {
    let began = Instant::now();
    world.create_node(node).await?;
    let created = Instant::now();
    world.first_report(node, Proof::Denied).await?;
    Ok(Join { node, began, created, reported: Instant::now() })
}

/// The times of one join, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Waits {
    label: f64,
    node_to_label: f64,
    server: f64,
}

impl Join {
    /// None while the label has not been seen.
    fn waits(&self, seen: &Seen) -> Option<Waits> {
        let name = name(self.node);
        let first = seen.firsts.as_ref()?.get(&name)?;
        let label = seen.flips.as_ref()?.get(&name)?.iter().find(|flip| flip.is_ready)?.at;
        // What a watch shows may come before the answer does.
        let since = |moment: Instant| milliseconds(label.saturating_duration_since(moment));
        Some(Waits {
            label: since(self.reported),
            node_to_label: since(self.created),
            server: milliseconds(first.saturating_duration_since(self.began)),
        })
    }
}

/// Deletes what joined, and waits until all counts are those of before.
async fn leave(world: &World, operator: &Operator) -> Result<(), Failure> {
    let (began, course) = (Instant::now(), Course::begin(world, operator)?);
    let follows = Follows::start(&world.client).await?;
    for node in world.fleet.nodes..world.fleet.nodes + JOINS {
        world.delete_node(node).await?;
    }
    course.until_right(&follows, Proof::Denied, began).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::follow::Flip;

    #[test]
    fn a_join_ends_with_the_label_ready_and_not_with_the_one_before_the_report() {
        let start = Instant::now();
        let at = |millis: u64| start + Duration::from_millis(millis);
        let join = Join { node: 7, began: at(0), created: at(10), reported: at(30) };
        let mut seen = Seen::new();
        assert_eq!(join.waits(&seen), None);
        seen.firsts = Some(HashMap::from([(name(7), at(8))]));
        let unknown = Flip { at: at(20), is_ready: false };
        seen.flips = Some(Flips::from([(name(7), vec![unknown])]));
        assert_eq!(join.waits(&seen), None);
        let ready = Flip { at: at(45), is_ready: true };
        seen.flips = Some(Flips::from([(name(7), vec![unknown, ready])]));
        let waits = Waits { label: 15.0, node_to_label: 35.0, server: 8.0 };
        assert_eq!(join.waits(&seen), Some(waits));
    }
}

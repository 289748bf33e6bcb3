//! `bench smoke`: a small fleet within a minute, for `make test`.
//!
//! Everything becomes right, nothing is written at rest or after a restart, and the memory stays
//! below its limit. Nothing here depends on how fast the machine is.

use std::time::{Duration, Instant};

use crate::Failure;
use crate::convergence::{self, Convergence};
use crate::fleet::{Fleet, Proof};
use crate::world::{World, say};

const NODES: usize = 1000;
const POLICIES: usize = 20;
const REST: Duration = Duration::from_secs(10);
/// The most memory that the operator may have had.
const MEMORY_BYTES: u64 = 48_000_000;

/// Measures it. Fails with everything that is over its limit.
pub async fn run() -> Result<(), Failure> {
    let began = Instant::now();
    let world = World::create(Fleet::new(NODES, POLICIES), Proof::NotDenied).await?;
    let (figures, operator) = convergence::measure(&world, REST).await?;
    operator.kill();
    let over = over(&figures);
    if !over.is_empty() {
        return Err(over.join("; ").into());
    }
    let (seconds, ratio) = (began.elapsed().as_secs(), figures.ratio);
    say(&format!("{NODES} nodes: all limits hold; {ratio} times raw patches; {seconds} s"));
    Ok(())
}

fn over(figures: &Convergence) -> Vec<String> {
    let nodes = u64::try_from(figures.nodes).unwrap_or(u64::MAX);
    let node_writes = ["nodes", "nodes/status"].map(|kind| figures.start.writes_to(kind));
    let node_writes = u64::try_from(node_writes.iter().sum::<usize>()).unwrap_or(u64::MAX);
    let limits = [
        ("writes at rest", figures.steady_writes as u64, 0),
        ("writes after a crash", figures.restart_writes as u64, 0),
        ("writes at a change of the leader", figures.leader_change_writes as u64, 0),
        ("bytes of memory", figures.peak_rss_bytes, MEMORY_BYTES),
        ("writes of Nodes", node_writes, 2 * nodes),
    ];
    let over = limits.into_iter().filter(|(_, measured, limit)| measured > limit);
    over.map(|(what, measured, limit)| format!("{measured} {what}, the limit is {limit}")).collect()
}

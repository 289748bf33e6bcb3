//! Section growth: how time and memory grow with the nodes, and CPU time with the policies.
//!
//! Each size is a fleet of its own on an API server of its own. 100,000 nodes are a fit, not a
//! measurement.

use std::sync::Arc;

use serde::Serialize;

use crate::Failure;
use crate::convergence;
use crate::course::Follows;
use crate::fleet::{Fleet, Proof};
use crate::latency::{self, Latency, Rate};
use crate::stats::{Growth, Line, Point, bytes, count, rounded};
use crate::world::{World, say};

/// Policies in the fleets of growing size.
const POLICIES: usize = 20;
/// Nodes in the fleets with growing numbers of policies.
const NODES: usize = 1000;
/// How many policies: first as in a fleet, then one that selects everything beside others that
/// select none of the nodes.
const POLICY_COUNTS: [usize; 4] = [1, 5, 20, 100];
/// Short: CPU time is counted, not the time of the clock.
const RATE: Rate = Rate { changes_per_second: 50, seconds: 10 };
/// The size that is not measured.
const FAR: f64 = 100_000.0;

#[derive(Clone, Debug, Serialize)]
pub struct Figures {
    pub sizes: Vec<Size>,
    /// Of `converge_seconds`.
    pub time: Option<Extrapolated>,
    /// Of `operator_cpu_seconds`.
    pub cpu: Option<Extrapolated>,
    /// Of `peak_rss_bytes`.
    pub memory: Option<Extrapolated>,
    /// `peak_rss_bytes` as a constant and a part for each node.
    pub memory_line: Option<Line>,
    /// A change of a node that all policies but some select, in CPU seconds for 1,000 changes.
    pub policies: Vec<Change>,
    /// The same where only one policy selects the node.
    pub bystanders: Vec<Change>,
    /// The most policies beside the fewest, where only one selects the node.
    pub bystanders_ratio: f64,
}

#[derive(Clone, Debug, Serialize)]
pub struct Size {
    pub nodes: usize,
    pub converge_seconds: f64,
    pub flip_seconds: f64,
    pub operator_cpu_seconds: f64,
    pub rss_bytes: u64,
    pub peak_rss_bytes: u64,
}

/// `factor * nodes ^ exponent`, and what it says of 100,000 nodes.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Extrapolated {
    pub factor: f64,
    pub exponent: f64,
    pub at_100000_by_fit: f64,
}

#[derive(Clone, Debug, Serialize)]
pub struct Change {
    pub policies: usize,
    pub operator_cpu_seconds_per_1000_changes: f64,
    pub label_p50_ms: f64,
    pub label_p99_ms: f64,
}

/// Measures fleets of these sizes.
pub async fn measure(sizes: &[usize]) -> Result<Figures, Failure> {
    let mut measured = Vec::new();
    for nodes in sizes {
        measured.push(size(*nodes).await?);
    }
    let (mut policies, mut bystanders) = (Vec::new(), Vec::new());
    for count in POLICY_COUNTS {
        policies.push(change(Fleet::new(NODES, count)).await?);
        bystanders.push(change(Fleet::with_bystanders(NODES, count - 1)).await?);
    }
    let cost = |change: Option<&Change>| {
        change.map_or(0.0, |change| change.operator_cpu_seconds_per_1000_changes)
    };
    let ratio = rounded(cost(bystanders.last()) / cost(bystanders.first()));
    let fit = |figure: fn(&Size) -> f64| fit(&measured, figure);
    Ok(Figures {
        time: fit(|size| size.converge_seconds),
        cpu: fit(|size| size.operator_cpu_seconds),
        memory: fit(|size| bytes(size.peak_rss_bytes)),
        memory_line: Line::fit(
            &measured
                .iter()
                .map(|size| (count(size.nodes), bytes(size.peak_rss_bytes)))
                .collect::<Vec<_>>(),
        ),
        sizes: measured,
        policies,
        bystanders,
        bystanders_ratio: ratio,
    })
}

/// A fleet of that size: started with all evidence in place, then all evidence flips.
async fn size(nodes: usize) -> Result<Size, Failure> {
    say(&format!("a fleet of {nodes} nodes"));
    let world = World::create(Fleet::new(nodes, POLICIES), Proof::NotDenied).await?;
    let follows = Follows::start(&world.client).await?;
    let (operator, start) = convergence::start(&world, &follows, Proof::NotDenied).await?;
    let (flip, _) = convergence::flip(&world, &operator, &follows, Proof::Denied).await?;
    let usage = operator.usage();
    say(&format!("{nodes} nodes: right after {:.1} s", start.seconds));
    operator.kill();
    Ok(Size {
        nodes,
        converge_seconds: start.seconds,
        flip_seconds: flip.seconds,
        operator_cpu_seconds: start.operator_cpu_seconds,
        rss_bytes: usage.rss_bytes,
        peak_rss_bytes: usage.peak_rss_bytes,
    })
}

/// What a change of evidence costs with these policies.
async fn change(fleet: Fleet) -> Result<Change, Failure> {
    let policies = fleet.policies.len();
    say(&format!("{policies} policies"));
    let world = Arc::new(World::create(fleet, Proof::Denied).await?);
    let follows = Follows::start(&world.client).await?;
    let (operator, _) = convergence::start(&world, &follows, Proof::Denied).await?;
    drop(follows);
    let Latency { label_ms, operator_cpu_seconds_per_1000_changes, .. } =
        latency::measure(&world, &operator, RATE).await?;
    operator.kill();
    Ok(Change {
        policies,
        operator_cpu_seconds_per_1000_changes,
        label_p50_ms: label_ms.p50,
        label_p99_ms: label_ms.p99,
    })
}

fn fit(sizes: &[Size], figure: fn(&Size) -> f64) -> Option<Extrapolated> {
    let points: Vec<Point> =
        sizes.iter().map(|size| Point { size: count(size.nodes), figure: figure(size) }).collect();
    let growth = Growth::fit(&points)?;
    Some(Extrapolated {
        factor: growth.factor,
        exponent: rounded(growth.exponent),
        at_100000_by_fit: rounded(growth.at(FAR)),
    })
}

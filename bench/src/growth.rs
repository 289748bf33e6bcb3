//! Section growth: how time and memory grow with the nodes, and CPU time with the policies.
//!
//! Each size is a fleet of its own on an API server of its own. The size of the section convergence
//! is not measured again. 100,000 nodes are a fit, not a measurement.

use std::sync::Arc;

use serde::Serialize;
use serde_json::Value;

use crate::convergence;
use crate::course::Follows;
use crate::fleet::{Fleet, Proof};
use crate::latency::{self, Latency, Rate};
use crate::stats::{Growth, Line, Point, bytes, count, rounded};
use crate::world::{World, say};
use crate::{Failure, report};

/// Policies in the fleets of growing size.
const POLICIES: usize = 20;
/// How many policies, as in a fleet.
const POLICY_COUNTS: [usize; 4] = [1, 5, 20, 100];
/// How many policies that select none of the nodes, beside one that selects all. Without any, it is
/// the first fleet above.
const BYSTANDERS: [usize; 2] = [19, 99];
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
    pub bystanders_ratio: Option<f64>,
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

/// Measures fleets of these sizes, and small ones with growing numbers of policies. Returns what
/// failed, too: it is left out.
pub async fn measure(sizes: &[usize], small: usize) -> (Figures, Vec<String>) {
    let (mut measured, mut failed) = (Vec::new(), Vec::new());
    for nodes in sizes {
        keep(size(*nodes).await, &format!("{nodes} nodes"), &mut measured, &mut failed);
    }
    let known = report::read("scale").and_then(|scale| Size::measured(&scale));
    measured.extend(known.filter(|known| !sizes.contains(&known.nodes)));
    measured.sort_by_key(|size| size.nodes);
    let (mut policies, mut bystanders) = (Vec::new(), Vec::new());
    for count in POLICY_COUNTS {
        let changed = change(Fleet::new(small, count)).await;
        keep(changed, &format!("{count} policies"), &mut policies, &mut failed);
    }
    bystanders.extend(policies.first().filter(|alone| alone.policies == 1).cloned());
    for count in BYSTANDERS {
        let changed = change(Fleet::with_bystanders(small, count)).await;
        keep(changed, &format!("{count} other policies"), &mut bystanders, &mut failed);
    }
    (Figures::of(measured, policies, bystanders), failed)
}

/// Keeps the figures, or the reason why there are none.
fn keep<T>(outcome: Result<T, Failure>, what: &str, kept: &mut Vec<T>, failed: &mut Vec<String>) {
    match outcome {
        Ok(figures) => kept.push(figures),
        Err(error) => {
            say(&format!("{what} FAILED: {error}"));
            failed.push(format!("{what}: {error}"));
        }
    }
}

impl Figures {
    fn of(sizes: Vec<Size>, policies: Vec<Change>, bystanders: Vec<Change>) -> Self {
        let cost = |change: &Change| change.operator_cpu_seconds_per_1000_changes;
        let ends = bystanders.first().zip(bystanders.last());
        let ends = ends.filter(|(few, many)| few.policies == 1 && many.policies > 1);
        let fit = |figure: fn(&Size) -> f64| fit(&sizes, figure);
        let memory: Vec<(f64, f64)> =
            sizes.iter().map(|size| (count(size.nodes), bytes(size.peak_rss_bytes))).collect();
        Self {
            time: fit(|size| size.converge_seconds),
            cpu: fit(|size| size.operator_cpu_seconds),
            memory: fit(|size| bytes(size.peak_rss_bytes)),
            memory_line: Line::fit(&memory),
            bystanders_ratio: ends.map(|(few, many)| rounded(cost(many) / cost(few))),
            sizes,
            policies,
            bystanders,
        }
    }
}

impl Size {
    /// The fleet of the section convergence, if it had the same policies.
    fn measured(scale: &Value) -> Option<Self> {
        let number = |pointer: &str| scale.pointer(pointer)?.as_u64();
        let seconds = |pointer: &str| scale.pointer(pointer)?.as_f64();
        if number("/policies")? != u64::try_from(POLICIES).ok()? {
            return None;
        }
        Some(Self {
            nodes: usize::try_from(number("/nodes")?).ok()?,
            converge_seconds: seconds("/start/seconds")?,
            flip_seconds: seconds("/flip/seconds")?,
            operator_cpu_seconds: seconds("/start/operator_cpu_seconds")?,
            rss_bytes: number("/flip/rss_bytes")?,
            peak_rss_bytes: number("/flip/peak_rss_bytes")?,
        })
    }
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn change(policies: usize, cpu: f64) -> Change {
        Change {
            policies,
            operator_cpu_seconds_per_1000_changes: cpu,
            label_p50_ms: 0.0,
            label_p99_ms: 0.0,
        }
    }

    #[test]
    fn the_fleet_of_the_section_convergence_counts_if_it_had_the_same_policies() {
        let course = json!({"seconds": 9.5, "operator_cpu_seconds": 3.0, "rss_bytes": 50,
            "peak_rss_bytes": 60});
        let scale = |policies: usize| {
            json!({"nodes": 5000, "policies": policies,
            "start": course, "flip": course})
        };
        let size = Size::measured(&scale(POLICIES)).unwrap();
        assert_eq!((size.nodes, size.peak_rss_bytes), (5000, 60));
        assert!(Size::measured(&scale(1)).is_none());
        assert!(Size::measured(&json!({"policies": POLICIES})).is_none());
    }

    #[test]
    fn policies_are_compared_only_if_the_fewest_and_the_most_were_measured() {
        let ratio = |bystanders| Figures::of(Vec::new(), Vec::new(), bystanders).bystanders_ratio;
        assert_eq!(ratio(vec![change(1, 2.0), change(20, 2.1), change(100, 2.2)]), Some(1.1));
        assert_eq!(ratio(vec![change(20, 2.1), change(100, 2.2)]), None);
        assert_eq!(ratio(vec![change(1, 2.0)]), None);
    }
}

//! Section latency: evidence written → label visible, while evidence changes all over the fleet.
//!
//! A tenth of the nodes loses and regains its evidence again and again, at a fixed rate that does
//! not wait for answers: fewer nodes than the circuit breaker holds. Beside it stands what the API
//! server itself took for the writes of the same time, by its audit log.

use std::sync::Arc;
use std::time::{Duration, Instant};

use e2e::wait;
use serde::Serialize;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

use crate::Failure;
use crate::audit;
use crate::fleet::{Proof, name};
use crate::follow::{Flips, Follow, METADATA};
use crate::operator::Operator;
use crate::stats::{Quantiles, count, milliseconds, quantiles, rounded};
use crate::world::{OPERATOR, World, say, wait_for};

/// How long labels may be late at the end.
const LATE: Duration = Duration::from_secs(20);
const POLICIES: &str = "lsmpolicies/status";

/// How often evidence changes, and for how long.
#[derive(Clone, Copy, Debug)]
pub struct Rate {
    pub changes_per_second: u32,
    pub seconds: u32,
}

impl Rate {
    fn changes(self) -> usize {
        usize::try_from(self.changes_per_second * self.seconds).unwrap_or(usize::MAX)
    }
}

#[derive(Clone, Debug, Serialize)]
pub struct Latency {
    pub nodes: usize,
    pub policies: usize,
    pub changes_per_second: u32,
    pub changes: usize,
    /// Changes whose label was never seen. There must be none.
    pub missing: usize,
    /// From the answer to the write of the report until the label was seen, in milliseconds.
    pub label_ms: Quantiles,
    /// The writes of the reports, as the client sees them.
    pub report_ms: Quantiles,
    /// All writes of reports and of the operator, as the API server sees them.
    pub server_write_ms: Quantiles,
    /// How much later than the server's own writes the slowest hundredth of the labels is.
    pub p99_above_server_ms: f64,
    pub operator_cpu_seconds_per_1000_changes: f64,
    /// Writes of the operator for each change. At most two, and those of policies.
    pub node_writes_per_change: f64,
    pub policy_writes: usize,
    pub most_writes_of_a_policy_in_a_second: usize,
    /// Writes that were refused, for example as conflicts.
    pub refused: usize,
}

/// One change of a node's evidence.
#[derive(Clone, Copy, Debug)]
pub struct Change {
    node: usize,
    proof: Proof,
    began: Instant,
    answered: Instant,
}

/// Measures it on a fleet on which all nodes can deny. Afterwards all can deny again.
pub async fn measure(
    world: &Arc<World>,
    operator: &Operator,
    rate: Rate,
) -> Result<Latency, Failure> {
    say(&format!("{} changes a second for {} s", rate.changes_per_second, rate.seconds));
    let nodes = Follow::start(&world.client, "/api/v1/nodes", METADATA).await?;
    nodes.with(|seen| seen.flips = Some(Flips::default()));
    let (log, cpu) = (world.server.audit_log(), operator.usage().cpu_seconds);
    let offset = audit::end(&log)?;
    let changes = change(world, rate).await?;
    // A label that never comes is reported, so the end of the wait is no error.
    let all_seen = wait::until(LATE, "the labels of all changes", async || {
        let missing = nodes.with(|seen| waits(&changes, seen.flips.as_ref())).1;
        if missing == 0 { Ok(()) } else { Err(format!("{missing} are missing")) }
    });
    if let Err(error) = all_seen.await {
        say(&error.to_string());
    }
    // Policies are written up to a second later.
    wait_for(Duration::from_secs(3)).await;
    let (cpu, text) = (operator.usage().cpu_seconds - cpu, audit::since(&log, offset)?);
    let ours = audit::writes(&text, OPERATOR);
    let served = audit::writes(&text, "admin").into_iter().chain(ours.iter().cloned());
    let served = quantiles(served.map(|write| write.milliseconds()).collect());
    let (waits, missing) = nodes.with(|seen| waits(&changes, seen.flips.as_ref()));
    // Reports are not awaited one by one, so the last two of a node may have come in any order.
    let mut touched: Vec<usize> = changes.iter().map(|change| change.node).collect();
    touched.sort_unstable();
    touched.dedup();
    world.report_some(&touched, Proof::Denied).await?;
    let label_ms = quantiles(waits);
    let of_nodes = ours.iter().filter(|write| write.resource.starts_with("nodes")).count();
    let of_policies = ours.iter().filter(|write| write.resource == POLICIES).count();
    Ok(Latency {
        nodes: world.fleet.nodes,
        policies: world.fleet.policies.len(),
        changes_per_second: rate.changes_per_second,
        changes: changes.len(),
        missing,
        label_ms,
        report_ms: quantiles(changes.iter().map(|change| milliseconds(change.report())).collect()),
        server_write_ms: served,
        p99_above_server_ms: rounded(label_ms.p99 - served.p99),
        operator_cpu_seconds_per_1000_changes: rounded(1000.0 * cpu / count(changes.len())),
        node_writes_per_change: rounded(count(of_nodes) / count(changes.len())),
        policy_writes: of_policies,
        most_writes_of_a_policy_in_a_second: audit::most_in_a_second(&ours, POLICIES),
        refused: ours.iter().filter(|write| write.code >= 400).count(),
    })
}

impl Change {
    fn report(&self) -> Duration {
        self.answered - self.began
    }
}

/// Changes evidence at that rate, whether or not answers come. Each of the nodes changes an even
/// number of times.
async fn change(world: &Arc<World>, rate: Rate) -> Result<Vec<Change>, Failure> {
    let chosen = (world.fleet.nodes / 10).max(1);
    let rounds = (rate.changes() / chosen).max(2).next_multiple_of(2);
    let mut ticks = interval(Duration::from_secs(1) / rate.changes_per_second);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut running = JoinSet::new();
    for number in 0..rounds * chosen {
        ticks.tick().await;
        let (world, node) = (world.clone(), spread(number % chosen));
        let proof =
            if (number / chosen).is_multiple_of(2) { Proof::NotDenied } else { Proof::Denied };
        running.spawn(async move {
            let began = Instant::now();
            let done = world.report(node, proof).await.map_err(|error| error.to_string());
            done.map(|()| Change { node, proof, began, answered: Instant::now() })
        });
    }
    Ok(running.join_all().await.into_iter().collect::<Result<_, _>>()?)
}

/// A tenth of the nodes, of each zone and of each tenth that policies select.
pub const fn spread(number: usize) -> usize {
    number * 10 + number % 10
}

/// How long each label took, in milliseconds, and how many are missing.
fn waits(changes: &[Change], flips: Option<&Flips>) -> (Vec<f64>, usize) {
    let wait = |change: &Change| {
        let flips = flips?.get(&name(change.node))?;
        let seen = flips.iter().find(|flip| {
            flip.is_ready == (change.proof == Proof::Denied) && flip.at >= change.began
        })?;
        // The label may be seen before the answer to the report is.
        Some(milliseconds(seen.at.saturating_duration_since(change.answered)))
    };
    let waits: Vec<f64> = changes.iter().filter_map(wait).collect();
    let missing = changes.len() - waits.len();
    (waits, missing)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::follow::Flip;

    #[test]
    fn a_label_is_that_of_its_own_change_and_one_that_never_comes_is_missing() {
        let start = Instant::now();
        let at = |millis: u64| start + Duration::from_millis(millis);
        let change = |proof, began, answered| Change {
            node: 10,
            proof,
            began: at(began),
            answered: at(answered),
        };
        let changes = [
            change(Proof::NotDenied, 0, 5),
            change(Proof::Denied, 100, 105),
            change(Proof::NotDenied, 200, 205),
            change(Proof::Denied, 300, 305),
        ];
        let flip = |millis, is_ready| Flip { at: at(millis), is_ready };
        let flips = vec![flip(25, false), flip(104, true), flip(215, false)];
        let flips = Flips::from([(name(10), flips)]);
        assert_eq!(waits(&changes, Some(&flips)), (vec![20.0, 0.0, 10.0], 1));
        assert_eq!(waits(&changes, None).1, 4);
    }
}

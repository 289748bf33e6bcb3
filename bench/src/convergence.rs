//! Section convergence: how long until everything is right, beside the same patches of a bare
//! client.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::Failure;
use crate::audit::{self, Write};
use crate::course::{Converged, Course, Follows};
use crate::fleet::Proof;
use crate::operator::{Operator, Pod};
use crate::raw::{self, Raw};
use crate::stats::{bytes, count, rounded};
use crate::usage::{self, Usage};
use crate::world::{OPERATOR, World, say, wait_for};

/// The whole section.
#[derive(Clone, Debug, Serialize)]
pub struct Convergence {
    pub nodes: usize,
    pub policies: usize,
    pub raw_patch_seconds: f64,
    pub converge_seconds: f64,
    pub ratio: f64,
    /// Without the lists: from the operator's first write on.
    pub patch_ratio: f64,
    /// All CPU time of operator, API server and etcd, beside that of the bare client and both.
    /// Other programs of the machine change it less than the time of the clock.
    pub cpu_ratio: f64,
    pub raw_report_seconds: f64,
    /// From the first new report on.
    pub flip_seconds: f64,
    /// Beside raw patches and the writing of the reports.
    pub flip_ratio: f64,
    /// After the last report was written.
    pub flip_after_last_report_seconds: f64,
    pub rss_bytes: u64,
    pub peak_rss_bytes: u64,
    pub peak_rss_kb_per_node: f64,
    pub steady_writes: usize,
    pub restart_writes: usize,
    /// But for the Lease.
    pub leader_change_writes: usize,
    /// Writes of Nodes and their status, for each node, at the start.
    pub node_writes_per_node: f64,
    pub policy_writes_in_a_second: usize,
    pub bytes_watched: u64,
    pub raw: Raw,
    pub start: Converged,
    pub flip: Converged,
    pub restart: Restart,
    pub leader_change: Restart,
}

/// A restart or a change of the leader in which nothing else has changed.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Restart {
    /// Until the operator rests.
    pub seconds: f64,
    pub cpu_seconds: f64,
    pub peak_rss_bytes: u64,
    pub received_bytes: u64,
    pub writes: BTreeMap<String, usize>,
}

/// Measures it. All nodes cannot deny before, and can afterwards. The operator is left running.
pub async fn measure(world: &World, rest: Duration) -> Result<(Convergence, Operator), Failure> {
    say("raw patches, and the reports of all nodes");
    let raw = raw::measure(world, Proof::NotDenied).await?;
    let raw_reports = world.report_all(Proof::NotDenied).await?.as_secs_f64();
    say(&format!("raw patches: {:.1} s; the operator starts", raw.seconds));
    let follows = Follows::start(&world.client).await?;
    let (operator, start) = start(world, &follows, Proof::NotDenied).await?;
    say(&format!("right after {:.1} s; at rest for {} s", start.seconds, rest.as_secs()));
    let steady = at_rest(world, rest).await?;
    say(&format!("{} writes at rest; all evidence flips", steady.len()));
    let (flip, reported) = flip(world, &operator, &follows, Proof::Denied).await?;
    say(&format!("right after {:.1} s; the operator starts again", flip.seconds));
    let last = operator.usage();
    operator.kill();
    let (operator, restart) = again(world, Pod::First, None).await?;
    let (operator, leader_change) = again(world, Pod::Second, Some(operator)).await?;
    let steady = steady.len();
    let measured =
        Measured { raw, raw_reports, start, steady, flip, reported, last, restart, leader_change };
    Ok((measured.figures(world.fleet.nodes, world.fleet.policies.len()), operator))
}

/// What was measured, in its order.
struct Measured {
    raw: Raw,
    raw_reports: f64,
    start: Converged,
    steady: usize,
    flip: Converged,
    reported: f64,
    /// Of the operator, before its restart.
    last: Usage,
    restart: Restart,
    leader_change: Restart,
}

impl Measured {
    fn figures(self, nodes: usize, policies: usize) -> Convergence {
        let Self { raw, raw_reports, start, steady, flip, reported, last, restart, leader_change } =
            self;
        let peak = last.peak_rss_bytes.max(restart.peak_rss_bytes);
        let node_writes = start.writes_to("nodes") + start.writes_to("nodes/status");
        let of_policies = start.most_writes_of_a_policy_in_a_second;
        Convergence {
            nodes,
            policies,
            raw_patch_seconds: raw.seconds,
            converge_seconds: start.seconds,
            ratio: rounded(start.seconds / raw.seconds),
            patch_ratio: rounded(start.writing_seconds / raw.seconds),
            cpu_ratio: rounded(start.cpu_seconds() / raw.cpu_seconds()),
            raw_report_seconds: rounded(raw_reports),
            flip_seconds: flip.seconds,
            flip_ratio: rounded(flip.seconds / (raw.seconds + raw_reports)),
            flip_after_last_report_seconds: rounded(flip.seconds - reported),
            rss_bytes: last.rss_bytes,
            peak_rss_bytes: peak,
            peak_rss_kb_per_node: rounded(bytes(peak) / 1000.0 / count(nodes)),
            steady_writes: steady,
            restart_writes: restart.writes.values().sum(),
            leader_change_writes: leader_change.writes.values().sum(),
            node_writes_per_node: rounded(count(node_writes) / count(nodes)),
            policy_writes_in_a_second: of_policies.max(flip.most_writes_of_a_policy_in_a_second),
            bytes_watched: flip.received_bytes,
            raw,
            start,
            flip,
            restart,
            leader_change,
        }
    }
}

/// Starts the operator and waits until everything is right.
pub async fn start(
    world: &World,
    follows: &Follows,
    proof: Proof,
) -> Result<(Operator, Converged), Failure> {
    follows.nodes.want(&world.fleet, proof);
    let course = Course::from_start(world)?;
    let operator = Operator::start(world, Pod::First).await?;
    let start = course.of(&operator).until_right(follows, proof, operator.began).await?;
    Ok((operator, start))
}

/// Starts the operator and waits until everything is right, which it may have been before.
pub async fn started(world: &World, proof: Proof) -> Result<Operator, Failure> {
    let (follows, course) = (Follows::start(&world.client).await?, Course::from_start(world)?);
    let operator = Operator::start(world, Pod::First).await?;
    operator.until_ready().await?;
    course.of(&operator).until_right(&follows, proof, operator.began).await?;
    Ok(operator)
}

/// Writes new reports of all nodes and waits until everything is right. Returns how long the
/// writing of the reports took, in seconds.
pub async fn flip(
    world: &World,
    operator: &Operator,
    follows: &Follows,
    proof: Proof,
) -> Result<(Converged, f64), Failure> {
    let (began, course) = (Instant::now(), Course::begin(world, operator)?);
    follows.nodes.want(&world.fleet, proof);
    let reported = world.report_all(proof).await?;
    Ok((course.until_right(follows, proof, began).await?, reported.as_secs_f64()))
}

/// The operator's writes while nothing changes.
async fn at_rest(world: &World, rest: Duration) -> Result<Vec<Write>, Failure> {
    let log = world.server.audit_log();
    let before = audit::end(&log)?;
    wait_for(rest).await;
    Ok(audit::writes(&audit::since(&log, before)?, OPERATOR))
}

/// Starts the operator, although nothing has changed, and waits until it has seen everything. One
/// that led until then ends in order when the new one stands by.
async fn again(
    world: &World,
    pod: Pod,
    led: Option<Operator>,
) -> Result<(Operator, Restart), Failure> {
    let course = Course::from_start(world)?;
    let operator = Operator::start(world, pod).await?;
    if let Some(led) = led {
        operator.until_ready().await?;
        led.terminate().await?;
    }
    let course = course.of(&operator);
    let rested = operator.until_rest(world.fleet.nodes).await?;
    let used = operator.usage();
    // A write may wait for the debounce of a policy's status.
    wait_for(Duration::from_secs(5)).await;
    let restart = Restart {
        seconds: rounded(rested.as_secs_f64()),
        cpu_seconds: used.cpu_seconds,
        peak_rss_bytes: used.peak_rss_bytes,
        received_bytes: usage::received_bytes(operator.pid())?,
        writes: audit::by_resource(&course.writes()?),
    };
    Ok((operator, restart))
}

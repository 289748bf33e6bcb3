//! The server forgets again and again what it has told its watchers: it is killed and starts again,
//! and answers each watch from before with 410, so that all watchers list at once.
//!
//! Evidence changes while nobody watches.

use std::time::{Duration, Instant};

use e2e::api::Program;
use e2e::{request, wait};
use serde::Serialize;
use serde_json::{Value, json};

use super::running;
use crate::Failure;
use crate::audit;
use crate::course::{Course, Follows};
use crate::fleet::Proof;
use crate::latency::spread;
use crate::stats::{Quantiles, count, quantiles, rounded};
use crate::world::{OPERATOR, World, say};

/// Even, so that all nodes can deny in the end.
const ROUNDS: usize = 4;
const GONE: u64 = 410;
const DEADLINE: Duration = Duration::from_mins(1);

#[derive(Clone, Debug, Serialize)]
pub struct Forgotten {
    pub rounds: usize,
    /// Nodes whose evidence changed in each round. Fewer than open the circuit breaker.
    pub changes: usize,
    /// From the moment at which the server answers again until the last label was right.
    pub seconds: Quantiles,
    /// The operator's writes to Nodes, for each change.
    pub node_writes_per_change: f64,
    pub operator_cpu_seconds: f64,
    pub peak_rss_bytes: u64,
}

/// Measures it. Afterwards all nodes can deny.
pub async fn measure(world: &mut World) -> Result<Forgotten, Failure> {
    let operator = running(world).await?;
    say(&format!("the server forgets what its watchers know, {ROUNDS} times"));
    let (log, cpu) = (world.server.audit_log(), operator.usage().cpu_seconds);
    let offset = audit::end(&log)?;
    let changed: Vec<usize> = (0..world.fleet.nodes / 10).map(spread).collect();
    let mut seconds = Vec::new();
    for round in 0..ROUNDS {
        let proof = if round.is_multiple_of(2) { Proof::NotDenied } else { Proof::Denied };
        seconds.push(forget(world, &changed, proof).await?);
    }
    let (began, course) = (Instant::now(), Course::begin(world, &operator)?);
    let follows = Follows::start(&world.client).await?;
    course.until_right(&follows, Proof::Denied, began).await?;
    let usage = operator.usage();
    let writes = audit::writes(&audit::since(&log, offset)?, OPERATOR);
    let to_nodes = writes.iter().filter(|write| write.resource.starts_with("nodes")).count();
    Ok(Forgotten {
        rounds: ROUNDS,
        changes: changed.len(),
        seconds: quantiles(seconds),
        node_writes_per_change: rounded(count(to_nodes) / count(ROUNDS * changed.len())),
        operator_cpu_seconds: rounded(usage.cpu_seconds - cpu),
        peak_rss_bytes: usage.peak_rss_bytes,
    })
}

/// Lets the server forget, and changes evidence. Returns how many seconds it took until all labels
/// were right.
async fn forget(world: &mut World, changed: &[usize], proof: Proof) -> Result<f64, Failure> {
    let known = version(world).await?;
    // A server that starts knows what has happened since its own first list. Without a write since
    // the watchers' version it would still know that.
    let since = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "bench"},
        "data": {"since": known}});
    let path = "/api/v1/namespaces/default/configmaps/bench";
    request::done(&world.client, "APPLY", path, &since).await?;
    world.server.kill_and_restart(Program::ApiServer).await?;
    must_be_forgotten(world, &known).await?;
    let follows = Follows::start(&world.client).await?;
    follows.nodes.want_some(&world.fleet, proof, changed);
    let began = Instant::now();
    world.report_some(changed, proof).await?;
    wait::until(DEADLINE, "the labels after the server's restart", async || {
        match follows.nodes.with(|seen| (seen.wrong(), seen.last_event)) {
            (0, last) => Ok(last.duration_since(began).as_secs_f64()),
            (wrong, _) => Err(format!("{wrong} nodes have wrong labels")),
        }
    })
    .await
    .map_err(Failure::from)
}

/// The version of the Nodes that a watcher knows now.
async fn version(world: &World) -> Result<String, Failure> {
    let nodes = request::done(&world.client, "GET", "/api/v1/nodes?limit=1", &Value::Null).await?;
    let version = nodes["metadata"]["resourceVersion"].as_str();
    Ok(version.ok_or("a list without resourceVersion")?.to_owned())
}

/// Fails if a watch from that version on would go on, because then nothing is measured.
async fn must_be_forgotten(world: &World, version: &str) -> Result<(), Failure> {
    let path = format!("/api/v1/nodes?watch=true&timeoutSeconds=1&resourceVersion={version}");
    let answer = request::call(&world.client, "GET", &path, &Value::Null).await?;
    let code = answer.body["object"]["code"].as_u64();
    if answer.code == 410 || code == Some(GONE) {
        return Ok(());
    }
    Err(format!("the server still knows version {version}: {} {}", answer.code, answer.body).into())
}

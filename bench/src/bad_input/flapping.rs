//! Somebody changes a label of one node as fast as the server takes it. Policies select by that
//! label, so each change asks for other labels of ours.
//!
//! Evidence of other nodes changes meanwhile: their labels must not be late. Such a writer keeps the
//! API server busy in any case, so the same is measured beside changes of an annotation, which the
//! operator does not read.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use e2e::request;
use kube::Client;
use serde::Serialize;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::running;
use crate::Failure;
use crate::audit;
use crate::course::{Course, Follows};
use crate::fleet::{Proof, name, objects};
use crate::latency::{self, Latency, Rate};
use crate::operator::Operator;
use crate::stats::{Quantiles, count, rounded};
use crate::world::{OPERATOR, World, say};

const RATE: Rate = Rate { changes_per_second: 50, seconds: 10 };
/// None of the nodes whose evidence changes.
const NODE: usize = 1;
/// How many of the changes are under way at once.
const WRITERS: usize = 4;
/// The values. Those of the label both select policies.
const VALUES: [&str; 2] = ["1", "2"];

/// What changes.
#[derive(Clone, Copy)]
enum Changed {
    /// The operator does not read it.
    Annotation,
    /// Policies select by it.
    Label,
}

impl Changed {
    fn patch(self, value: &str) -> Value {
        let (field, key) = match self {
            Self::Annotation => ("annotations", "example.com/flapping"),
            Self::Label => ("labels", objects::TENTH),
        };
        json!({"metadata": {field: {key: value}}})
    }
}

#[derive(Clone, Debug, Serialize)]
pub struct Flapping {
    pub changes_per_second: f64,
    /// The operator's writes to that Node, with those that were refused because it had changed.
    pub writes_per_second: f64,
    pub writes_per_change: f64,
    /// Of the other nodes, beside changes of the annotation, and of the label.
    pub beside_annotation_ms: Quantiles,
    pub label_ms: Quantiles,
    pub p99_above_server_ms: f64,
    /// Of these two.
    pub p99_ratio: f64,
    pub missing: usize,
    /// Of one CPU.
    pub operator_cpu_share: f64,
    pub peak_rss_bytes: u64,
}

pub async fn measure(world: &Arc<World>) -> Result<Flapping, Failure> {
    let operator = running(world).await?;
    say(&format!("an annotation of {} changes as fast as the server takes it", name(NODE)));
    let flapping = Flaps::start(world, Changed::Annotation).await?;
    let annotation = latency::measure(world, &operator, RATE).await?;
    flapping.stop().await;
    say(&format!("a label of {}, by which policies select, does", name(NODE)));
    let (log, cpu) = (world.server.audit_log(), operator.usage().cpu_seconds);
    let (offset, began) = (audit::end(&log)?, Instant::now());
    let flapping = Flaps::start(world, Changed::Label).await?;
    let others = latency::measure(world, &operator, RATE).await?;
    let (changes, seconds) = (flapping.stop().await, began.elapsed().as_secs_f64());
    let usage = operator.usage();
    let ours = audit::writes(&audit::since(&log, offset)?, OPERATOR);
    let of_node =
        ours.iter().filter(|write| write.name == name(NODE) && write.resource.starts_with("nodes"));
    let writes = of_node.count();
    rest(world, &operator).await?;
    let Latency { label_ms, p99_above_server_ms, missing, .. } = others;
    Ok(Flapping {
        changes_per_second: rounded(count(changes) / seconds),
        writes_per_second: rounded(count(writes) / seconds),
        writes_per_change: rounded(count(writes) / count(changes.max(1))),
        beside_annotation_ms: annotation.label_ms,
        label_ms,
        p99_above_server_ms,
        p99_ratio: rounded(label_ms.p99 / annotation.label_ms.p99),
        missing: missing + annotation.missing,
        operator_cpu_share: rounded((usage.cpu_seconds - cpu) / seconds),
        peak_rss_bytes: usage.peak_rss_bytes,
    })
}

/// Gives the node its own label back, and waits until everything is right.
async fn rest(world: &World, operator: &Operator) -> Result<(), Failure> {
    let (began, course) = (Instant::now(), Course::begin(world, operator)?);
    let follows = Follows::start(&world.client).await?;
    set(&world.client, Changed::Label, VALUES[0]).await?;
    course.until_right(&follows, Proof::Denied, began).await?;
    Ok(())
}

async fn set(client: &Client, what: Changed, value: &str) -> Result<Value, request::Error> {
    let path = format!("/api/v1/nodes/{}", name(NODE));
    request::done(client, "MERGE", &path, &what.patch(value)).await
}

/// The writers. They end when this is dropped.
struct Flaps {
    changes: Arc<AtomicUsize>,
    writers: JoinSet<()>,
}

impl Flaps {
    async fn start(world: &World, what: Changed) -> Result<Self, Failure> {
        // A user of its own, so that its writes are not taken for those of the measurement.
        let client = world.server.client_for("bench-flapping", Some("system:masters")).await?;
        let (changes, mut writers) = (Arc::new(AtomicUsize::new(0)), JoinSet::new());
        for first in 0..WRITERS {
            let (client, changes) = (client.clone(), changes.clone());
            writers.spawn(async move {
                for value in VALUES.into_iter().cycle().skip(first) {
                    // A refused change is none.
                    if set(&client, what, value).await.is_ok() {
                        changes.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
        Ok(Self { changes, writers })
    }

    /// Ends them. Returns how many changes there were.
    async fn stop(mut self) -> usize {
        self.writers.shutdown().await;
        self.changes.load(Ordering::Relaxed)
    }
}

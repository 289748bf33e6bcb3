//! Section start: how long until the operator has listed everything, beside a bare client that
//! lists the same objects in pages and reads nothing of them but their names.
//!
//! Nothing has changed, so the operator has nothing to write.

use std::time::Instant;

use futures::future::try_join_all;
use http::Request;
use kube::Client;
use serde::{Deserialize, Serialize};

use crate::Failure;
use crate::operator::Operator;
use crate::stats::rounded;
use crate::usage;
use crate::world::{World, say};

const ROUNDS: usize = 3;
/// The collections that the operator lists. As many objects in a page as it asks for.
const COLLECTIONS: [&str; 4] = [
    "/api/v1/nodes",
    "/apis/lsmready.io/v1alpha1/lsmnodes",
    "/apis/lsmready.io/v1alpha1/lsmpolicies",
    "/apis/lsmready.io/v1alpha1/lsmhookprofiles",
];
const PAGE: usize = 500;

/// The shortest of some rounds, one after the other in turns.
#[derive(Clone, Debug, Serialize)]
pub struct Start {
    pub nodes: usize,
    pub bare_list_seconds: f64,
    pub bare_list_cpu_seconds: f64,
    /// From the start of the process until `/readyz` says that it has all lists.
    pub listed_seconds: f64,
    pub listed_cpu_seconds: f64,
    pub ratio: f64,
    /// The most memory that the process has had until then.
    pub peak_rss_bytes: u64,
}

/// Measures it. The operator has written everything, so that the next one only has to read.
pub async fn measure(world: &World, operator: Operator) -> Result<Start, Failure> {
    say("lists: a bare client and the operator in turns");
    let (mut bare, mut listed) = (Vec::new(), Vec::new());
    let (pod, mut peak) = (operator.kill(), 0);
    for _ in 0..ROUNDS {
        let (began, cpu) = (Instant::now(), usage::own_cpu());
        try_join_all(COLLECTIONS.map(|path| list(&world.client, path))).await?;
        bare.push((began.elapsed().as_secs_f64(), usage::own_cpu() - cpu));
        let operator = Operator::start(world, pod).await?;
        listed.push((operator.until_ready().await?.as_secs_f64(), operator.usage().cpu_seconds));
        peak = peak.max(operator.usage().peak_rss_bytes);
        operator.kill();
    }
    let (bare, listed) = (shortest(&bare), shortest(&listed));
    Ok(Start {
        nodes: world.fleet.nodes,
        bare_list_seconds: rounded(bare.0),
        bare_list_cpu_seconds: rounded(bare.1),
        listed_seconds: rounded(listed.0),
        listed_cpu_seconds: rounded(listed.1),
        ratio: rounded(listed.0 / bare.0),
        peak_rss_bytes: peak,
    })
}

fn shortest(rounds: &[(f64, f64)]) -> (f64, f64) {
    let shortest = rounds.iter().copied().min_by(|a, b| a.0.total_cmp(&b.0));
    shortest.unwrap_or_default()
}

#[derive(Deserialize)]
struct Page {
    metadata: Metadata,
    items: Vec<Item>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Metadata {
    r#continue: String,
    name: String,
}

#[derive(Deserialize)]
struct Item {
    metadata: Metadata,
}

async fn list(client: &Client, path: &str) -> Result<usize, Failure> {
    let (mut next, mut names) = (String::new(), Vec::new());
    loop {
        let page = Request::get(format!("{path}?limit={PAGE}&continue={next}")).body(Vec::new())?;
        let page: Page = client.request(page).await?;
        names.extend(page.items.into_iter().map(|item| item.metadata.name));
        next = page.metadata.r#continue;
        if next.is_empty() {
            return Ok(names.len());
        }
    }
}

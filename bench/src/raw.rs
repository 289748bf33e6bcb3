//! The fair baseline: a bare client that makes the writes of the operator, and nothing else.
//!
//! For each node one merge patch of its labels and taints and one strategic patch of a condition,
//! with the same preconditions, of the same size, as many at once, while one watcher watches Nodes
//! as the operator must. The names differ in their prefix only, so the patches stand beside the
//! operator's fields and are removed again.

use std::collections::BTreeMap;
use std::time::Instant;

use futures::{StreamExt, stream};
use http::Request;
use kube::Client;
use lsm_ready_crds::names::NODE_CONDITION;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::Failure;
use crate::fleet::{Fleet, Proof, name, objects};
use crate::follow::{Follow, METADATA, METADATA_LIST, WHOLE};
use crate::stats::rounded;
use crate::usage;
use crate::world::{CONCURRENCY, World};

/// As long as the operator's own word.
const OURS: &str = "lsmready";
const RAW: &str = "rawbench";

/// What the patches cost.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Raw {
    pub seconds: f64,
    pub patches: usize,
    pub client_cpu_seconds: f64,
    pub api_server_cpu_seconds: f64,
    pub etcd_cpu_seconds: f64,
}

impl Raw {
    /// All CPU time.
    pub fn cpu_seconds(&self) -> f64 {
        self.client_cpu_seconds + self.api_server_cpu_seconds + self.etcd_cpu_seconds
    }
}

#[derive(Deserialize)]
struct Written {
    metadata: Identity,
}

#[derive(Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Identity {
    uid: String,
    resource_version: String,
    #[serde(default)]
    name: String,
}

#[derive(Deserialize)]
struct Page {
    metadata: PageMetadata,
    items: Vec<Written>,
}

#[derive(Deserialize)]
struct PageMetadata {
    #[serde(default)]
    r#continue: String,
}

/// Makes the patches, then removes what they left, which is not measured.
pub async fn measure(world: &World, proof: Proof) -> Result<Raw, Failure> {
    let raw = {
        let _as_the_operator = Follow::start(&world.client, "/api/v1/nodes", WHOLE).await?;
        let _as_the_measurement = Follow::start(&world.client, "/api/v1/nodes", METADATA).await?;
        let versions = versions(&world.client).await?;
        let (began, own, plane) = (Instant::now(), usage::own_cpu(), world.plane_cpu());
        patch_all(world, &versions, |node| Patches::add(&world.fleet, node, proof)).await?;
        let (seconds, after) = (began.elapsed().as_secs_f64(), world.plane_cpu());
        Raw {
            seconds: rounded(seconds),
            patches: 2 * world.fleet.nodes,
            client_cpu_seconds: rounded(usage::own_cpu() - own),
            api_server_cpu_seconds: rounded(after.api_server - plane.api_server),
            etcd_cpu_seconds: rounded(after.etcd - plane.etcd),
        }
    };
    let versions = versions(&world.client).await?;
    patch_all(world, &versions, |node| Patches::remove(&world.fleet, node, proof)).await?;
    Ok(raw)
}

async fn versions(client: &Client) -> Result<BTreeMap<String, Identity>, Failure> {
    let (mut versions, mut next) = (BTreeMap::new(), String::new());
    loop {
        let path = format!("/api/v1/nodes?limit=500&continue={next}");
        let page = Request::get(path).header("Accept", METADATA_LIST).body(Vec::new())?;
        let page: Page = client.request(page).await?;
        let of_page = page.items.into_iter().map(|node| node.metadata);
        versions.extend(of_page.map(|version| (version.name.clone(), version)));
        if page.metadata.r#continue.is_empty() {
            return Ok(versions);
        }
        next = page.metadata.r#continue;
    }
}

/// The two patches of a node, without their preconditions.
struct Patches {
    labels: Value,
    status: Value,
}

impl Patches {
    fn add(fleet: &Fleet, node: usize, proof: Proof) -> Self {
        let labels = fleet.labels(node, proof);
        let labels: BTreeMap<_, _> =
            labels.iter().map(|(key, value)| (key.replace(OURS, RAW), value)).collect();
        let mut patch = json!({"metadata": {"labels": labels}});
        if fleet.is_tainted(node, proof) {
            patch["spec"]["taints"] =
                json!([{"key": "rawbench.io/not-ready", "effect": "NoSchedule"}]);
        }
        let report = objects::report(node, proof, "", jiff::Timestamp::UNIX_EPOCH);
        let message = format!(
            "boot {}, probe {}: {}. Fix: {}",
            report.boot_id, report.probe_version, report.message, report.fix
        );
        let (status, now) =
            (if proof == Proof::Denied { "True" } else { "False" }, jiff::Timestamp::now());
        let condition = json!({"type": NODE_CONDITION.replace(OURS, RAW), "status": status,
            "reason": report.reason, "message": message,
            "lastTransitionTime": seconds(now), "lastHeartbeatTime": seconds(now)});
        Self { labels: patch, status: json!({"status": {"conditions": [condition]}}) }
    }

    fn remove(fleet: &Fleet, node: usize, proof: Proof) -> Self {
        let labels = fleet.labels(node, proof);
        let labels: BTreeMap<_, _> =
            labels.keys().map(|key| (key.replace(OURS, RAW), Value::Null)).collect();
        let mut patch = json!({"metadata": {"labels": labels}});
        if fleet.is_tainted(node, proof) {
            patch["spec"]["taints"] = Value::Null;
        }
        let condition = json!({"type": NODE_CONDITION.replace(OURS, RAW), "$patch": "delete"});
        Self { labels: patch, status: json!({"status": {"conditions": [condition]}}) }
    }
}

fn seconds(time: jiff::Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

async fn patch_all(
    world: &World,
    versions: &BTreeMap<String, Identity>,
    patches: impl Fn(usize) -> Patches,
) -> Result<(), Failure> {
    let nodes = stream::iter(0..world.fleet.nodes).map(|node| {
        let (version, patches) = (versions.get(&name(node)), patches(node));
        async move {
            let version = version.ok_or_else(|| format!("there is no {}", name(node)))?;
            patch_node(&world.client, version, patches).await
        }
    });
    let mut nodes = nodes.buffer_unordered(CONCURRENCY);
    while let Some(done) = nodes.next().await {
        done?;
    }
    Ok(())
}

async fn patch_node(client: &Client, version: &Identity, patches: Patches) -> Result<(), Failure> {
    let path = format!("/api/v1/nodes/{}", version.name);
    let written = patch(client, &path, "application/merge-patch+json", version, patches.labels);
    let version = Identity { name: String::new(), ..written.await? };
    let path = format!("{path}/status");
    let kind = "application/strategic-merge-patch+json";
    patch(client, &path, kind, &version, patches.status).await?;
    Ok(())
}

async fn patch(
    client: &Client,
    path: &str,
    kind: &'static str,
    version: &Identity,
    mut body: Value,
) -> Result<Identity, Failure> {
    body["metadata"]["uid"] = json!(version.uid);
    body["metadata"]["resourceVersion"] = json!(version.resource_version);
    let request = Request::patch(format!("{path}?fieldManager=rawbench"))
        .header("Content-Type", kind)
        .header("Accept", "application/json")
        .body(body.to_string().into_bytes())?;
    Ok(client.request::<Written>(request).await?.metadata)
}

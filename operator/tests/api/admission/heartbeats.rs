//! What the reservation costs the API server when kubelets report. A measurement:
//!
//! ```text
//! cargo test --release --workspace --test api -- --ignored --nocapture heartbeats
//! ```
//!
//! One API server, and three groups of Nodes that differ in a label only. By their object selectors
//! the bindings apply to no group, to one, or to two. So the groups are compared in one run, batch
//! beside batch, in changing order. What counts is the CPU time of the API server's process.

use std::fs;
use std::time::Duration;

use e2e::api::ApiServer;
use e2e::paths;
use e2e::process::Processes;
use kube::Client;
use serde_json::{Value, json};

use super::NODES;
use crate::server::{OPERATOR, call, done, node_object, start, unbound};

const BINDINGS: &str = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings";
const LEASES: &str = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases";
const GROUPS: [&str; 3] = ["none", "reserved", "both"];
const NODES_PER_GROUP: usize = 50;
const BATCH: u32 = 300;
const ROUNDS: usize = 30;
/// Each of 5,000 kubelets renews its Lease every ten seconds and reports its status every five
/// minutes (the defaults nodeLeaseDurationSeconds 40, a quarter of it, and nodeStatusReportFrequency
/// 5m).
const LEASES_PER_STATUS: f64 = 30.0;

/// A Node like those of a cloud: 25 labels, 50 images, and what is ours. Returns its Lease.
async fn create(admin: &Client, operator: &Client, group: &str, number: usize) -> Value {
    let name = format!("{group}-{number}");
    let mut node = node_object(&name);
    for label in 0..25 {
        node["metadata"]["labels"][format!("example.com/label-{label}")] = json!("some-value");
    }
    node["metadata"]["labels"]["group"] = json!(group);
    done(admin, "POST", NODES, &node).await;
    let images: Vec<Value> = (0..50)
        .map(|image| {
            let digest = format!("registry.example.com/team/image-{image}@sha256:{image:064}");
            json!({"names": [digest, format!("registry.example.com/team/image-{image}:v1")],
                "sizeBytes": 12_345_678})
        })
        .collect();
    let condition =
        |name: &str| json!({"type": name, "status": "False", "reason": "r", "message": "m"});
    let conditions =
        ["Ready", "MemoryPressure", "DiskPressure", "PIDPressure"].map(condition).to_vec();
    let status = json!({"status": {"images": images, "conditions": conditions}});
    done(admin, "STRATEGIC", &format!("{NODES}/{name}/status"), &status).await;
    let labels = json!({"lsmready.node-restriction.kubernetes.io/bpf": "true",
        "lsmready.node-restriction.kubernetes.io/policy.enforce": "ready"});
    let patch = json!({"metadata": {"labels": labels}});
    done(operator, "MERGE", &format!("{NODES}/{name}"), &patch).await;
    let ours = json!({"status": {"conditions": [condition("lsmready.io/LsmBpfReady")]}});
    done(operator, "STRATEGIC", &format!("{NODES}/{name}/status"), &ours).await;
    let lease = json!({"metadata": {"name": name}, "spec": {"holderIdentity": name}});
    done(admin, "POST", LEASES, &lease).await
}

/// The binding of that policy applies to Nodes of these groups only.
async fn select(admin: &Client, policy: &str, groups: &[&str]) {
    let selector = json!({"matchExpressions": [
        {"key": "group", "operator": "In", "values": groups}]});
    let patch = json!({"spec": {"matchResources": {"objectSelector": selector}}});
    done(admin, "MERGE", &format!("{BINDINGS}/{policy}"), &patch).await;
}

/// The CPU time that the API server's threads have used.
fn cpu(pid: u32) -> Duration {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let nanoseconds = tasks.filter_map(|task| {
        let text = fs::read_to_string(task.ok()?.path().join("schedstat")).ok()?;
        text.split_whitespace().next()?.parse::<u64>().ok()
    });
    Duration::from_nanos(nanoseconds.sum())
}

fn pid_of(server: &ApiServer) -> u32 {
    let processes = server.kubeconfig().with_file_name("processes");
    Processes::new(processes).get("kube-apiserver").unwrap().pid
}

/// Kubelets of all groups, and the API server that they report to.
struct Kubelets {
    client: Client,
    pid: u32,
    beats: u32,
    /// The Leases of the first group, as the API server returned them last.
    leases: Vec<Value>,
}

impl Kubelets {
    fn time(&mut self) -> String {
        self.beats += 1;
        let (hours, minutes) = (self.beats / 3600 % 24, self.beats / 60 % 60);
        format!("2026-01-01T{hours:02}:{minutes:02}:{:02}", self.beats % 60)
    }

    /// The status report of a node, as a kubelet patches it.
    async fn report(&mut self, group: &str, number: usize) {
        let time = format!("{}Z", self.time());
        let status = json!({"status": {"conditions": [
            {"type": "Ready", "status": "True", "lastHeartbeatTime": time}]}});
        let path = format!("{NODES}/{group}-{number}/status");
        let answer = call(&self.client, "STRATEGIC", &path, &status).await;
        assert!(answer.is_ok() && answer.warnings.is_empty(), "{answer:?}");
    }

    /// The renewal of a node's Lease.
    async fn renew(&mut self, group: &str, number: usize) {
        let time = format!("{}.000000Z", self.time());
        self.leases[number]["spec"]["renewTime"] = json!(time);
        let path = format!("{LEASES}/{group}-{number}");
        self.leases[number] = done(&self.client, "PUT", &path, &self.leases[number]).await;
    }

    /// CPU time of one of these requests, in microseconds.
    async fn cost(&mut self, group: &str, kind: Kind) -> f64 {
        let before = cpu(self.pid);
        for number in 0..BATCH {
            match kind {
                Kind::Report => self.report(group, number as usize % NODES_PER_GROUP).await,
                Kind::Renewal => self.renew(group, number as usize % NODES_PER_GROUP).await,
            }
        }
        (cpu(self.pid) - before).as_secs_f64() * 1e6 / f64::from(BATCH)
    }
}

/// What a kubelet sends.
#[derive(Clone, Copy)]
enum Kind {
    Report,
    Renewal,
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

#[tokio::test]
#[ignore = "a measurement of some minutes"]
async fn heartbeats_cost() {
    let server = start("heartbeats").await;
    let admin = server.client().await.unwrap();
    let operator = unbound(&server, OPERATOR).await;
    select(&admin, "lsm-ready-reserved", &["reserved", "both"]).await;
    select(&admin, "lsm-ready-operator-on-nodes", &["both"]).await;
    let pid = pid_of(&server);
    let mut kubelets = Kubelets { client: admin.clone(), pid, beats: 0, leases: Vec::new() };
    for group in GROUPS.into_iter().rev() {
        kubelets.leases.clear();
        for number in 0..NODES_PER_GROUP {
            kubelets.leases.push(create(&admin, &operator, group, number).await);
        }
    }
    let mut found: [Vec<f64>; 4] = Default::default();
    for round in 0..ROUNDS {
        for step in 0..GROUPS.len() {
            let group = (round + step) % GROUPS.len();
            found[group].push(kubelets.cost(GROUPS[group], Kind::Report).await);
        }
        found[3].push(kubelets.cost(GROUPS[0], Kind::Renewal).await);
    }
    let of_policy = |group: usize| {
        let pairs = found[group].iter().zip(&found[0]);
        median(&mut pairs.map(|(with, without)| with - without).collect::<Vec<_>>())
    };
    let (reserved, both) = (of_policy(1), of_policy(2));
    let (status, lease) = (median(&mut found[0].clone()), median(&mut found[3].clone()));
    let share = |cost: f64| 100.0 * cost / (status + LEASES_PER_STATUS * lease);
    println!(
        "CPU of the API server: status report {status:.0} µs, renewal of a Lease {lease:.0} µs"
    );
    println!(
        "lsm-ready-reserved adds {reserved:.0} µs to a status report, both policies {both:.0} µs"
    );
    println!("share of all heartbeats: {:.2} % and {:.2} %", share(reserved), share(both));
    let text = metrics(&admin).await;
    fs::create_dir_all(paths::workspace().join("target/bench")).unwrap();
    fs::write(paths::workspace().join("target/bench/heartbeats.txt"), &text).unwrap();
    assert!(share(reserved) <= 1.0, "the reservation costs {:.2} %", share(reserved));
}

/// The API server's own figures of match conditions.
async fn metrics(admin: &Client) -> String {
    let request = http::Request::get("/metrics").body(Vec::new()).unwrap();
    let text = admin.request_text(request).await.unwrap();
    let own = text.lines().filter(|line| line.contains("match_condition") && line.contains("lsm"));
    own.collect::<Vec<_>>().join("\n")
}

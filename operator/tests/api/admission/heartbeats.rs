//! What the reservation costs the API server when kubelets report. A measurement:
//!
//! ```text
//! cargo test --release --workspace --test api -- --ignored --nocapture heartbeats
//! ```
//!
//! One API server, and three groups of Nodes that differ in a label only. By their object selectors
//! the bindings apply to one group each: no policy, the policy without the reservation, the policy.
//! So the groups are compared in one run, batch beside batch, in changing order. What counts is the
//! CPU time of the API server's process.

use std::fs;
use std::time::Duration;

use e2e::api::ApiServer;
use e2e::process::Processes;
use kube::Client;
use serde_json::{Value, json};

use super::NODES;
use crate::server::{OPERATOR, call, done, node_object, start, unbound};

const BINDINGS: &str = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings";
const LEASES: &str = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases";
const POLICIES: &str = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies";
const GROUPS: [&str; 3] = ["none", "without", "with"];
const NODES_PER_GROUP: usize = 50;
const BATCH: u32 = 150;
const ROUNDS: usize = 15;
/// Each of 5,000 kubelets renews its Lease every ten seconds and reports its status every five
/// minutes: a quarter of nodeLeaseDurationSeconds, and nodeStatusReportFrequency, by default.
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

/// The policy that sees heartbeats applies to the group `with`, and a copy of it that looks at the
/// operator's writes only to the group `without`.
async fn bind(admin: &Client) {
    let name = "lsm-ready-operator-on-nodes";
    let policy = done(admin, "GET", &format!("{POLICIES}/{name}"), &Value::Null).await;
    let mut copy = json!({"metadata": {"name": "without"}, "spec": policy["spec"]});
    copy["spec"]["matchConditions"] = json!([{"name": "operator",
        "expression": "request.userInfo.username == \
            'system:serviceaccount:lsm-ready-system:lsm-ready-operator'"}]);
    done(admin, "POST", POLICIES, &copy).await;
    let selector = |group: &str| json!({"objectSelector": {"matchLabels": {"group": group}}});
    let binding = json!({"metadata": {"name": "without"}, "spec": {"policyName": "without",
        "validationActions": ["Deny"], "matchResources": selector("without")}});
    done(admin, "POST", BINDINGS, &binding).await;
    let own = json!({"spec": {"matchResources": selector("with")}});
    done(admin, "MERGE", &format!("{BINDINGS}/{name}"), &own).await;
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
        cpu(self.pid).saturating_sub(before).as_secs_f64() * 1e6 / f64::from(BATCH)
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
    bind(&admin).await;
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
    let added = |group: usize, to: usize| {
        let pairs = found[group].iter().zip(&found[to]);
        median(&mut pairs.map(|(with, without)| with - without).collect::<Vec<_>>())
    };
    let (reservation, policy) = (added(2, 1), added(2, 0));
    let (status, lease) = (median(&mut found[1].clone()), median(&mut found[3].clone()));
    let of_all = |cost: f64| 100.0 * cost / (status + LEASES_PER_STATUS * lease);
    let of_status = |cost: f64| 100.0 * cost / status;
    println!("CPU of the API server: status report {status:.0} µs, Lease {lease:.0} µs");
    for (what, cost) in [("the reservation", reservation), ("the whole policy", policy)] {
        println!(
            "{what}: {cost:.0} µs, {:.2} % of a status report, {:.2} % of all heartbeats",
            of_status(cost),
            of_all(cost)
        );
    }
    assert!(of_all(reservation) <= 1.0, "the reservation costs {:.2} %", of_all(reservation));
}

//! Time for a large cluster: 100 policies and 5,000 nodes.
#![allow(clippy::unwrap_used, reason = "what cannot be prepared fails the test")]

use std::time::{Duration, Instant};

use kubectl_lsm::documents::Document;
use kubectl_lsm::preflight::nodes::Cluster;
use kubectl_lsm::preflight::{policies, preflight};
use lsm_ready_crds::fixture;
use lsm_ready_crds::profile::LsmHookProfileSpec;
use lsm_ready_crds::{Evidence, LsmHookProfile, State};
use lsm_ready_tetragon::verdict::TargetVersion;
use serde_json::{Value, json};

const NODES: usize = 5_000;
const POLICIES: usize = 100;
/// On a busy machine. An optimised build takes less than 100 ms on an idle one. To ask each node
/// about each hook of each policy, 5 million questions, takes longer than this.
const DEADLINE: Duration =
    if cfg!(debug_assertions) { Duration::from_secs(3) } else { Duration::from_millis(300) };

fn document(value: Value) -> Document {
    Document { number: 1, line: 1, value }
}

fn profile(kernel: usize) -> LsmHookProfile {
    let hooks: Vec<String> =
        (0..270).map(|number| format!("hook_{number}_{}", "x".repeat(number % 20))).collect();
    let spec = json!({
        "kernel": format!("6.{kernel} x86_64"),
        "hooks": hooks,
        "sleepableHooks": ["file_open"],
    });
    let spec: LsmHookProfileSpec = serde_json::from_value(spec).unwrap();
    LsmHookProfile::new(&spec.digest(), spec)
}

/// The LsmNode of a node whose report names that profile. One of fifty nodes cannot deny.
fn lsm_node(number: usize, profile: &LsmHookProfile) -> Value {
    let mut status = if number.is_multiple_of(50) {
        fixture::report("b", Evidence::Attached, "R")
    } else {
        fixture::denied("b")
    };
    status.hook_profile.clone_from(&profile.metadata.name);
    status.checks.push(fixture::kernel_reads(State::Ready));
    json!({
        "apiVersion": "lsmready.io/v1alpha1", "kind": "LsmNode",
        "metadata": {"name": name(number)},
        "status": status,
    })
}

/// The Node with that number, in one of 7 zones and 90 pools.
fn node(number: usize) -> Value {
    let labels = json!({
        "kubernetes.io/hostname": name(number),
        "zone": format!("z{}", number % 7),
        "pool": format!("p{}", number % 90),
    });
    json!({
        "apiVersion": "v1", "kind": "Node",
        "metadata": {"name": name(number), "labels": labels},
        "status": {"nodeInfo": {
            "bootID": "b", "architecture": "", "containerRuntimeVersion": "", "kernelVersion": "",
            "kubeProxyVersion": "", "kubeletVersion": "", "machineID": "", "operatingSystem": "",
            "osImage": "", "systemUUID": "",
        }},
    })
}

fn name(number: usize) -> String {
    format!("node-{number:05}")
}

fn cluster() -> Cluster {
    let profiles: Vec<LsmHookProfile> = (1..5).map(profile).collect();
    let mut objects: Vec<Value> =
        profiles.iter().map(|profile| serde_json::to_value(profile).unwrap()).collect();
    for number in 0..NODES {
        objects.push(lsm_node(number, &profiles[number % profiles.len()]));
        objects.push(node(number));
    }
    let documents: Vec<Document> = objects.into_iter().map(document).collect();
    let mut cluster = Cluster::default();
    cluster.add("nodes", &documents).unwrap();
    cluster
}

/// A policy with ten hooks. Each second policy selects one pool.
fn policy(number: usize) -> Document {
    let hook = |hook: usize| {
        json!({
            "hook": format!("hook_{}_{}", number + hook, "x".repeat(hook % 20)),
            "selectors": [{"matchActions": [{"action": "Sigkill"}]}],
        })
    };
    let hooks: Vec<Value> = (0..10).map(hook).collect();
    let pool = json!({"matchLabels": {"pool": format!("p{number}")}});
    let selector = if number.is_multiple_of(2) { pool } else { Value::Null };
    document(json!({
        "apiVersion": "cilium.io/v1alpha1", "kind": "TracingPolicy",
        "metadata": {"name": format!("p{number}")},
        "spec": {"lsmhooks": hooks, "nodeSelector": selector},
    }))
}

/// The shortest of three times, because another process may use the processor for a while.
fn shortest(mut run: impl FnMut()) -> Duration {
    let times = (0..3).map(|_| {
        let began = Instant::now();
        run();
        began.elapsed()
    });
    times.min().unwrap_or_default()
}

#[test]
fn a_hundred_policies_are_judged_on_five_thousand_nodes_in_time() {
    let cluster = cluster();
    let found = policies("p.yaml", (0..POLICIES).map(policy).collect());
    let answer = preflight(&found.policies, &cluster, TargetVersion::of(None));
    assert_eq!((answer.policies.len(), answer.nodes), (POLICIES, NODES));
    let read = shortest(|| drop(policies("p.yaml", (0..POLICIES).map(policy).collect())));
    let judged = shortest(|| drop(preflight(&found.policies, &cluster, TargetVersion::of(None))));
    println!("{POLICIES} policies on {NODES} nodes: read in {read:?}, judged in {judged:?}");
    assert!(
        read + judged < DEADLINE,
        "read in {read:?}, judged in {judged:?}, at most {DEADLINE:?} together"
    );
}

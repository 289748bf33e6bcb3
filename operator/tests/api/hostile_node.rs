//! What root on a node can make the operator write, with the token of its kubelet: nothing false,
//! and not a write for each of its own.

use std::time::Instant;

use e2e::wait;
use kube::Client;
use serde_json::{Value, json};

use crate::operator::{DEADLINE, apply_policy, labelled, report};
use crate::pool::Turn;
use crate::process::Operator;
use crate::server::{self, done};

const NODE: &str = "/api/v1/nodes/n1";
const STATUS: &str = "/api/v1/nodes/n1/status";
const CONDITION: &str = "lsmready.io/LsmBpfReady";
const TAINT: &str = "lsmready.io/not-ready";
/// How often something is changed.
const CHANGES: u64 = 200;

/// A node that reports so, a policy with a taint, the operator, and the node's kubelet.
struct Scene {
    turn: Turn,
    admin: Client,
    kubelet: Client,
    operator: Operator,
}

impl Scene {
    async fn reporting(evidence: &str) -> Self {
        let turn = server::exclusive().await;
        let admin = turn.server.client().await.unwrap();
        let kubelet = turn.server.client_for("system:node:n1", Some("system:nodes")).await.unwrap();
        server::create_node(turn.server, "n1").await;
        report(&admin, "n1", evidence, "1").await;
        apply_policy(&admin, "enforce", &json!({"taint": {"effect": "NoSchedule"}})).await;
        let operator = Operator::with_breaker(turn.server);
        let state = if evidence == "Denied" { "ready" } else { "not-ready" };
        labelled(&admin, "n1", json!({"policy.enforce": state})).await;
        Self { turn, admin, kubelet, operator }
    }

    /// How often the operator has written Nodes.
    async fn writes(&self) -> u64 {
        let metric = async |kind| {
            self.operator.metric(&format!("lsm_ready_writes_total{{kind=\"{kind}\"")).await
        };
        metric("Node").await + metric("Node/status").await
    }

    /// Waits until the Node is right.
    async fn shows(&self, what: &str, is_right: impl Fn(&Value) -> bool) {
        wait::until(DEADLINE, what, async || {
            let node = done(&self.admin, "GET", NODE, &Value::Null).await;
            if is_right(&node) { Ok(()) } else { Err(node.to_string()) }
        })
        .await
        .unwrap();
    }
}

fn ours(node: &Value) -> Vec<&Value> {
    let conditions = node["status"]["conditions"].as_array().unwrap().iter();
    conditions.filter(|condition| condition["type"] == CONDITION).collect()
}

/// Of two conditions of one type, one program reads the first and another the last.
#[tokio::test]
async fn a_second_condition_of_our_type_is_removed() {
    let scene = Scene::reporting("Attached").await;
    let is_one = |node: &Value| ours(node).len() == 1 && ours(node)[0]["status"] == "False";
    scene.shows("the operator's condition", is_one).await;
    for place in [0, 1] {
        let mut whole = done(&scene.kubelet, "GET", NODE, &Value::Null).await;
        let claim = json!({"type": CONDITION, "status": "True", "reason": "CanaryDenied",
            "message": "boot 1: Denied"});
        let conditions = whole["status"]["conditions"].as_array_mut().unwrap();
        let end = if place == 0 { 0 } else { conditions.len() };
        conditions.insert(end, claim);
        whole["metadata"]["managedFields"] = Value::Null;
        let written = done(&scene.kubelet, "PUT", STATUS, &whole).await;
        assert_eq!(ours(&written).len(), 2, "the API server takes it: {written}");
        scene.shows("one condition", is_one).await;
    }
    scene.operator.terminate();
    drop(scene.turn);
}

/// A toleration with the operator Equal would not match a taint with a value.
#[tokio::test]
async fn a_value_of_our_taint_is_removed() {
    let scene = Scene::reporting("Attached").await;
    let taint = |node: &Value| {
        let taints = node["spec"]["taints"].as_array().cloned().unwrap_or_default();
        taints.into_iter().find(|taint| taint["key"] == TAINT)
    };
    let is_plain = |node: &Value| taint(node).is_some_and(|taint| taint["value"].is_null());
    scene.shows("the taint", is_plain).await;
    let mut taints = done(&scene.admin, "GET", NODE, &Value::Null).await["spec"]["taints"].take();
    for taint in taints.as_array_mut().unwrap().iter_mut().filter(|taint| taint["key"] == TAINT) {
        taint["value"] = json!("x");
    }
    let spec = json!({"spec": {"taints": taints}});
    let valued = done(&scene.admin, "MERGE", NODE, &spec).await;
    assert_eq!(taint(&valued).unwrap()["value"], "x");
    scene.shows("the taint without a value", is_plain).await;
    scene.operator.terminate();
    drop(scene.turn);
}

/// What the operator writes follows from the boot ID, the labels and the report, and the node says
/// all of them.
#[tokio::test]
async fn a_node_that_changes_what_it_says_again_and_again_is_not_answered_each_time() {
    let scene = Scene::reporting("Denied").await;
    let (before, began) = (scene.writes().await, Instant::now());
    for number in 0..CHANGES {
        let boot = json!({"status": {"nodeInfo": {"bootID": (number % 2 + 1).to_string()}}});
        done(&scene.kubelet, "STRATEGIC", STATUS, &boot).await;
        let os = json!({"metadata": {"labels": {"kubernetes.io/os": format!("os{number}")}}});
        done(&scene.kubelet, "STRATEGIC", NODE, &os).await;
        let status = json!({"status": {"message": format!("because {number}")}});
        let path = "/apis/lsmready.io/v1alpha1/lsmnodes/n1/status";
        done(&scene.admin, "MERGE", path, &status).await;
    }
    // Twenty at once and one in three seconds, with a loss between two of them.
    let seconds = began.elapsed().as_secs();
    let most = 2 * (20 + seconds / 3 + 2);
    let writes = scene.writes().await - before;
    assert!(writes <= most, "{writes} writes for {CHANGES} changes in {seconds} s, at most {most}");
    // The label is right in the end, and a loss is written at once.
    let boot = json!({"status": {"nodeInfo": {"bootID": "1"}}});
    done(&scene.kubelet, "STRATEGIC", STATUS, &boot).await;
    labelled(&scene.admin, "n1", json!({"bpf": "true"})).await;
    let lost = Instant::now();
    report(&scene.admin, "n1", "Attached", "1").await;
    labelled(&scene.admin, "n1", json!({"bpf": "false"})).await;
    assert!(lost.elapsed().as_secs() < 3, "{:?}", lost.elapsed());
    scene.operator.terminate();
    drop(scene.turn);
}

/// The condition repeats the boot ID.
#[tokio::test]
async fn no_boot_id_of_a_node_reaches_a_terminal() {
    let scene = Scene::reporting("Denied").await;
    for boot in ["1\u{1b}[2J\u{202e}", &"b".repeat(100_000)] {
        let info = json!({"status": {"nodeInfo": {"bootID": boot}}});
        done(&scene.kubelet, "STRATEGIC", STATUS, &info).await;
        labelled(&scene.admin, "n1", json!({"bpf": "unknown"})).await;
        let is_plain = |node: &Value| {
            let message = ours(node)[0]["message"].as_str().unwrap();
            ours(node)[0]["status"] == "Unknown" && message.len() < 2000 && message.is_ascii()
        };
        scene.shows("a printable condition", is_plain).await;
        let info = json!({"status": {"nodeInfo": {"bootID": "1"}}});
        done(&scene.kubelet, "STRATEGIC", STATUS, &info).await;
        labelled(&scene.admin, "n1", json!({"bpf": "true"})).await;
    }
    scene.operator.terminate();
    drop(scene.turn);
}

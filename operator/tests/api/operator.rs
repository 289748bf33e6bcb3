//! The operator's own process, with the rights and under the admission policies that it has in a
//! cluster.

use std::time::Duration;

use e2e::api::ApiServer;
use e2e::wait;
use kube::Client;
use lsm_ready_crds::fixture;
use serde_json::{Value, json};

use crate::process::{Operator, Pod};
use crate::server::{self, NAMESPACE, OPERATOR, call, done};

pub const DEADLINE: Duration = Duration::from_secs(30);
const LABELS: &str = "lsmready.node-restriction.kubernetes.io/";
pub const LEASE: &str =
    "/apis/coordination.k8s.io/v1/namespaces/lsm-ready-system/leases/lsm-ready-operator";

pub async fn report(client: &Client, node: &str, evidence: &str, boot: &str) {
    let path = format!("/apis/lsmready.io/v1alpha1/lsmnodes/{node}");
    let object = json!({"apiVersion": "lsmready.io/v1alpha1", "kind": "LsmNode"});
    done(client, "APPLY", &path, &object).await;
    let reason = if evidence == "Denied" { "CanaryDenied" } else { "BpfNotInLsmList" };
    let mut status = json!({"status": fixture::report(boot, fixture::evidence(evidence), reason)});
    status["status"]["message"] = json!("because");
    status["status"]["observedTime"] = json!(jiff::Timestamp::now().to_string());
    done(client, "MERGE", &format!("{path}/status"), &status).await;
}

pub async fn apply_policy(client: &Client, name: &str, spec: &Value) {
    let object = json!({"apiVersion": "lsmready.io/v1alpha1", "kind": "LsmPolicy", "spec": spec});
    done(client, "APPLY", &format!("/apis/lsmready.io/v1alpha1/lsmpolicies/{name}"), &object).await;
}

/// Waits until the Node has these labels under our prefix. A null label must be absent.
pub async fn labelled(client: &Client, node: &str, wanted: Value) {
    wait::until(DEADLINE, "the node's labels", async || {
        let labels = done(
            client,
            "GET",
            &format!("/api/v1/nodes/{node}"),
            &Value::Null,
        )
        .await["metadata"]["labels"]
            .take();
        let wanted = wanted.as_object().unwrap();
        let right = wanted.iter().all(|(key, value)| {
            labels.get(format!("{LABELS}{key}")).unwrap_or(&Value::Null) == value
        });
        if right { Ok(()) } else { Err(labels.to_string()) }
    })
    .await
    .unwrap();
}

pub async fn holder(client: &Client, wanted: &str) {
    wait::until(DEADLINE, "the Lease's holder", async || {
        let lease = call(client, "GET", LEASE, &Value::Null).await.body;
        let holder = lease["spec"]["holderIdentity"].as_str().unwrap_or_default().to_owned();
        if holder == wanted { Ok(()) } else { Err(holder) }
    })
    .await
    .unwrap();
}

pub async fn create_pod(client: &Client, name: &str) -> String {
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name},
        "spec": {"serviceAccountName": OPERATOR,
            "containers": [{"name": "operator", "image": "none"}]}});
    let pods = format!("/api/v1/namespaces/{NAMESPACE}/pods");
    done(client, "POST", &pods, &pod).await["metadata"]["uid"].as_str().unwrap().to_owned()
}

/// The three parts share a Node and run one after the other.
#[tokio::test]
async fn the_operator_labels_nodes_catches_up_and_hands_over() {
    let turn = server::exclusive().await;
    let client = turn.server.client().await.unwrap();
    labels_and_condition_take_one_patch_of_the_status(turn.server, &client).await;
    evidence_becomes_labels_and_a_reboot_makes_them_unknown(turn.server, &client).await;
    changes_during_the_operators_absence_are_caught_up(turn.server, &client).await;
    another_replica_takes_over_from_the_leader(turn.server, &client).await;
}

/// A Node without a change of taints is not patched itself: the API server takes the labels with
/// the status.
async fn labels_and_condition_take_one_patch_of_the_status(server: &ApiServer, client: &Client) {
    server::create_node(server, "n0").await;
    let operator = Operator::start(server, None);
    labelled(client, "n0", json!({"bpf": "unknown"})).await;
    let node = done(client, "GET", "/api/v1/nodes/n0", &Value::Null).await;
    let managers = node["metadata"]["managedFields"].as_array().unwrap().iter();
    let ours: Vec<_> = managers.filter(|manager| manager["manager"] == "lsm-ready").collect();
    assert!(ours.iter().all(|manager| manager["subresource"] == "status"), "{ours:?}");
    assert!(ours[0]["fieldsV1"].to_string().contains("LsmBpfReady"), "{ours:?}");
    operator.terminate();
    done(client, "DELETE", "/api/v1/nodes/n0", &Value::Null).await;
}

async fn evidence_becomes_labels_and_a_reboot_makes_them_unknown(
    server: &ApiServer,
    client: &Client,
) {
    server::create_node(server, "n1").await;
    apply_policy(client, "enforce", &json!({"taint": {"effect": "NoSchedule"}})).await;
    let operator = Operator::start(server, None);
    labelled(client, "n1", json!({"bpf": "unknown", "policy.enforce": "unknown"})).await;
    report(client, "n1", "Denied", "1").await;
    labelled(client, "n1", json!({"bpf": "true", "policy.enforce": "ready"})).await;
    report(client, "n1", "Attached", "1").await;
    labelled(client, "n1", json!({"bpf": "false", "policy.enforce": "not-ready"})).await;
    let reboot = json!({"status": {"nodeInfo": {"bootID": "2"}}});
    done(client, "MERGE", "/api/v1/nodes/n1/status", &reboot).await;
    labelled(client, "n1", json!({"bpf": "unknown", "policy.enforce": "unknown"})).await;
    let node = done(client, "GET", "/api/v1/nodes/n1", &Value::Null).await;
    let keys: Vec<&str> = node["spec"]["taints"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|taint| taint["key"].as_str())
        .collect();
    // The API server itself taints new Nodes as not ready.
    let wanted = ["example.com/foreign", "node.kubernetes.io/not-ready", "lsmready.io/not-ready"];
    assert_eq!(keys, wanted, "the taints of others stay in place");
    operator.terminate();
}

async fn changes_during_the_operators_absence_are_caught_up(server: &ApiServer, client: &Client) {
    done(client, "DELETE", "/apis/lsmready.io/v1alpha1/lsmpolicies/enforce", &Value::Null).await;
    report(client, "n1", "Denied", "2").await;
    let operator = Operator::start(server, None);
    labelled(client, "n1", json!({"bpf": "true", "policy.enforce": null})).await;
    wait::until(DEADLINE, "the taint to go", async || {
        let node = done(client, "GET", "/api/v1/nodes/n1", &Value::Null).await;
        let taints = node["spec"]["taints"].to_string();
        if taints.contains("lsmready.io") { Err(taints) } else { Ok(()) }
    })
    .await
    .unwrap();
    operator.terminate();
}

async fn another_replica_takes_over_from_the_leader(server: &ApiServer, client: &Client) {
    let (a, b) = (create_pod(client, "op-a").await, create_pod(client, "op-b").await);
    let first = Operator::start(server, Some(Pod { name: "op-a", uid: &a }));
    holder(client, &format!("op-a_{a}")).await;
    let second = Operator::start(server, Some(Pod { name: "op-b", uid: &b }));
    report(client, "n1", "Loaded", "2").await;
    labelled(client, "n1", json!({"bpf": "false"})).await;

    first.terminate();
    holder(client, &format!("op-b_{b}")).await;
    report(client, "n1", "Denied", "2").await;
    labelled(client, "n1", json!({"bpf": "true"})).await;

    // The second is killed: the third takes the Lease although nobody released it.
    drop(second);
    let c = create_pod(client, "op-c").await;
    let third = Operator::start(server, Some(Pod { name: "op-c", uid: &c }));
    holder(client, &format!("op-c_{c}")).await;
    third.terminate();
}

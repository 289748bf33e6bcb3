//! The reservation: nobody but the operator sets or changes our labels, taints and condition on
//! Nodes. By default a warning says so; a binding with Deny refuses.
//!
//! Most of these tests run on the server with config/reserve-deny.

use std::time::Duration;

use e2e::api::ApiServer;
use e2e::wait;
use kube::Client;
use serde_json::{Value, json};

use super::{NODES, refused, server};
use crate::server::{
    OPERATOR, account, call, create_node, denying, done, enforced, node_object, unbound,
    with_rights,
};

const DEADLINE: Duration = Duration::from_secs(30);
const OURS: &str = "lsmready.node-restriction.kubernetes.io";
const CONDITION: &str = "lsmready.io/LsmBpfReady";
const TAINTS: [&str; 3] = lsm_ready_crds::names::TAINT_KEYS;

/// The server that refuses, with a Node of that name.
async fn reserved_node(name: &str) -> &'static ApiServer {
    let server = denying().await;
    let admin = server.client().await.unwrap();
    create_node(server, name).await;
    let path = format!("{NODES}/{name}");
    enforced(&admin, "MERGE", &path, &label("bpf", Some("true"))).await;
    enforced(&admin, "MERGE", &format!("{path}/status"), &label("bpf", Some("true"))).await;
    server
}

fn label(name: &str, value: Option<&str>) -> Value {
    json!({"metadata": {"labels": {format!("{OURS}/{name}"): value}}})
}

fn condition(status: &str) -> Value {
    json!({"status": {"conditions": [{"type": CONDITION, "status": status, "reason": "CanaryDenied",
        "message": "shown"}]}})
}

fn taints(own: &[(&str, &str)]) -> Value {
    let mut all = vec![json!({"key": "example.com/foreign", "effect": "NoSchedule"})];
    all.extend(own.iter().map(|(key, effect)| json!({"key": key, "effect": effect})));
    json!({"spec": {"taints": all}})
}

/// What the operator writes when the node is ready.
async fn judged(operator: &Client, name: &str) {
    let path = format!("{NODES}/{name}");
    done(operator, "MERGE", &path, &label("bpf", Some("false"))).await;
    // The API server has added a taint of its own.
    let mut all = done(operator, "GET", &path, &Value::Null).await["spec"]["taints"].clone();
    all.as_array_mut().unwrap().push(json!({"key": TAINTS[0], "effect": "NoSchedule"}));
    done(operator, "MERGE", &path, &json!({"spec": {"taints": all}})).await;
    done(operator, "STRATEGIC", &format!("{path}/status"), &condition("False")).await;
}

/// Asserts that the client can neither set nor change anything of ours on that Node.
async fn cannot_claim(client: &Client, name: &str) {
    let path = format!("{NODES}/{name}");
    let by_label = "only its operator sets them";
    for patch in [label("bpf", Some("true")), label("policy.x", Some("ready"))] {
        refused(client, "MERGE", &path, &patch, by_label).await;
        refused(client, "MERGE", &format!("{path}/status"), &patch, by_label).await;
    }
    for key in TAINTS {
        let taint = taints(&[(key, "PreferNoSchedule")]);
        refused(client, "MERGE", &path, &taint, "are set by lsm-ready's operator").await;
    }
    let part = "the condition lsmready.io/LsmBpfReady and labels";
    refused(client, "STRATEGIC", &format!("{path}/status"), &condition("True"), part).await;
    let later = json!({"status": {"conditions": [{"type": CONDITION, "status": "False",
        "lastHeartbeatTime": "2026-01-01T00:00:00Z"}]}});
    refused(client, "STRATEGIC", &format!("{path}/status"), &later, part).await;
}

async fn patcher(server: &ApiServer, user: &str) -> Client {
    let rules = json!([{"apiGroups": [""], "resources": ["nodes", "nodes/status"],
        "verbs": ["get", "create", "patch", "update"]}]);
    let right = json!({"verb": "patch", "resource": "nodes"});
    with_rights(server, user, &rules, &right).await
}

#[tokio::test]
async fn an_administrator_cannot_claim_that_a_node_is_ready() {
    let server = reserved_node("reserved-admin").await;
    let admin = server.client().await.unwrap();
    cannot_claim(&admin, "reserved-admin").await;
    judged(&unbound(server, OPERATOR).await, "reserved-admin").await;
    cannot_claim(&admin, "reserved-admin").await;
    // Other labels, taints and conditions stay everyone's, beside ours.
    let path = format!("{NODES}/reserved-admin");
    done(&admin, "MERGE", &path, &json!({"metadata": {"labels": {"zone": "b"}}})).await;
    let both = taints(&[("example.com/more", "NoExecute"), (TAINTS[0], "NoSchedule")]);
    done(&admin, "MERGE", &path, &both).await;
}

/// Cluster API copies labels of Machines under node-restriction.kubernetes.io to Nodes, by
/// server-side apply.
#[tokio::test]
async fn a_label_sync_like_cluster_apis_cannot_claim_that_a_node_is_ready() {
    let server = reserved_node("reserved-capi").await;
    let user = "system:serviceaccount:capi-system:capi-manager";
    let capi = patcher(server, user).await;
    cannot_claim(&capi, "reserved-capi").await;
    let path = format!("{NODES}/reserved-capi");
    let mut machine = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"labels": {
        "node-role.kubernetes.io/worker": "",
        "tier.node-restriction.kubernetes.io/gold": "true"}}});
    done(&capi, "APPLY", &path, &machine).await;
    machine["metadata"]["labels"][format!("{OURS}/bpf")] = json!("true");
    refused(&capi, "APPLY", &path, &machine, "a Machine of Cluster API").await;
}

/// It acts on our condition with taints of its own. It has to use another key than ours.
#[tokio::test]
async fn node_readiness_controller_sets_its_own_taints_and_not_ours() {
    let server = reserved_node("reserved-nrr").await;
    let nrr = patcher(server, "system:serviceaccount:nrr-system:nrr-controller-manager").await;
    cannot_claim(&nrr, "reserved-nrr").await;
    let own = taints(&[("readiness.k8s.io/example.com-network", "NoSchedule")]);
    done(&nrr, "MERGE", &format!("{NODES}/reserved-nrr"), &own).await;
}

#[tokio::test]
async fn the_node_controller_taints_nodes_and_leaves_ours() {
    let server = reserved_node("reserved-controller").await;
    let user = "system:serviceaccount:kube-system:node-controller";
    let controller = server.client_for(user, Some("system:serviceaccounts")).await.unwrap();
    judged(&unbound(server, OPERATOR).await, "reserved-controller").await;
    let path = format!("{NODES}/reserved-controller");
    let both =
        taints(&[(TAINTS[0], "NoSchedule"), ("node.kubernetes.io/unreachable", "NoExecute")]);
    done(&controller, "MERGE", &path, &both).await;
    let unknown = json!({"status": {"conditions": [{"type": "Ready", "status": "Unknown"}]}});
    done(&controller, "STRATEGIC", &format!("{path}/status"), &unknown).await;
    cannot_claim(&controller, "reserved-controller").await;
}

#[tokio::test]
async fn a_kubelet_reports_beside_our_condition_and_cannot_change_it() {
    let server = reserved_node("reserved-kubelet").await;
    let user = "system:node:reserved-kubelet";
    let kubelet = server.client_for(user, Some("system:nodes")).await.unwrap();
    let path = format!("{NODES}/reserved-kubelet/status");
    let part = "the condition lsmready.io/LsmBpfReady and labels";
    refused(&kubelet, "STRATEGIC", &path, &condition("True"), part).await;
    judged(&unbound(server, OPERATOR).await, "reserved-kubelet").await;
    refused(&kubelet, "STRATEGIC", &path, &condition("True"), part).await;
    // Heartbeats pass: as a patch, and as a whole object that carries our condition unchanged.
    let beat = json!({"status": {"conditions": [{"type": "Ready", "status": "True",
        "lastHeartbeatTime": "2026-01-01T00:00:00Z"}]}});
    done(&kubelet, "STRATEGIC", &path, &beat).await;
    let whole = done(&kubelet, "GET", &format!("{NODES}/reserved-kubelet"), &Value::Null).await;
    done(&kubelet, "PUT", &path, &whole).await;
    // NodeRestriction keeps a kubelet from our labels and from all taints.
    let (node, ours) = (format!("{NODES}/reserved-kubelet"), label("bpf", Some("true")));
    assert_eq!(call(&kubelet, "MERGE", &node, &ours).await.code, 403);
}

#[tokio::test]
async fn removing_what_is_ours_is_free() {
    let server = reserved_node("reserved-removal").await;
    judged(&unbound(server, OPERATOR).await, "reserved-removal").await;
    let user = "remover-of-ours";
    let client = patcher(server, user).await;
    let path = format!("{NODES}/reserved-removal");
    done(&client, "MERGE", &path, &label("bpf", None)).await;
    done(&client, "MERGE", &path, &taints(&[])).await;
    let gone = json!({"status": {"conditions": [{"type": CONDITION, "$patch": "delete"}]}});
    done(&client, "STRATEGIC", &format!("{path}/status"), &gone).await;
    let node = done(&client, "GET", &path, &Value::Null).await.to_string();
    assert!(!node.contains(CONDITION) || !node.contains("CanaryDenied"), "{node}");
}

/// Kubelets register with taints, so that no pod lands on a node before its first report, and
/// autoscalers may add them later.
#[tokio::test]
async fn nodes_register_with_our_taints_and_autoscalers_add_them() {
    let server = reserved_node("reserved-scaled").await;
    let user = "system:node:reserved-registered";
    let kubelet = server.client_for(user, Some("system:nodes")).await.unwrap();
    let mut node = node_object("reserved-registered");
    node["spec"] = taints(&TAINTS.map(|key| (key, "NoSchedule")))["spec"].clone();
    done(&kubelet, "POST", NODES, &node).await;
    let karpenter = patcher(server, "system:serviceaccount:kube-system:karpenter").await;
    let path = format!("{NODES}/reserved-scaled");
    done(&karpenter, "MERGE", &path, &taints(&[(TAINTS[2], "NoSchedule")])).await;
    let part = "only its operator sets them";
    refused(&karpenter, "MERGE", &path, &label("bpf", Some("true")), part).await;
}

#[tokio::test]
async fn nobody_creates_a_node_that_is_ready() {
    let server = reserved_node("reserved-first").await;
    let client = patcher(server, "creator-of-nodes").await;
    let mut node = node_object("reserved-new");
    node["metadata"]["labels"][format!("{OURS}/policy.enforce")] = json!("ready");
    refused(&client, "POST", NODES, &node, "only its operator sets them").await;
    let mut node = node_object("reserved-new");
    node["status"] = condition("True")["status"].clone();
    refused(&client, "POST", NODES, &node, "so only its operator sets it").await;
}

/// The expressions cost the more the larger a Node is, and one that costs too much would let the
/// write pass.
#[tokio::test]
async fn the_largest_node_is_protected_too() {
    let server = reserved_node("reserved-large").await;
    let admin = server.client().await.unwrap();
    let path = format!("{NODES}/reserved-large");
    let many: serde_json::Map<String, Value> = (0..8000)
        .map(|i| (format!("example.com/{i:05}-{}", "k".repeat(50)), json!("v".repeat(60))))
        .collect();
    done(&admin, "MERGE", &path, &json!({"metadata": {"labels": many}})).await;
    let size = done(&admin, "GET", &path, &Value::Null).await.to_string().len();
    assert!(size > 1_000_000, "the Node has {size} bytes");
    cannot_claim(&admin, "reserved-large").await;
    let operator = unbound(server, OPERATOR).await;
    done(&operator, "MERGE", &path, &label("bpf", Some("false"))).await;
    // Its kubelet reports as before.
    let user = "system:node:reserved-large";
    let kubelet = server.client_for(user, Some("system:nodes")).await.unwrap();
    let beat = json!({"status": {"conditions": [{"type": "Ready", "status": "True"}]}});
    done(&kubelet, "STRATEGIC", &format!("{path}/status"), &beat).await;
}

/// The default: the write passes, and its writer gets a warning, or is noted in the audit log.
#[tokio::test]
async fn by_default_a_write_of_others_is_warned_about() {
    let server = server().await;
    create_node(server, "reserved-warned").await;
    let admin = server.client().await.unwrap();
    let (path, ours) = (format!("{NODES}/reserved-warned"), label("bpf", Some("true")));
    let status = format!("{path}/status");
    let warned = wait::until(DEADLINE, "a warning", async || {
        let answer = call(&admin, "MERGE", &format!("{path}?dryRun=All"), &ours).await;
        assert!(answer.is_ok(), "{answer:?}");
        answer.warnings.first().cloned().ok_or_else(|| "none".to_owned())
    });
    let warning = warned.await.unwrap();
    assert!(warning.contains("lsm-ready-reserved"), "{warning}");
    let beat = json!({"status": {"conditions": [{"type": "Ready", "status": "True"}]}});
    let answer = call(&admin, "STRATEGIC", &status, &beat).await;
    assert_eq!(answer.warnings, Vec::<String>::new());
    let noted = |count: usize| {
        let log = std::fs::read_to_string(server.audit_log()).unwrap();
        let own = log.lines().filter(|line| line.contains("reserved-warned"));
        let found =
            own.filter(|line| line.contains("lsm-ready-operator-on-nodes/reserved")).count();
        if found == count { Ok(()) } else { Err(format!("{found} writes are noted")) }
    };
    assert_eq!(noted(0), Ok(()), "a heartbeat is not noted");
    done(&admin, "STRATEGIC", &status, &condition("True")).await;
    wait::until(DEADLINE, "the audit log", async || noted(1)).await.unwrap();
    let operator = server.client_for(&account(OPERATOR), Some("system:serviceaccounts")).await;
    let operator = operator.unwrap();
    let answer = call(&operator, "MERGE", &path, &ours).await;
    assert!(answer.is_ok() && answer.warnings.is_empty(), "{answer:?}");
    done(&operator, "STRATEGIC", &status, &condition("False")).await;
    assert_eq!(noted(1), Ok(()), "the operator is not noted");
}

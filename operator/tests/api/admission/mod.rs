//! The admission policies: a probe writes its own LsmNode and profile only, the operator changes
//! nothing of Nodes and DaemonSets except our own fields, nobody else changes these on Nodes, and
//! only our pods have our accounts.

mod accounts;
mod daemon_sets;
mod events;
mod heartbeats;
mod nodes;
mod profiles;
mod reports;
mod reserved;
mod rights;

use e2e::api::ApiServer;
use kube::Client;
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use crate::server::{OPERATOR, PROBE, call, create_node, done, enforced, shared, unbound};

const NODES: &str = "/api/v1/nodes";
const LSM_NODES: &str = "/apis/lsmready.io/v1alpha1/lsmnodes";
const DAEMON_SETS: &str = "/apis/apps/v1/namespaces/kube-system/daemonsets";

/// The shared server, with the objects that these tests use and with our policies enforced.
async fn server() -> &'static ApiServer {
    static PREPARED: OnceCell<()> = OnceCell::const_new();
    let server = shared().await;
    PREPARED.get_or_init(|| prepare(server)).await;
    server
}

async fn prepare(server: &ApiServer) {
    for node in ["node-a", "node-b", "node-c"] {
        create_node(server, node).await;
    }
    let admin = server.client().await.unwrap();
    done(&admin, "APPLY", &format!("{LSM_NODES}/node-b"), &lsm_node("node-b")).await;
    done(&admin, "POST", DAEMON_SETS, &daemon_set()).await;
    let operator = unbound(server, OPERATOR).await;
    let probe = unbound(server, PROBE).await;
    enforced(&probe, "POST", LSM_NODES, &lsm_node("node-z")).await;
    let label = json!({"metadata": {"labels": {"zone": "b"}}});
    enforced(&operator, "MERGE", &format!("{NODES}/node-a"), &label).await;
    enforced(&operator, "MERGE", &format!("{DAEMON_SETS}/tetragon"), &label).await;
}

fn lsm_node(name: &str) -> Value {
    json!({"apiVersion": "lsmready.io/v1alpha1", "kind": "LsmNode", "metadata": {"name": name}})
}

/// A DaemonSet like that of Tetragon's chart: two containers, and mounts of other volumes.
fn daemon_set() -> Value {
    let labels = json!({"app.kubernetes.io/name": "tetragon"});
    json!({
        "apiVersion": "apps/v1", "kind": "DaemonSet",
        "metadata": {"name": "tetragon", "labels": labels},
        "spec": {"selector": {"matchLabels": labels}, "template": {
            "metadata": {"labels": labels, "annotations": {"checksum": "1"}},
            "spec": {
                "hostNetwork": true,
                "containers": [
                    {"name": "export-stdout", "image": "hubble:1", "command": ["tail"],
                        "volumeMounts": [
                            {"name": "logs", "mountPath": "/var/run/cilium/tetragon"}]},
                    {"name": "tetragon", "image": "tetragon:v1.3.0",
                        "securityContext": {"privileged": true},
                        "volumeMounts": [
                            {"name": "bpf-maps", "mountPath": "/sys/fs/bpf",
                                "mountPropagation": "Bidirectional"},
                            {"name": "logs", "mountPath": "/var/run/cilium/tetragon"}]},
                ],
                "volumes": [
                    {"name": "logs", "hostPath": {
                        "path": "/var/run/cilium/tetragon", "type": "DirectoryOrCreate"}},
                    {"name": "bpf-maps", "hostPath": {
                        "path": "/sys/fs/bpf", "type": "DirectoryOrCreate"}},
                ],
            },
        }},
    })
}

fn named(mut object: Value, name: &str) -> Value {
    object["metadata"]["name"] = json!(name);
    object
}

/// Asserts that an admission policy refuses the request, with that text in its message.
async fn refused(client: &Client, verb: &str, path: &str, body: &Value, part: &str) {
    let answer = call(client, verb, path, body).await;
    assert_eq!(answer.code, 403, "{verb} {path} {body} was not refused: {}", answer.message);
    let by_policy =
        answer.message.contains("ValidatingAdmissionPolicy") && answer.message.contains(part);
    assert!(by_policy, "{verb} {path} {body}: wanted {part:?}, got {}", answer.message);
}

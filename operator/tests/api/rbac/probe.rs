//! The probe's rights.

use serde_json::{Value, json};

use super::{BPF, CRDS, Call, DAEMON_SETS, DIGEST, LEASES, NODES, calls, judge, profile, server};
use crate::server::{NAMESPACE, PROBE, on_node};

fn calls_of_the_probe() -> Vec<Call> {
    let node = json!({"apiVersion": "lsmready.io/v1alpha1", "kind": "LsmNode"});
    let mut status = node.clone();
    status["status"] = json!({"evidence": "Denied"});
    let mut profile = profile();
    profile["apiVersion"] = json!("lsmready.io/v1alpha1");
    profile["kind"] = json!("LsmHookProfile");
    profile["metadata"] = json!({"name": DIGEST.replace('0', "1"),
        "labels": {"lsmready.io/node": "rbac-node"}});
    calls([
        ("GET", &format!("{NODES}/rbac-node"), Value::Null),
        ("APPLY", &format!("{CRDS}/lsmnodes/rbac-node"), node),
        ("GET", &format!("{CRDS}/lsmnodes/rbac-node"), Value::Null),
        ("APPLY", &format!("{CRDS}/lsmnodes/rbac-node/status"), status),
        ("MERGE", &format!("{CRDS}/lsmnodes/rbac-node/status"), json!({"status": {"bootID": "1"}})),
        ("POST", &format!("{CRDS}/lsmhookprofiles"), profile),
        ("GET", &format!("{CRDS}/lsmhookprofiles/{}", DIGEST.replace('0', "1")), Value::Null),
    ])
}

fn forbidden_to_the_probe() -> Vec<Call> {
    calls([
        ("GET", "/api/v1/secrets", Value::Null),
        ("GET", "/api/v1/pods", Value::Null),
        ("GET", NODES, Value::Null),
        ("MERGE", &format!("{NODES}/rbac-node"), json!({"metadata": {"labels": {BPF: "true"}}})),
        ("STRATEGIC", &format!("{NODES}/rbac-node/status"), json!({})),
        ("GET", "/apis/apps/v1/daemonsets", Value::Null),
        ("MERGE", &format!("{DAEMON_SETS}/rbac"), json!({})),
        ("GET", &format!("{CRDS}/lsmnodes"), Value::Null),
        ("DELETE", &format!("{CRDS}/lsmnodes/rbac-node"), Value::Null),
        ("GET", &format!("{CRDS}/lsmpolicies"), Value::Null),
        ("MERGE", &format!("{CRDS}/lsmpolicies/present/status"), json!({})),
        ("GET", &format!("{CRDS}/lsmhookprofiles"), Value::Null),
        ("MERGE", &format!("{CRDS}/lsmhookprofiles/{DIGEST}"), json!({})),
        ("DELETE", &format!("{CRDS}/lsmhookprofiles/{DIGEST}"), Value::Null),
        ("GET", &format!("{LEASES}/lsm-ready-operator"), Value::Null),
        ("POST", LEASES, json!({"metadata": {"name": "l"}})),
        ("POST", "/apis/events.k8s.io/v1/namespaces/default/events", json!({})),
        (
            "POST",
            &format!("/api/v1/namespaces/{NAMESPACE}/serviceaccounts/lsm-ready-operator/token"),
            json!({}),
        ),
    ])
}

#[tokio::test]
async fn the_probe_can_do_its_work_and_nothing_else() {
    let server = server().await;
    let client = on_node(server, PROBE, "rbac-node").await;
    judge(&client, calls_of_the_probe(), true).await;
    judge(&client, forbidden_to_the_probe(), false).await;
}

//! The operator's rights.

use kube::Client;
use serde_json::{Value, json};

use super::{
    AGENT, BPF, CRDS, Call, DAEMON_SETS, DIGEST, LEASES, NODES, calls, daemon_set, eviction, judge,
    server,
};
use crate::server::{NAMESPACE, OPERATOR, done, on_node, securityfs, tetragon_crds};

const TRACING_POLICIES: &str = "/apis/cilium.io/v1alpha1/tracingpolicies";

/// The calls that the operator makes to Nodes, DaemonSets and Tetragon's pods.
fn calls_to_nodes_and_daemon_sets() -> Vec<Call> {
    let condition =
        json!({"status": {"conditions": [{"type": "lsmready.io/LsmBpfReady", "status": "True"}]}});
    calls([
        ("GET", NODES, Value::Null),
        ("GET", "/api/v1/nodes?watch=1&timeoutSeconds=1", Value::Null),
        ("MERGE", &format!("{NODES}/rbac-node"), json!({"metadata": {"labels": {BPF: "true"}}})),
        ("STRATEGIC", &format!("{NODES}/rbac-node/status"), condition),
        ("GET", "/apis/apps/v1/daemonsets", Value::Null),
        ("GET", "/apis/apps/v1/daemonsets?watch=1&timeoutSeconds=1", Value::Null),
        ("APPLY", &format!("{DAEMON_SETS}/rbac"), securityfs()),
        (
            "GET",
            "/api/v1/namespaces/kube-system/pods?labelSelector=app%3Drbac&limit=500",
            Value::Null,
        ),
        (
            "GET",
            "/api/v1/namespaces/kube-system/events?fieldSelector=reason%3DFailedCreate&limit=50",
            Value::Null,
        ),
        ("POST", &format!("/api/v1/namespaces/kube-system/pods/{AGENT}/eviction"), eviction()),
    ])
}

/// The calls that the operator makes to our own kinds and Tetragon's, with an Event.
fn calls_to_custom_resources() -> Vec<Call> {
    let status = json!({"apiVersion": "lsmready.io/v1alpha1", "kind": "LsmPolicy",
        "status": {"observedGeneration": 1}});
    let event = json!({"metadata": {"generateName": "lsm-", "namespace": "default"},
        "action": "Judge", "reason": "Ready", "type": "Normal",
        "eventTime": "2026-01-01T00:00:00.000000Z", "reportingController": "lsmready.io/operator",
        "reportingInstance": "lsm-ready-operator-0",
        "regarding": {"apiVersion": "lsmready.io/v1alpha1", "kind": "LsmPolicy",
            "name": "present"}});
    calls([
        ("GET", &format!("{CRDS}/lsmpolicies"), Value::Null),
        ("GET", &format!("{CRDS}/lsmpolicies?watch=1&timeoutSeconds=1"), Value::Null),
        ("APPLY", &format!("{CRDS}/lsmpolicies/present/status"), status),
        ("GET", &format!("{CRDS}/lsmnodes"), Value::Null),
        ("GET", &format!("{CRDS}/lsmhookprofiles"), Value::Null),
        ("DELETE", &format!("{CRDS}/lsmhookprofiles/{DIGEST}"), Value::Null),
        ("POST", "/apis/events.k8s.io/v1/namespaces/default/events", event),
        ("GET", TRACING_POLICIES, Value::Null),
        ("GET", &format!("{TRACING_POLICIES}?watch=1&timeoutSeconds=1"), Value::Null),
    ])
}

/// The calls of the leader election: the Lease is made, read and replaced.
async fn takes_the_lease(client: &Client) {
    let path = format!("{LEASES}/lsm-ready-operator");
    done(client, "POST", LEASES, &json!({"metadata": {"name": "lsm-ready-operator"}})).await;
    let mut lease = done(client, "GET", &path, &Value::Null).await;
    lease["spec"]["holderIdentity"] = json!("a");
    done(client, "PUT", &path, &lease).await;
}

/// Secrets, workloads and Nodes of others.
fn forbidden_outside_of_its_work() -> Vec<Call> {
    let pods = format!("/api/v1/namespaces/{NAMESPACE}/pods");
    calls([
        ("GET", "/api/v1/secrets", Value::Null),
        ("GET", &format!("/api/v1/namespaces/{NAMESPACE}/secrets"), Value::Null),
        ("GET", "/api/v1/configmaps", Value::Null),
        ("GET", "/api/v1/pods", Value::Null),
        ("GET", &pods, Value::Null),
        ("GET", "/api/v1/namespaces/kube-system/pods?watch=1&timeoutSeconds=1", Value::Null),
        ("GET", "/api/v1/namespaces/kube-system/pods/p", Value::Null),
        ("POST", &pods, json!({"metadata": {"name": "p"}})),
        ("DELETE", &format!("{pods}/p"), Value::Null),
        ("POST", &format!("{pods}/p/eviction"), eviction()),
        ("DELETE", &format!("/api/v1/namespaces/kube-system/pods/{AGENT}"), Value::Null),
        // Events are published where our objects are, and nowhere else.
        ("POST", "/apis/events.k8s.io/v1/namespaces/kube-public/events", json!({})),
        ("GET", "/api/v1/namespaces/default/events", Value::Null),
        ("GET", "/apis/events.k8s.io/v1/events", Value::Null),
        ("MERGE", "/apis/apps/v1/namespaces/default/deployments/d", json!({})),
        ("POST", DAEMON_SETS, daemon_set()),
        ("PUT", &format!("{DAEMON_SETS}/rbac"), daemon_set()),
        ("DELETE", &format!("{DAEMON_SETS}/rbac"), Value::Null),
        ("MERGE", &format!("{DAEMON_SETS}/rbac/status"), json!({})),
        // Nodes are patched, and nothing else.
        ("POST", NODES, json!({"metadata": {"name": "ghost"}})),
        ("PUT", &format!("{NODES}/rbac-node"), json!({})),
        ("DELETE", &format!("{NODES}/rbac-node"), Value::Null),
        ("GET", &format!("{NODES}/rbac-node/proxy/pods"), Value::Null),
    ])
}

/// Objects that the operator reads, or of whose kind it writes one.
fn forbidden_within_its_work() -> Vec<Call> {
    calls([
        // Evidence comes from probes only, and policies from users only.
        ("POST", &format!("{CRDS}/lsmnodes"), json!({})),
        ("MERGE", &format!("{CRDS}/lsmnodes/present"), json!({})),
        ("MERGE", &format!("{CRDS}/lsmnodes/present/status"), json!({})),
        ("DELETE", &format!("{CRDS}/lsmnodes/present"), Value::Null),
        ("POST", &format!("{CRDS}/lsmhookprofiles"), json!({})),
        ("MERGE", &format!("{CRDS}/lsmpolicies/present"), json!({})),
        ("DELETE", &format!("{CRDS}/lsmpolicies/present"), Value::Null),
        // Tetragon's policies are only read.
        ("POST", TRACING_POLICIES, json!({})),
        ("DELETE", &format!("{TRACING_POLICIES}/p"), Value::Null),
        ("GET", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", Value::Null),
        // The Leases of others.
        ("GET", LEASES, Value::Null),
        ("MERGE", &format!("{LEASES}/somebody-else"), json!({})),
        ("MERGE", &format!("{LEASES}/lsm-ready-operator"), json!({})),
        ("DELETE", &format!("{LEASES}/lsm-ready-operator"), Value::Null),
        (
            "POST",
            "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases",
            json!({"metadata": {"name": "l"}}),
        ),
        // The objects that limit the operator.
        (
            "DELETE",
            "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies/lsm-ready-lsmnodes",
            Value::Null,
        ),
        ("MERGE", "/apis/rbac.authorization.k8s.io/v1/clusterroles/lsm-ready-operator", json!({})),
        (
            "POST",
            &format!("/api/v1/namespaces/{NAMESPACE}/serviceaccounts/lsm-ready-probe/token"),
            json!({}),
        ),
        (
            "MERGE",
            "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/lsmnodes.lsmready.io",
            json!({}),
        ),
    ])
}

#[tokio::test]
async fn the_operator_can_do_its_work_and_nothing_else() {
    let server = server().await;
    let crds = tetragon_crds().await;
    crds.install();
    let client = on_node(server, OPERATOR, "rbac-node").await;
    judge(&client, calls_to_nodes_and_daemon_sets(), true).await;
    judge(&client, calls_to_custom_resources(), true).await;
    takes_the_lease(&client).await;
    judge(&client, forbidden_outside_of_its_work(), false).await;
    judge(&client, forbidden_within_its_work(), false).await;
    crds.delete();
}

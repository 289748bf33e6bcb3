//! RBAC on a real API server: with each component's own token, every call that it makes works, and a table of others is
//! refused.
#![allow(clippy::unwrap_used, reason = "what cannot be prepared fails the test")]

mod real_api;

use std::collections::BTreeSet;

use e2e::api::ApiServer;
use kube::Client;
use real_api::{NAMESPACE, OPERATOR, PROBE, call, create_node, done, on_node};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

const NODES: &str = "/api/v1/nodes";
const CRDS: &str = "/apis/lsmready.io/v1alpha1";
const DAEMON_SETS: &str = "/apis/apps/v1/namespaces/kube-system/daemonsets";
const LEASES: &str = "/apis/coordination.k8s.io/v1/namespaces/lsm-ready-system/leases";
const TRACING_POLICIES: &str = "/apis/cilium.io/v1alpha1/tracingpolicies";
const BPF: &str = "lsmready.node-restriction.kubernetes.io/bpf";
const DIGEST: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/// Verb, path and body of a request.
type Call = (&'static str, String, Value);

static SERVER: OnceCell<ApiServer> = OnceCell::const_new();

async fn server() -> &'static ApiServer {
    SERVER
        .get_or_init(async || {
            let server = real_api::start("rbac_api", "default").await;
            prepare(&server).await;
            server
        })
        .await
}

/// One object of each kind that the components touch.
async fn prepare(server: &ApiServer) {
    create_node(server, "node-a").await;
    let admin = server.client().await.unwrap();
    for (kind, path, rest) in [
        ("LsmPolicy", "lsmpolicies/present", json!({"spec": {}})),
        ("LsmNode", "lsmnodes/present", json!({})),
        ("LsmHookProfile", &format!("lsmhookprofiles/{DIGEST}"), profile()),
    ] {
        let mut object = rest;
        object["apiVersion"] = json!("lsmready.io/v1alpha1");
        object["kind"] = json!(kind);
        done(&admin, "APPLY", &format!("{CRDS}/{path}"), &object).await;
    }
    // The controller that makes them does not run here, and a pod has to have one.
    let account = json!({"metadata": {"name": "agent"}});
    done(&admin, "POST", "/api/v1/namespaces/kube-system/serviceaccounts", &account).await;
    let agent = json!({"metadata": {"name": "agent"}, "spec": {"serviceAccountName": "agent",
        "containers": [{"name": "tetragon", "image": "none"}]}});
    done(&admin, "POST", "/api/v1/namespaces/kube-system/pods", &agent).await;
    done(&admin, "POST", DAEMON_SETS, &daemon_set()).await;
    real_api::tracing_policy_crd(server);
    done(&admin, "POST", LEASES, &json!({"metadata": {"name": "somebody-else"}})).await;
}

fn eviction() -> Value {
    json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "agent"}})
}

fn profile() -> Value {
    json!({"spec": {"kernel": "6.12", "hooks": ["file_open"], "sleepableHooks": []}})
}

fn daemon_set() -> Value {
    let labels = json!({"app": "tetragon"});
    json!({"metadata": {"name": "tetragon"}, "spec": {"selector": {"matchLabels": labels},
        "template": {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "tetragon", "image": "none"}]}}}})
}

/// Makes the calls in order and says which ended otherwise than they should.
async fn judge(client: &Client, calls: Vec<Call>, allowed: bool) {
    let mut wrong = Vec::new();
    for (verb, path, body) in calls {
        let answer = call(client, verb, &path, &body).await;
        if if allowed { !answer.is_ok() } else { !answer.is_forbidden_by_rbac() } {
            wrong.push(format!("{verb} {path}: {} {}", answer.code, answer.message));
        }
    }
    assert!(
        wrong.is_empty(),
        "should {}:\n{}",
        if allowed { "work" } else { "be forbidden" },
        wrong.join("\n")
    );
}

fn calls<const N: usize>(table: [(&'static str, &str, Value); N]) -> Vec<Call> {
    table.into_iter().map(|(verb, path, body)| (verb, path.to_owned(), body)).collect()
}

/// The calls that the operator makes, as it makes them.
fn calls_of_the_operator() -> Vec<Call> {
    let patched = json!({"apiVersion": "apps/v1", "kind": "DaemonSet",
        "metadata": {"labels": {"lsmready.io/securityfs": "managed"}}, "spec": {"template": {"spec": {
            "containers": [{"name": "tetragon", "volumeMounts": [
                {"name": "lsm-ready-securityfs", "mountPath": "/sys/kernel/security", "readOnly": true}]}],
            "volumes": [{"name": "lsm-ready-securityfs",
                "hostPath": {"path": "/sys/kernel/security", "type": "Directory"}}]}}}});
    let condition =
        json!({"status": {"conditions": [{"type": "lsmready.io/LsmBpfReady", "status": "True"}]}});
    let status = json!({"apiVersion": "lsmready.io/v1alpha1", "kind": "LsmPolicy", "status": {"observedGeneration": 1}});
    let event = json!({"metadata": {"generateName": "lsm-", "namespace": "default"}, "action": "Judge", "reason": "Ready",
        "type": "Normal", "eventTime": "2026-01-01T00:00:00.000000Z", "reportingController": "lsm-ready",
        "reportingInstance": "lsm-ready-operator-0", "regarding": {"kind": "LsmPolicy", "name": "present"}});
    calls([
        ("GET", NODES, Value::Null),
        ("GET", "/api/v1/nodes?watch=1&timeoutSeconds=1", Value::Null),
        ("MERGE", &format!("{NODES}/node-a"), json!({"metadata": {"labels": {BPF: "true"}}})),
        ("STRATEGIC", &format!("{NODES}/node-a/status"), condition),
        ("GET", "/apis/apps/v1/daemonsets", Value::Null),
        ("GET", "/apis/apps/v1/daemonsets?watch=1&timeoutSeconds=1", Value::Null),
        ("APPLY", &format!("{DAEMON_SETS}/tetragon"), patched),
        (
            "GET",
            "/api/v1/namespaces/kube-system/pods?labelSelector=app%3Dtetragon&limit=500",
            Value::Null,
        ),
        ("POST", "/api/v1/namespaces/kube-system/pods/agent/eviction", eviction()),
        ("GET", &format!("{CRDS}/lsmpolicies"), Value::Null),
        ("GET", &format!("{CRDS}/lsmpolicies?watch=1&timeoutSeconds=1"), Value::Null),
        ("APPLY", &format!("{CRDS}/lsmpolicies/present/status"), status),
        ("GET", &format!("{CRDS}/lsmnodes"), Value::Null),
        ("GET", &format!("{CRDS}/lsmhookprofiles"), Value::Null),
        ("DELETE", &format!("{CRDS}/lsmhookprofiles/{DIGEST}"), Value::Null),
        ("POST", "/apis/events.k8s.io/v1/namespaces/default/events", event),
        ("POST", LEASES, json!({"metadata": {"name": "lsm-ready-operator"}})),
        ("GET", TRACING_POLICIES, Value::Null),
        ("GET", &format!("{TRACING_POLICIES}?watch=1&timeoutSeconds=1"), Value::Null),
        ("GET", &format!("{LEASES}/lsm-ready-operator"), Value::Null),
        (
            "MERGE",
            &format!("{LEASES}/lsm-ready-operator"),
            json!({"spec": {"holderIdentity": "a"}}),
        ),
    ])
}

fn forbidden_to_the_operator() -> Vec<Call> {
    let pods = format!("/api/v1/namespaces/{NAMESPACE}/pods");
    calls([
        // Other people's secrets and workloads.
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
        ("DELETE", "/api/v1/namespaces/kube-system/pods/agent", Value::Null),
        ("MERGE", "/apis/apps/v1/namespaces/default/deployments/d", json!({})),
        ("POST", DAEMON_SETS, daemon_set()),
        ("PUT", &format!("{DAEMON_SETS}/tetragon"), daemon_set()),
        ("DELETE", &format!("{DAEMON_SETS}/tetragon"), Value::Null),
        ("MERGE", &format!("{DAEMON_SETS}/tetragon/status"), json!({})),
        // Nodes, beyond patching them.
        ("POST", NODES, json!({"metadata": {"name": "ghost"}})),
        ("PUT", &format!("{NODES}/node-a"), json!({})),
        ("DELETE", &format!("{NODES}/node-a"), Value::Null),
        ("GET", &format!("{NODES}/node-a/proxy/pods"), Value::Null),
        // The evidence is the probes', the policies are people's.
        ("POST", &format!("{CRDS}/lsmnodes"), json!({})),
        ("MERGE", &format!("{CRDS}/lsmnodes/present"), json!({})),
        ("MERGE", &format!("{CRDS}/lsmnodes/present/status"), json!({})),
        ("DELETE", &format!("{CRDS}/lsmnodes/present"), Value::Null),
        ("POST", &format!("{CRDS}/lsmhookprofiles"), json!({})),
        ("MERGE", &format!("{CRDS}/lsmpolicies/present"), json!({})),
        ("DELETE", &format!("{CRDS}/lsmpolicies/present"), Value::Null),
        // Tetragon's policies are read, and are people's.
        ("POST", TRACING_POLICIES, json!({})),
        ("DELETE", &format!("{TRACING_POLICIES}/p"), Value::Null),
        ("GET", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", Value::Null),
        // Leases of others.
        ("GET", LEASES, Value::Null),
        ("MERGE", &format!("{LEASES}/somebody-else"), json!({})),
        ("DELETE", &format!("{LEASES}/lsm-ready-operator"), Value::Null),
        (
            "POST",
            "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases",
            json!({"metadata": {"name": "l"}}),
        ),
        // What bounds it.
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

fn calls_of_the_probe() -> Vec<Call> {
    let node = json!({"apiVersion": "lsmready.io/v1alpha1", "kind": "LsmNode"});
    let mut status = node.clone();
    status["status"] = json!({"evidence": "Denied"});
    let mut profile = profile();
    profile["apiVersion"] = json!("lsmready.io/v1alpha1");
    profile["kind"] = json!("LsmHookProfile");
    profile["metadata"] = json!({"name": DIGEST.replace('0', "1")});
    calls([
        ("GET", &format!("{NODES}/node-a"), Value::Null),
        ("APPLY", &format!("{CRDS}/lsmnodes/node-a"), node),
        ("GET", &format!("{CRDS}/lsmnodes/node-a"), Value::Null),
        ("APPLY", &format!("{CRDS}/lsmnodes/node-a/status"), status),
        ("MERGE", &format!("{CRDS}/lsmnodes/node-a/status"), json!({"status": {"bootID": "1"}})),
        ("POST", &format!("{CRDS}/lsmhookprofiles"), profile),
        ("GET", &format!("{CRDS}/lsmhookprofiles/{}", DIGEST.replace('0', "1")), Value::Null),
    ])
}

fn forbidden_to_the_probe() -> Vec<Call> {
    calls([
        ("GET", "/api/v1/secrets", Value::Null),
        ("GET", "/api/v1/pods", Value::Null),
        ("GET", NODES, Value::Null),
        ("MERGE", &format!("{NODES}/node-a"), json!({"metadata": {"labels": {BPF: "true"}}})),
        ("STRATEGIC", &format!("{NODES}/node-a/status"), json!({})),
        ("GET", "/apis/apps/v1/daemonsets", Value::Null),
        ("MERGE", &format!("{DAEMON_SETS}/tetragon"), json!({})),
        ("GET", &format!("{CRDS}/lsmnodes"), Value::Null),
        ("DELETE", &format!("{CRDS}/lsmnodes/node-a"), Value::Null),
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
async fn the_operator_can_do_its_work_and_nothing_else() {
    let server = server().await;
    let client = on_node(server, OPERATOR, "node-a").await;
    judge(&client, calls_of_the_operator(), true).await;
    judge(&client, forbidden_to_the_operator(), false).await;
}

#[tokio::test]
async fn the_probe_can_do_its_work_and_nothing_else() {
    let server = server().await;
    let client = on_node(server, PROBE, "node-a").await;
    judge(&client, calls_of_the_probe(), true).await;
    judge(&client, forbidden_to_the_probe(), false).await;
}

#[tokio::test]
async fn an_editor_of_policies_writes_policies_only() {
    let server = server().await;
    let admin = server.client().await.unwrap();
    let binding = json!({"metadata": {"name": "editor"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "lsm-ready-policy-editor"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "editor"}]});
    done(&admin, "POST", "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", &binding).await;
    let editor = server.client_for("editor", None).await.unwrap();
    let policy = json!({"apiVersion": "lsmready.io/v1alpha1", "kind": "LsmPolicy", "spec": {}});
    let allowed = calls([
        ("APPLY", &format!("{CRDS}/lsmpolicies/edited"), policy),
        ("DELETE", &format!("{CRDS}/lsmpolicies/edited"), Value::Null),
        ("GET", &format!("{CRDS}/lsmnodes"), Value::Null),
    ]);
    judge(&editor, allowed, true).await;
    let forbidden = calls([
        ("MERGE", &format!("{CRDS}/lsmpolicies/present/status"), json!({})),
        ("MERGE", &format!("{CRDS}/lsmnodes/present/status"), json!({})),
        ("DELETE", &format!("{CRDS}/lsmnodes/present"), Value::Null),
    ]);
    judge(&editor, forbidden, false).await;
}

/// The right to patch DaemonSets can be left out, and nothing else goes with it.
#[tokio::test]
async fn suggest_only_lacks_the_right_to_patch_and_nothing_else() {
    let server = server().await;
    let render = |folder: &str| {
        let text =
            real_api::kubectl(&server.kubeconfig(), &["kustomize", &real_api::config(folder)])
                .unwrap();
        serde_saphyr::from_multiple::<Value>(&text).unwrap()
    };
    let (all, suggest_only) = (render("default"), render("suggest-only"));
    let left_out: Vec<&Value> =
        all.iter().filter(|object| !suggest_only.contains(object)).collect();
    assert!(suggest_only.iter().all(|object| all.contains(object)));
    let names: Vec<String> = left_out
        .iter()
        .map(|object| format!("{} {}", object["kind"], object["metadata"]["name"]))
        .collect();
    let patching =
        [r#""ClusterRole" "lsm-ready-patching""#, r#""ClusterRoleBinding" "lsm-ready-patching""#];
    let restarting =
        [r#""ClusterRole" "lsm-ready-restarting""#, r#""RoleBinding" "lsm-ready-restarting""#];
    assert_eq!(
        names.into_iter().collect::<BTreeSet<_>>(),
        patching.into_iter().chain(restarting).map(str::to_owned).collect()
    );
    let patches = all.iter().filter(|object| object["kind"] == "ClusterRole").filter(|role| {
        role["rules"].as_array().unwrap().iter().any(|rule| {
            let has =
                |field: &str, word: &str| rule[field].as_array().unwrap().contains(&json!(word));
            has("resources", "daemonsets") && has("verbs", "patch")
        })
    });
    assert_eq!(patches.count(), 1, "only the role that can be left out grants it");
}

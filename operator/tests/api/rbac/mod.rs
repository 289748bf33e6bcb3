//! RBAC: with each component's own token, every call that the component makes works, and many
//! others are refused.

mod editor;
mod operator;
mod probe;
mod rights;
mod suggest_only;

use std::sync::OnceLock;

use e2e::api::ApiServer;
use kube::Client;
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use crate::server::{call, create_node, done, shared};

const NODES: &str = "/api/v1/nodes";
const CRDS: &str = "/apis/lsmready.io/v1alpha1";
const DAEMON_SETS: &str = "/apis/apps/v1/namespaces/kube-system/daemonsets";
const LEASES: &str = "/apis/coordination.k8s.io/v1/namespaces/lsm-ready-system/leases";
const BPF: &str = "lsmready.node-restriction.kubernetes.io/bpf";
const DIGEST: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/// A pod that the DaemonSet tetragon could have made.
const AGENT: &str = "tetragon-rbac1";
static AGENT_UID: OnceLock<String> = OnceLock::new();

/// Verb, path and body of a request.
type Call = (&'static str, String, Value);

/// The shared server, with one object of each kind that the components use.
async fn server() -> &'static ApiServer {
    static PREPARED: OnceCell<()> = OnceCell::const_new();
    let server = shared().await;
    PREPARED.get_or_init(|| prepare(server)).await;
    server
}

/// One object of each kind that the components touch.
async fn prepare(server: &ApiServer) {
    create_node(server, "rbac-node").await;
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
    // A pod needs a ServiceAccount, and the controller that creates `default` does not run here.
    let account = json!({"metadata": {"name": "agent"}});
    done(&admin, "POST", "/api/v1/namespaces/kube-system/serviceaccounts", &account).await;
    let agent = json!({"metadata": {"name": AGENT}, "spec": {"serviceAccountName": "agent",
        "containers": [{"name": "tetragon", "image": "none"}]}});
    let pods = "/api/v1/namespaces/kube-system/pods";
    let agent = done(&admin, "POST", pods, &agent).await;
    let uid = agent["metadata"]["uid"].as_str().unwrap();
    AGENT_UID.set(uid.to_owned()).unwrap();
    done(&admin, "POST", DAEMON_SETS, &daemon_set()).await;
    done(&admin, "POST", LEASES, &json!({"metadata": {"name": "somebody-else"}})).await;
}

/// The eviction of the agent, as the operator asks for it.
fn eviction() -> Value {
    json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": AGENT},
        "deleteOptions": {"preconditions": {"uid": AGENT_UID.get()}}})
}

fn profile() -> Value {
    json!({"spec": {"kernel": "6.12", "hooks": ["file_open"], "sleepableHooks": []}})
}

fn daemon_set() -> Value {
    let labels = json!({"app": "rbac"});
    json!({"metadata": {"name": "rbac", "labels": {"app.kubernetes.io/name": "tetragon"}},
        "spec": {"selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels},
            "spec": {"containers": [{"name": "tetragon", "image": "tetragon:v1.3.0"}]}}}})
}

/// Makes the calls in order, and fails with a list of those that did not end as they should.
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

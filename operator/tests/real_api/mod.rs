//! A real API server with our manifests applied, shared by the tests of one binary.
//!
//! In: a folder of `config/`. Out: requests as any user, each with the answer's code and message. Every binary has a
//! server of its own, which ends with the binary's process.
#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::time::Duration;

use e2e::api::ApiServer;
pub use e2e::request::{Answer, kubectl};
use e2e::{paths, request, wait};
use k8s_openapi::api::authentication::v1::{BoundObjectReference, TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{Pod, ServiceAccount};
use kube::api::PostParams;
use kube::{Api, Client};
use kube_runtime::events::Reporter;
use lsm_ready_operator::context::Context;
use lsm_ready_operator::context::metrics::Metrics;
use lsm_ready_operator::watch;
use lsm_ready_operator::watch::queue::queues;
use lsm_ready_operator::watch::store::stores;
use lsm_ready_operator::watch::triggers::Routes;
use serde_json::{Value, json};

/// The namespace of the manifests.
pub const NAMESPACE: &str = "lsm-ready-system";
/// The operator's ServiceAccount.
pub const OPERATOR: &str = "lsm-ready-operator";
/// The probe's ServiceAccount.
pub const PROBE: &str = "lsm-ready-probe";

const DEADLINE: Duration = Duration::from_secs(10);

/// A server named as the test binary's part of it, with `config/<folder>` applied.
pub async fn start(name: &str, folder: &str) -> ApiServer {
    let dir = paths::state().join("tests").join(name);
    // What an earlier run left.
    let _ = std::fs::remove_dir_all(&dir);
    let server = ApiServer::start(&dir).await.unwrap();
    kubectl(&server.kubeconfig(), &["apply", "--server-side", "-k", &config(folder)]).unwrap();
    let crds = ["lsmpolicies", "lsmnodes", "lsmhookprofiles"]
        .map(|plural| format!("crd/{plural}.lsmready.io"));
    let mut wait = vec!["wait", "--for=condition=Established", "--timeout=30s"];
    wait.extend(crds.iter().map(String::as_str));
    kubectl(&server.kubeconfig(), &wait).unwrap();
    server
}

/// The path of a folder of `config/`.
pub fn config(folder: &str) -> String {
    paths::workspace().join("config").join(folder).display().to_string()
}

/// Installs Tetragon's kind by its published names, as the agent in Tetragon's place brings it.
pub fn tracing_policy_crd(server: &ApiServer) {
    let file = paths::workspace().join("e2e/agent/manifests/crd.yaml").display().to_string();
    kubectl(&server.kubeconfig(), &["apply", "-f", &file]).unwrap();
    let wait =
        ["wait", "--for=condition=Established", "--timeout=30s", "crd/tracingpolicies.cilium.io"];
    kubectl(&server.kubeconfig(), &wait).unwrap();
}

/// The operator's context over watches with these rights, which end with the test's runtime; it writes as `operator`.
pub fn context(watching: &Client, operator: Client) -> Context {
    let (stores, writers) = stores();
    let (queues, _) = queues();
    let metrics = Metrics::default();
    let routes = Routes::new(stores.clone(), queues.clone(), metrics.clone());
    tokio::spawn(watch::run(watching.clone(), writers, routes, metrics.clone()));
    let reporter = Reporter { controller: "lsmready.io/operator".into(), instance: None };
    Context::new(operator, reporter, stores, queues, metrics)
}

/// One request, which has to be answered; see [`request::call`].
pub async fn call(client: &Client, verb: &str, path: &str, body: &Value) -> Answer {
    request::call(client, verb, path, body).await.unwrap()
}

/// A call that has to work, as preparation.
pub async fn done(client: &Client, verb: &str, path: &str, body: &Value) -> Value {
    request::done(client, verb, path, body).await.unwrap()
}

/// A client with a token of one of our ServiceAccounts that is bound to nothing.
pub async fn unbound(server: &ApiServer, account: &str) -> Client {
    as_account(server, account, None).await
}

/// A client with the token that a pod of that ServiceAccount gets on that node.
pub async fn on_node(server: &ApiServer, account: &str, node: &str) -> Client {
    let admin = server.client().await.unwrap();
    let pods = Api::<Pod>::namespaced(admin, NAMESPACE);
    let pod = json!({
        "metadata": {"generateName": format!("{account}-")},
        "spec": {"nodeName": node, "serviceAccountName": account, "containers": [{"name": "main", "image": "none"}]},
    });
    let pod: Pod = serde_json::from_value(pod).unwrap();
    let pod = pods.create(&PostParams::default(), &pod).await.unwrap();
    let to = BoundObjectReference {
        api_version: Some("v1".into()),
        kind: Some("Pod".into()),
        name: pod.metadata.name,
        uid: pod.metadata.uid,
    };
    as_account(server, account, Some(to)).await
}

async fn as_account(server: &ApiServer, account: &str, to: Option<BoundObjectReference>) -> Client {
    let admin = server.client().await.unwrap();
    let accounts = Api::<ServiceAccount>::namespaced(admin, NAMESPACE);
    let spec = TokenRequestSpec { bound_object_ref: to, ..Default::default() };
    let request = TokenRequest { spec, ..Default::default() };
    let token =
        accounts.create_token_request(account, &PostParams::default(), &request).await.unwrap();
    server.client_with_token(&token.status.unwrap().token).await.unwrap()
}

/// A Node with a foreign label, taint and condition.
pub async fn create_node(server: &ApiServer, name: &str) -> Value {
    let admin = server.client().await.unwrap();
    let node = json!({
        "apiVersion": "v1", "kind": "Node",
        "metadata": {"name": name, "labels": {"kubernetes.io/os": "linux", "zone": "a"}, "annotations": {"note": "x"}},
        "spec": {"taints": [{"key": "example.com/foreign", "effect": "NoSchedule"}], "podCIDR": "10.0.0.0/24"},
    });
    done(&admin, "POST", "/api/v1/nodes", &node).await;
    let status = json!({"status": {
        "conditions": [{"type": "Ready", "status": "True", "reason": "KubeletReady", "message": "fine"}],
        "capacity": {"cpu": "4"},
        "nodeInfo": {"bootID": "1", "osImage": "Debian", "architecture": "", "containerRuntimeVersion": "",
            "kernelVersion": "", "kubeProxyVersion": "", "kubeletVersion": "", "machineID": "",
            "operatingSystem": "linux", "systemUUID": ""},
    }});
    done(&admin, "STRATEGIC", &format!("/api/v1/nodes/{name}/status"), &status).await
}

/// Until the API server enforces our admission policies: it takes notice of them some time after they are stored.
/// `must_be_refused` is a dry run for each.
pub async fn enforced(client: &Client, verb: &str, path: &str, must_be_refused: &Value) {
    wait::until(DEADLINE, "the admission policy to be enforced", async || {
        let answer = call(client, verb, &format!("{path}?dryRun=All"), must_be_refused).await;
        if answer.message.contains("ValidatingAdmissionPolicy") {
            Ok(())
        } else {
            Err(format!("{answer:?}"))
        }
    })
    .await
    .unwrap();
}

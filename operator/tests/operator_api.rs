//! The operator's own process against a real API server, with the rights and admission policies that it will have.

#![allow(clippy::unwrap_used, reason = "what cannot be prepared fails the test")]

mod real_api;

use std::net::TcpListener;
use std::process::{Child, Command};
use std::time::Duration;

use e2e::api::ApiServer;
use e2e::wait;
use kube::Client;
use real_api::{NAMESPACE, OPERATOR, call, done};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

static SERVER: OnceCell<ApiServer> = OnceCell::const_new();

const DEADLINE: Duration = Duration::from_secs(30);
const LABELS: &str = "lsmready.node-restriction.kubernetes.io/";
const LEASE: &str =
    "/apis/coordination.k8s.io/v1/namespaces/lsm-ready-system/leases/lsm-ready-operator";

async fn server() -> &'static ApiServer {
    SERVER.get_or_init(|| real_api::start("operator_api", "default")).await
}

/// An operator that is killed when the test ends.
struct Operator(Child);

impl Operator {
    /// Starts one as the operator's ServiceAccount; `pod` is its name and UID in the election, if it takes part.
    fn start(server: &ApiServer, pod: Option<(&str, &str)>) -> Self {
        let user = format!("system:serviceaccount:{NAMESPACE}:{OPERATOR}");
        let kubeconfig = server.kubeconfig_for(&user, Some("system:serviceaccounts")).unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut command = Command::new(env!("CARGO_BIN_EXE_operator"));
        command.env("KUBECONFIG", kubeconfig).env("LSM_READY_LISTEN", format!("127.0.0.1:{port}"));
        if let Some((name, uid)) = pod {
            command
                .env("LSM_READY_POD_NAME", name)
                .env("LSM_READY_POD_UID", uid)
                .env("LSM_READY_POD_NAMESPACE", NAMESPACE);
        }
        Self(command.spawn().unwrap())
    }

    /// Asks it to end, and waits until it has.
    fn terminate(mut self) {
        let pid = self.0.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        assert!(self.0.wait().unwrap().success(), "SIGTERM is an orderly end");
    }
}

impl Drop for Operator {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

async fn report(client: &Client, node: &str, evidence: &str, boot: &str) {
    let path = format!("/apis/lsmready.io/v1alpha1/lsmnodes/{node}");
    let object = json!({"apiVersion": "lsmready.io/v1alpha1", "kind": "LsmNode"});
    done(client, "APPLY", &path, &object).await;
    let status = json!({"status": {"bootID": boot, "evidence": evidence, "reason": "R", "message": "because",
        "observedTime": jiff::Timestamp::now().to_string()}});
    done(client, "MERGE", &format!("{path}/status"), &status).await;
}

async fn apply_policy(client: &Client, name: &str, spec: &Value) {
    let object = json!({"apiVersion": "lsmready.io/v1alpha1", "kind": "LsmPolicy", "spec": spec});
    done(client, "APPLY", &format!("/apis/lsmready.io/v1alpha1/lsmpolicies/{name}"), &object).await;
}

/// Until the Node's labels, without our prefix, contain the wanted ones; a null one must not be there.
async fn labelled(client: &Client, node: &str, wanted: Value) {
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

async fn holder(client: &Client, wanted: &str) {
    wait::until(DEADLINE, "the Lease's holder", async || {
        let lease = call(client, "GET", LEASE, &Value::Null).await.body;
        let holder = lease["spec"]["holderIdentity"].as_str().unwrap_or_default().to_owned();
        if holder == wanted { Ok(()) } else { Err(holder) }
    })
    .await
    .unwrap();
}

async fn create_pod(client: &Client, name: &str) -> String {
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name},
        "spec": {"serviceAccountName": OPERATOR, "containers": [{"name": "operator", "image": "none"}]}});
    let pods = format!("/api/v1/namespaces/{NAMESPACE}/pods");
    done(client, "POST", &pods, &pod).await["metadata"]["uid"].as_str().unwrap().to_owned()
}

/// One after the other, since each wants to be the only operator.
#[tokio::test]
async fn operator() {
    let server = server().await;
    let client = server.client().await.unwrap();
    evidence_becomes_labels_and_goes_with_the_boot(server, &client).await;
    what_changed_while_the_operator_was_away_is_caught_up(server, &client).await;
    one_leads_and_another_takes_over(server, &client).await;
}

async fn evidence_becomes_labels_and_goes_with_the_boot(server: &ApiServer, client: &Client) {
    real_api::create_node(server, "n1").await;
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
    assert_eq!(keys, wanted, "foreign taints stay where they were");
    operator.terminate();
}

async fn what_changed_while_the_operator_was_away_is_caught_up(
    server: &ApiServer,
    client: &Client,
) {
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

async fn one_leads_and_another_takes_over(server: &ApiServer, client: &Client) {
    let (a, b) = (create_pod(client, "op-a").await, create_pod(client, "op-b").await);
    let first = Operator::start(server, Some(("op-a", &a)));
    holder(client, &format!("op-a_{a}")).await;
    let second = Operator::start(server, Some(("op-b", &b)));
    report(client, "n1", "Loaded", "2").await;
    labelled(client, "n1", json!({"bpf": "false"})).await;

    first.terminate();
    holder(client, &format!("op-b_{b}")).await;
    report(client, "n1", "Denied", "2").await;
    labelled(client, "n1", json!({"bpf": "true"})).await;

    // Killed, and its pod gone: a third one takes the Lease without being handed it.
    drop(second);
    let c = create_pod(client, "op-c").await;
    let third = Operator::start(server, Some(("op-c", &c)));
    let now = json!({"gracePeriodSeconds": 0});
    done(client, "DELETE", &format!("/api/v1/namespaces/{NAMESPACE}/pods/op-b"), &now).await;
    holder(client, &format!("op-c_{c}")).await;
    third.terminate();
}

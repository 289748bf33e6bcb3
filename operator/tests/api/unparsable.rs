//! A policy that the API server accepts and the operator cannot parse: it is held as it was, its
//! status says so, and deleting it takes effect. The CRD of an earlier or later release can allow
//! such a policy; here the schema is replaced by one that allows everything.

use std::time::Duration;

use e2e::api::ApiServer;
use e2e::wait;
use kube::Client;
use serde_json::{Value, json};

use crate::operator::{apply_policy, labelled, report};
use crate::process::Operator;
use crate::server::{self, config, create_node, done, kubectl};

const DEADLINE: Duration = Duration::from_secs(30);
const CRD: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/lsmpolicies.lsmready.io";
const POLICY: &str = "/apis/lsmready.io/v1alpha1/lsmpolicies/held";

/// Replaces the schema of policies by one that allows everything.
async fn allow_everything(client: &Client) {
    let mut crd = done(client, "GET", CRD, &Value::Null).await;
    let schema = json!({"openAPIV3Schema": {"type": "object",
        "x-kubernetes-preserve-unknown-fields": true}});
    crd["spec"]["versions"][0]["schema"] = schema;
    done(client, "PUT", CRD, &crd).await;
}

fn restore(server: &ApiServer) {
    let file = format!("{}/bases/lsmready.io_lsmpolicies.yaml", config("crd"));
    let apply = ["apply", "--server-side", "--force-conflicts", "-f", &file];
    kubectl(&server.kubeconfig(), &apply).unwrap();
}

/// Makes the policy one that cannot be parsed. The new schema is served a little later.
async fn spoil(client: &Client) {
    wait::until(DEADLINE, "the schema that allows everything", async || {
        let spec = json!({"spec": {"require": 7}});
        let answer = server::call(client, "MERGE", POLICY, &spec).await;
        if answer.is_ok() { Ok(()) } else { Err(answer.message) }
    })
    .await
    .unwrap();
}

/// Waits until the policy says why it is not in force. Returns its status.
async fn says(client: &Client, reason: &str, message: &str) -> Value {
    wait::until(DEADLINE, "the policy's status", async || {
        let policy = done(client, "GET", POLICY, &Value::Null).await;
        let ready = &policy["status"]["conditions"][0];
        let text = ready["message"].as_str().unwrap_or_default();
        let is_right = ready["reason"] == reason && text.contains(message);
        if is_right { Ok(policy["status"].clone()) } else { Err(policy.to_string()) }
    })
    .await
    .unwrap()
}

async fn taints(client: &Client) -> String {
    done(client, "GET", "/api/v1/nodes/n1", &Value::Null).await["spec"]["taints"].to_string()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unparsable_policy_is_held_until_it_is_deleted() {
    let turn = server::exclusive().await;
    let client = turn.server.client().await.unwrap();
    create_node(turn.server, "n1").await;
    report(&client, "n1", "Attached", "1").await;
    apply_policy(&client, "held", &json!({"taint": {"effect": "NoSchedule"}})).await;
    let operator = Operator::start(turn.server, None);
    labelled(&client, "n1", json!({"policy.held": "not-ready"})).await;
    allow_everything(&client).await;
    held_and_deleted(turn.server, &client, operator).await;
    restore(turn.server);
}

async fn held_and_deleted(server: &ApiServer, client: &Client, operator: Operator) {
    spoil(client).await;
    says(client, "Unparsable", "the version before it stays in force").await;
    // The version before is in force: it follows the evidence.
    report(client, "n1", "Denied", "1").await;
    labelled(client, "n1", json!({"policy.held": "ready"})).await;
    report(client, "n1", "Attached", "1").await;
    labelled(client, "n1", json!({"policy.held": "not-ready"})).await;
    assert!(taints(client).await.contains("lsmready.io/not-ready"));
    operator.terminate();

    // After a restart nothing is known of it. Its label and taint stay.
    let operator = Operator::start(server, None);
    let status = says(client, "Unparsable", "nothing is known of what it asks for").await;
    report(client, "n1", "Denied", "1").await;
    labelled(client, "n1", json!({"bpf": "true", "policy.held": "not-ready"})).await;
    assert!(taints(client).await.contains("lsmready.io/not-ready"));
    let policy = done(client, "GET", POLICY, &Value::Null).await;
    assert_eq!(policy["status"], status, "the status is written once");

    done(client, "DELETE", POLICY, &Value::Null).await;
    labelled(client, "n1", json!({"policy.held": null})).await;
    wait::until(DEADLINE, "the taint to go", async || {
        let taints = taints(client).await;
        if taints.contains("lsmready.io") { Err(taints) } else { Ok(()) }
    })
    .await
    .unwrap();
    operator.terminate();
}

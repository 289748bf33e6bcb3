//! A leader ends in order where nothing has to be changed, and another replica takes over.

use e2e::wait;
use kube::Client;
use serde_json::{Value, json};

use super::{PATIENCE, Replica, all_labelled};
use crate::operator::{apply_policy, report};
use crate::server::{self, done, writes};
use crate::uninstall::scene::guarded;

const NODES: [&str; 3] = ["handed-over-0", "handed-over-1", "handed-over-2"];
const POLICY: &str = "/apis/lsmready.io/v1alpha1/lsmpolicies/enforce";

/// The finalizers too: no leader has them removed when it ends and set again by the next.
#[tokio::test]
async fn an_orderly_change_of_leader_writes_nothing_but_the_lease() {
    let turn = server::exclusive().await;
    let client = turn.server.client().await.unwrap();
    for node in NODES {
        server::create_node(turn.server, node).await;
        report(&client, node, "Denied", "1").await;
    }
    apply_policy(&client, "enforce", &json!({"taint": {"effect": "NoSchedule"}})).await;
    let first = Replica::start(turn.server, "op-a").await;
    first.leads(&client).await;
    is_at_rest(&client).await;
    let second = Replica::start(turn.server, "op-b").await;
    second.answers_readyz(200, "ready").await;

    let before = writes(turn.server).len();
    first.process.terminate();
    second.leads(&client).await;
    has_reconciled_everything(&second).await;
    assert_eq!(writes(turn.server)[before..], Vec::<String>::new());
    second.process.terminate();
}

/// Waits until the leader has written all that it has to write.
async fn is_at_rest(client: &Client) {
    all_labelled(client, &NODES.map(ToOwned::to_owned), "true").await;
    wait::until(PATIENCE, "the policy's status and the finalizers", async || {
        let policy = done(client, "GET", POLICY, &Value::Null).await;
        let status = &policy["status"];
        let is_ready = status["nodes"]["ready"] == NODES.len();
        // Every node has what the policy asks for: the status is written once more then.
        if !is_ready || !status["specChange"].is_null() {
            return Err(status.to_string());
        }
        for path in guarded() {
            let object = done(client, "GET", &path, &Value::Null).await;
            if !object["metadata"]["finalizers"].to_string().contains("lsmready.io/cleanup") {
                return Err(format!("{path} has no finalizer"));
            }
        }
        Ok(())
    })
    .await
    .unwrap();
}

/// Waits until a new leader has looked at each Node and at the policy.
async fn has_reconciled_everything(leader: &Replica) {
    wait::until(PATIENCE, "the reconciles", async || {
        let page = leader.process.page("/metrics").await?.text;
        let reconciled = |controller: &str| {
            let series =
                format!(r#"lsm_ready_reconciles_total{{controller="{controller}",outcome="ok"}} "#);
            let count = page.lines().find_map(|line| line.strip_prefix(&series));
            count.and_then(|count| count.parse::<usize>().ok()).unwrap_or_default()
        };
        let (nodes, policies) = (reconciled("node"), reconciled("policy"));
        let all = nodes >= NODES.len() && policies >= 1;
        if all { Ok(()) } else { Err(format!("{nodes} nodes, {policies} policies")) }
    })
    .await
    .unwrap();
}

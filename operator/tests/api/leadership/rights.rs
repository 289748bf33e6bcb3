//! A right is missing.

use e2e::wait;
use serde_json::{Value, json};

use super::{PATIENCE, Replica};
use crate::server::{self, call, done};

const ROLE: &str = "/apis/rbac.authorization.k8s.io/v1/clusterroles/lsm-ready-operator";

#[tokio::test]
async fn a_leader_that_may_not_list_says_what_and_why_and_another_would_not_help() {
    let turn = server::exclusive().await;
    let client = turn.server.client().await.unwrap();
    let role = done(&client, "GET", ROLE, &Value::Null).await;
    let without: Vec<&Value> = role["rules"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|rule| !rule["resources"].to_string().contains("lsmhookprofiles"))
        .collect();
    assert_ne!(without.len(), role["rules"].as_array().unwrap().len());
    done(&client, "MERGE", ROLE, &json!({ "rules": without })).await;

    let leader = Replica::start(turn.server, "op-a").await;
    leader.leads(&client).await;
    let wanted = "the list of LsmHookProfiles: ";
    leader.answers_readyz(503, wanted).await;
    leader.answers_readyz(503, "cannot list resource \"lsmhookprofiles\"").await;
    let page = leader.process.page("/readyz").await.unwrap().text;
    assert!(!page.contains("LsmNodes"), "{page}");
    let standby = Replica::start(turn.server, "op-b").await;
    standby.answers_readyz(200, "ready").await;
    assert_eq!(leader.process.metric("lsm_ready_leader").await, 1);

    done(&client, "MERGE", ROLE, &json!({ "rules": role["rules"] })).await;
    wait::until(PATIENCE, "the right", async || {
        let page = leader.process.page("/readyz").await?;
        if page.code == 200 { Ok(()) } else { Err(page.text) }
    })
    .await
    .unwrap();
    assert!(call(&client, "GET", ROLE, &Value::Null).await.is_ok());
}

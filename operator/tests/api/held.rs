//! What others write while the circuit breaker holds nodes, and the breaker without any LsmPolicy.

use e2e::wait;
use serde_json::{Value, json};

use crate::breaker::{LABEL, NODES, SHARE, Scene, names};
use crate::operator::{DEADLINE, report};
use crate::process::{Operator, Pod};
use crate::server::{self, NAMESPACE, OPERATOR, account, done, kubectl};

/// Somebody who may patch Nodes claims that nodes are ready while the breaker holds others.
#[tokio::test]
async fn labels_that_others_set_are_corrected_while_nodes_are_held() {
    let scene = Scene::ready().await;
    scene.report_everywhere("Attached").await;
    scene.held(NODES - SHARE).await;
    let policy = "lsmready.node-restriction.kubernetes.io/policy.enforce";
    let nodes = done(&scene.client, "GET", "/api/v1/nodes", &Value::Null).await;
    let lost = nodes["items"].as_array().unwrap().iter();
    let lost = lost.filter(|node| node["metadata"]["labels"][LABEL] == "false");
    for (number, node) in lost.enumerate() {
        let path = format!("/api/v1/nodes/{}", node["metadata"]["name"].as_str().unwrap());
        let claims = [json!({LABEL: "true"}), json!({policy: "ready"})];
        let claim = json!({"metadata": {"labels": claims[number % 2]}});
        done(&scene.client, "MERGE", &path, &claim).await;
        let condition = json!({"type": "lsmready.io/LsmBpfReady", "status": "True"});
        done(
            &scene.client,
            "STRATEGIC",
            &format!("{path}/status"),
            &json!({"status": {"conditions": [condition]}}),
        )
        .await;
    }
    wait::until(DEADLINE, "the claims to be corrected", async || {
        let nodes = done(&scene.client, "GET", "/api/v1/nodes", &Value::Null).await;
        let claims = nodes["items"].as_array().unwrap().iter().filter(|node| {
            let conditions = node["status"]["conditions"].as_array().unwrap();
            let is_true = conditions
                .iter()
                .any(|it| it["type"] == "lsmready.io/LsmBpfReady" && it["status"] == "True");
            let labels = &node["metadata"]["labels"];
            is_true || labels[LABEL] == "true" || labels[policy] == "ready"
        });
        let claims = claims.count();
        if claims == NODES - SHARE { Ok(()) } else { Err(format!("{claims} claim to be ready")) }
    })
    .await
    .unwrap();
    scene.held(NODES - SHARE).await;
    scene.operator.terminate();
}

const LEASE: &str =
    "/apis/coordination.k8s.io/v1/namespaces/lsm-ready-system/leases/lsm-ready-operator";

/// There is no LsmPolicy at all. The Lease says what is held, also after a change of the leader,
/// and a person releases it there.
#[tokio::test]
async fn without_any_policy_a_person_sees_and_releases_held_changes_on_the_lease() {
    let turn = server::exclusive().await;
    let client = turn.server.client().await.unwrap();
    for name in names() {
        server::create_node(turn.server, &name).await;
        report(&client, &name, "Denied", "1").await;
    }
    let rights = turn.server.kubeconfig_for(&account(OPERATOR), Some("system:serviceaccounts"));
    let rights = rights.unwrap();
    let start = |uid| Operator::with_breaker_at(&rights, Some(Pod { name: "op", uid }), 30);
    let operator = start("1");
    let mut scene = Scene { turn, client, operator };
    scene.shows(NODES, 0).await;
    scene.report_everywhere("Attached").await;
    let says = async |what: &str, expected: &str| {
        wait::until(DEADLINE, what, async || {
            let lease = done(&scene.client, "GET", LEASE, &Value::Null).await;
            let says = lease["metadata"]["annotations"]["lsmready.io/breaker-open"].to_string();
            if says.contains(expected) { Ok(says) } else { Err(says) }
        })
        .await
        .unwrap()
    };
    let first = says("the Lease to say what is held", "of 14 nodes keep their values").await;
    assert!(first.contains("lease lsm-ready-operator lsmready.io/breaker=release"), "{first}");
    assert_eq!(scene.counts().await.0, NODES - SHARE);
    wait::until(DEADLINE, "the Event", async || {
        let path = "/apis/events.k8s.io/v1/namespaces/lsm-ready-system/events";
        let events = done(&scene.client, "GET", path, &Value::Null).await.to_string();
        if events.contains("BreakerOpened") { Ok(()) } else { Err(events) }
    })
    .await
    .unwrap();

    let since = |text: &str| text.split(": ").next().unwrap().to_owned();
    std::mem::replace(&mut scene.operator, start("2")).terminate();
    let second = says("the next leader to say the same", "of 14 nodes keep their values").await;
    assert_eq!(since(&second), since(&first), "it is open for as long");
    assert_eq!(scene.counts().await.0, NODES - SHARE);

    let kubeconfig = scene.turn.server.kubeconfig();
    let annotate = |what| {
        let lease = ["annotate", "-n", NAMESPACE, "lease", "lsm-ready-operator", what];
        kubectl(&kubeconfig, &lease).unwrap();
    };
    annotate("lsmready.io/breaker=release");
    scene.shows(0, 0).await;
    says("the Lease to say nothing", "null").await;
    annotate("lsmready.io/breaker-");
    scene.operator.terminate();
}

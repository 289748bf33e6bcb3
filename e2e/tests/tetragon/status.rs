//! The status of a policy follows what the agents report.

use serde_json::{Value, json};

use crate::agents::{Agents, V1_3};
use crate::scene::{NODES, POLICIES, Scene, condition, label};

const POLICY: &str = "agents-answers";

/// Applies a policy for the node that can deny, with its agent asked.
async fn policy(scene: &Scene, apply: &str) {
    let only = json!({"matchLabels": {"kubernetes.io/hostname": "vm-lsm"}});
    let tetragon = json!({"securityfs": {"apply": apply}, "agents": {"ask": "Auto"}});
    scene.policy(POLICY, &json!({"nodeSelector": only, "tetragon": tetragon})).await;
}

/// Waits until the condition has this reason, and these words in its message.
async fn until_reported(scene: &Scene, reason: &str, words: &[&str]) -> Value {
    let is_reported = |policy: &Value| {
        let enforced = condition(policy, "TracingPoliciesEnforced");
        let message = enforced["message"].as_str().unwrap_or_default();
        enforced["reason"] == reason && words.iter().all(|word| message.contains(word))
    };
    scene
        .until_object(
            &format!("{POLICIES}/{POLICY}"),
            &format!("{reason} with {words:?}"),
            is_reported,
        )
        .await
}

#[tokio::test]
async fn an_agent_that_refuses_a_policy_on_a_ready_node_is_reported_with_its_error() {
    let scene = Scene::enter().await;
    scene.settled().await;
    let agents = Agents::deploy(&scene, V1_3).await;
    let refused = agents.until("vm-lsm", "LOAD_ERROR").await;

    // By default gRPC is served only on the node itself. The metrics show that something is wrong,
    // but not what.
    policy(&scene, "Suggest").await;
    until_reported(
        &scene,
        "AgentDisagrees",
        &["a policy that the metrics do not name", "on vm-lsm"],
    )
    .await;
    agents.serve_outside();
    let words: String = refused["error"]
        .as_str()
        .unwrap()
        .chars()
        .take_while(|c| !c.is_control())
        .take(40)
        .collect();
    let disagrees =
        until_reported(&scene, "AgentDisagrees", &["deny-secret on vm-lsm", words.trim()]).await;
    assert_eq!(
        condition(&disagrees, "TracingPoliciesEnforced")["status"],
        "False",
        "{disagrees:#}"
    );
    assert_eq!(
        condition(&disagrees, "NodesReady")["status"],
        "True",
        "the evidence comes from the kernel: {disagrees:#}"
    );
    assert_eq!(
        label(&scene.get(&format!("{NODES}/vm-lsm")).await, "policy.agents-answers"),
        "ready"
    );

    // The mount restarts the agents, and then they enforce the policy.
    policy(&scene, "Patch").await;
    agents.until("vm-lsm", "ENABLED").await;
    let agrees = |policy: &Value| {
        let enforced = condition(policy, "TracingPoliciesEnforced");
        enforced["status"] == "True"
            && enforced["reason"] == "AllEnforcing"
            && condition(policy, "Ready")["status"] == "True"
    };
    scene.until_object(&format!("{POLICIES}/{POLICY}"), "AllEnforcing and Ready", agrees).await;
    scene.delete(&format!("{POLICIES}/{POLICY}")).await;
    agents.remove().await;
}

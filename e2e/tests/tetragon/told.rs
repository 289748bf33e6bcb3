//! What the agents say comes into the policy's status, and goes from it again.

use serde_json::{Value, json};

use crate::agents::{Agents, V1_3};
use crate::scene::{NODES, POLICIES, Scene, condition, label};

const POLICY: &str = "told";

/// A policy for the node that can deny, whose agent is asked.
async fn policy(scene: &Scene, apply: &str) {
    let only = json!({"matchLabels": {"kubernetes.io/hostname": "vm-lsm"}});
    let tetragon = json!({"securityfs": {"apply": apply}, "agents": {"ask": "Auto"}});
    scene.policy(POLICY, &json!({"nodeSelector": only, "tetragon": tetragon})).await;
}

/// Waits until the status says that with this reason, and with these words in it.
async fn told(scene: &Scene, reason: &str, words: &[&str]) -> Value {
    let is_told = |policy: &Value| {
        let told = condition(policy, "TracingPoliciesEnforced");
        let message = told["message"].as_str().unwrap_or_default();
        told["reason"] == reason && words.iter().all(|word| message.contains(word))
    };
    scene
        .until_object(&format!("{POLICIES}/{POLICY}"), &format!("{reason} with {words:?}"), is_told)
        .await
}

#[tokio::test]
async fn an_agent_that_refuses_on_a_ready_node_is_told_in_its_own_words() {
    let scene = Scene::enter().await;
    scene.settled().await;
    let agents = Agents::deploy(&scene, V1_3).await;
    let refused = agents.until("vm-lsm", "LOAD_ERROR").await;

    // As the chart comes, gRPC is answered on the node alone: the metrics tell that something is wrong, not what.
    policy(&scene, "Suggest").await;
    told(&scene, "AgentDisagrees", &["a policy that the metrics do not name", "on vm-lsm"]).await;
    agents.answer_outside();
    let words: String = refused["error"]
        .as_str()
        .unwrap()
        .chars()
        .take_while(|c| !c.is_control())
        .take(40)
        .collect();
    let disagrees = told(&scene, "AgentDisagrees", &["deny-secret on vm-lsm", words.trim()]).await;
    assert_eq!(
        condition(&disagrees, "TracingPoliciesEnforced")["status"],
        "False",
        "{disagrees:#}"
    );
    assert_eq!(
        condition(&disagrees, "NodesReady")["status"],
        "True",
        "evidence is the kernel's: {disagrees:#}"
    );
    assert_eq!(label(&scene.get(&format!("{NODES}/vm-lsm")).await, "policy.told"), "ready");

    // The mount restarts the agents, and they say otherwise.
    policy(&scene, "Patch").await;
    agents.until("vm-lsm", "ENABLED").await;
    let agrees = |policy: &Value| {
        let told = condition(policy, "TracingPoliciesEnforced");
        told["status"] == "True"
            && told["reason"] == "AllEnforcing"
            && condition(policy, "Ready")["status"] == "True"
    };
    scene.until_object(&format!("{POLICIES}/{POLICY}"), "AllEnforcing and Ready", agrees).await;
    scene.delete(&format!("{POLICIES}/{POLICY}")).await;
    agents.remove().await;
}

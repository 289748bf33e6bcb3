//! A policy that is changed in one agent only, while the object in the cluster stays the same: the
//! status reports it.

use serde_json::{Value, json};

use crate::agents::{Agents, V1_7, are_real};
use crate::opener::{DENIED, OPENED, Opener};
use crate::scene::{POLICIES, Scene, condition};

const POLICY: &str = "changed";
const SECRET: &str = "/tmp/secret";

/// Waits until the condition has this reason. Nothing changes in the cluster, so this takes up to
/// one polling period.
async fn until_reported(scene: &Scene, status: &str, reason: &str) {
    let is_reported = |policy: &Value| {
        let enforced = condition(policy, "TracingPoliciesEnforced");
        enforced["status"] == status && enforced["reason"] == reason
    };
    scene.until_object(&format!("{POLICIES}/{POLICY}"), reason, is_reported).await;
}

#[tokio::test]
async fn a_policy_that_is_changed_in_one_agent_only_is_reported() {
    if !are_real() {
        return println!("skipped with the test agent: its tetra only lists policies");
    }
    let scene = Scene::enter().await;
    scene.settled().await;
    let agents = Agents::deploy(&scene, V1_7).await;
    agents.serve_outside();
    agents.until("vm-lsm", "ENABLED").await;
    let opener = Opener::start(&scene, "vm-lsm").await;
    let only = json!({"matchLabels": {"kubernetes.io/hostname": "vm-lsm"}});
    scene
        .policy(POLICY, &json!({"nodeSelector": only, "tetragon": {"agents": {"ask": "Auto"}}}))
        .await;
    until_reported(&scene, "True", "AllEnforcing").await;

    for (command, outcome, status, reason) in [
        (&["disable"][..], OPENED, "False", "PoliciesDisabled"),
        (&["enable"], DENIED, "True", "AllEnforcing"),
        (&["set-mode", "monitor"], OPENED, "False", "MonitorMode"),
        (&["set-mode", "enforce"], DENIED, "True", "AllEnforcing"),
        (&["delete"], OPENED, "False", "PoliciesMissing"),
    ] {
        agents.tetra("vm-lsm", command).await;
        opener.until(SECRET, outcome).await;
        until_reported(&scene, status, reason).await;
    }
    scene.delete(&format!("{POLICIES}/{POLICY}")).await;
    agents.remove().await;
    opener.end().await;
}

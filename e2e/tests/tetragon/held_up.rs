//! What holds up the repair: a rollout that does not progress, an owner's annotation, and a tool
//! that removes the mount.

use e2e::request;
use serde_json::{Value, json};

use crate::agents::{Agents, V1_3, V1_7};
use crate::scene::{POLICIES, Scene, TETRAGON, condition};

const POLICY: &str = "held-up";

async fn until(scene: &Scene, type_: &str, reason: &str) -> Value {
    let is = |policy: &Value| condition(policy, type_)["reason"] == reason;
    let policy = scene.until_object(&format!("{POLICIES}/{POLICY}"), reason, is).await;
    condition(&policy, type_).clone()
}

fn message(condition: &Value) -> &str {
    condition["message"].as_str().unwrap()
}

async fn clean(scene: &Scene, agents: Agents<'_>) {
    scene.delete(&format!("{POLICIES}/{POLICY}")).await;
    agents.remove().await;
}

/// The reason and the message are those of the kubelet or the scheduler.
#[tokio::test]
async fn a_rollout_that_does_not_progress_is_reported_with_its_reason() {
    let scene = Scene::enter().await;
    let agents = Agents::deploy(&scene, V1_7).await;
    scene.policy(POLICY, &json!({"minReady": 1, "tetragon": {}})).await;
    until(&scene, "TetragonRolledOut", "RolledOut").await;
    for (change, reason, words) in [
        (json!({"image": "lsm-ready.test/tetragon:v1.7.9"}), "ImagePull", "v1.7.9"),
        (json!({"command": ["/no/such/program"]}), "ContainerCreateFailed", "/no/such/program"),
        (json!({"resources": {"requests": {"cpu": "1000"}}}), "Unschedulable", "Insufficient cpu"),
    ] {
        agents.change(&change);
        let stuck = until(&scene, "TetragonRolledOut", reason).await;
        assert_eq!(stuck["status"], "False", "{stuck:#}");
        assert!(message(&stuck).contains(words) && message(&stuck).contains("vm-"), "{stuck:#}");
        agents.undo();
        until(&scene, "TetragonRolledOut", "RolledOut").await;
    }
    clean(&scene, agents).await;
}

#[tokio::test]
async fn an_annotation_holds_the_patch_and_repeated_reverts_stop_it() {
    let scene = Scene::enter().await;
    let agents = Agents::deploy(&scene, V1_3).await;
    agents.annotate("lsmready.io/apply=hold");
    let theirs = agents.daemon_set().await;
    scene.policy(POLICY, &json!({"minReady": 1, "tetragon": {}})).await;
    let held = until(&scene, "SecurityfsMounted", "Held").await;
    assert!(
        message(&held).contains("annotate --overwrite daemonset tetragon lsmready.io/apply=allow"),
        "{held:#}"
    );
    assert_eq!(
        agents.daemon_set().await["metadata"]["resourceVersion"],
        theirs["metadata"]["resourceVersion"]
    );

    agents.annotate("lsmready.io/apply=allow");
    let mut applied = 0;
    let is_contested = async || {
        let policy = scene.get(&format!("{POLICIES}/{POLICY}")).await;
        let found = condition(&policy, "SecurityfsMounted");
        if found["reason"] == "Contested" {
            return Ok(found.clone());
        }
        if agents.daemon_set().await["spec"] != theirs["spec"] {
            applied += 1;
            revert(&scene, &theirs).await;
        }
        Err(found.to_string())
    };
    let contested = scene.until("the reverts to be noticed", is_contested).await;
    assert_eq!(applied, 3, "{contested:#}");
    for remedy in ["ignoreDifferences", "apply: Suggest", "extraVolumes"] {
        assert!(message(&contested).contains(remedy), "{contested:#}");
    }
    assert_eq!(agents.daemon_set().await["spec"], theirs["spec"], "nothing is patched any more");
    clean(&scene, agents).await;
}

/// Replaces the DaemonSet by the owner's, as a tool that enforces its manifests does.
async fn revert(scene: &Scene, theirs: &Value) {
    let mut object = theirs.clone();
    let metadata = object["metadata"].as_object_mut().unwrap();
    metadata.retain(|field, _| !["resourceVersion", "managedFields"].contains(&field.as_str()));
    metadata["annotations"]["lsmready.io/apply"] = json!("allow");
    request::done(&scene.client, "PUT", TETRAGON, &object).await.unwrap();
}

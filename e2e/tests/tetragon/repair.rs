//! Each release, with and without the rights that its agent needs: the state of its policy, and
//! whether it is enforced.

use serde_json::{Value, json};

use crate::agents::{Agents, Form, TRACING_POLICY, V1_3, V1_7};
use crate::opener::{DENIED, OPENED, Opener};
use crate::scene::{POLICIES, Scene, condition, name};

const POLICY: &str = "enforcing";
const SECRET: &str = "/tmp/secret";

/// Applies a policy for Tetragon, and waits until it reports this reason for securityfs and the
/// agents are replaced.
async fn apply_policy(scene: &Scene, reason: &str) -> Value {
    scene.policy(POLICY, &json!({"minReady": 1, "tetragon": {}})).await;
    let settled = |policy: &Value| {
        let is = |type_: &str, reason: &str| condition(policy, type_)["reason"] == reason;
        is("SecurityfsMounted", reason)
            && is("TetragonRolledOut", "RolledOut")
            && is("Ready", "EnforcementReady")
    };
    scene.until_object(&format!("{POLICIES}/{POLICY}"), reason, settled).await
}

async fn clean(scene: &Scene, agents: Agents<'_>, openers: impl IntoIterator<Item = Opener<'_>>) {
    scene.delete(&format!("{POLICIES}/{POLICY}")).await;
    agents.remove().await;
    for opener in openers {
        opener.end().await;
    }
}

/// Checks the failure: the policy is refused because a mount is missing, on a node that can deny.
async fn is_refused(agents: &Agents<'_>, opener: &Opener<'_>) {
    let refused = agents.until("vm-lsm", "LOAD_ERROR").await;
    let error = refused["error"].as_str().unwrap();
    assert!(error.to_lowercase().contains("lsm"), "{error}");
    opener.until(SECRET, OPENED).await;
}

/// Checks the repair: the policy is loaded, and denies what it should, and nothing else.
async fn is_enforced(agents: &Agents<'_>, opener: &Opener<'_>) {
    let enabled = agents.until("vm-lsm", "ENABLED").await;
    assert!(enabled["error"].as_str().is_none_or(str::is_empty), "{enabled}");
    opener.until(SECRET, DENIED).await;
    opener.until("/tmp/secrets", OPENED).await;
}

#[tokio::test]
async fn release_1_3_refuses_the_policy_until_the_mount_is_there() {
    let scene = Scene::enter().await;
    let agents = Agents::deploy(&scene, V1_3).await;
    let (able, unable) =
        (Opener::start(&scene, "vm-lsm").await, Opener::start(&scene, "vm-nolsm").await);
    is_refused(&agents, &able).await;
    assert!(agents.log("vm-lsm").await.contains("failed to read /sys/kernel/security/lsm"));
    assert_eq!(agents.counted("vm-lsm", "load_error").await, "1");

    apply_policy(&scene, "Mounted").await;
    is_enforced(&agents, &able).await;
    assert_eq!(agents.counted("vm-lsm", "enabled").await, "1");
    // The mount does not help where the kernel cannot deny.
    agents.until("vm-nolsm", "LOAD_ERROR").await;
    unable.until(SECRET, OPENED).await;

    scene.delete(TRACING_POLICY).await;
    able.until(SECRET, OPENED).await;
    clean(&scene, agents, [able, unable]).await;
}

#[tokio::test]
async fn release_1_7_needs_nothing_and_is_left_alone() {
    is_left_alone(V1_7).await;
}

#[tokio::test]
async fn release_1_7_with_only_the_capabilities_it_needs_mounts_securityfs_itself_and_is_left_alone()
 {
    is_left_alone(Form { privileged: false, ..V1_7 }).await;
}

/// The release enforces from the start, so neither its DaemonSet nor its pods may change.
async fn is_left_alone(form: Form) {
    let scene = Scene::enter().await;
    let agents = Agents::deploy(&scene, form).await;
    let opener = Opener::start(&scene, "vm-lsm").await;
    is_enforced(&agents, &opener).await;
    let before = agents.daemon_set().await;
    let pods = pods(&scene).await;

    apply_policy(&scene, "MountsItself").await;
    let after = agents.daemon_set().await;
    assert!(!after["metadata"]["managedFields"].to_string().contains("lsm-ready"), "{after:#}");
    assert_eq!(
        (&after["spec"], &after["metadata"]["labels"]),
        (&before["spec"], &before["metadata"]["labels"])
    );
    assert_eq!(self::pods(&scene).await, pods, "no agent was restarted");
    clean(&scene, agents, [opener]).await;
}

async fn pods(scene: &Scene) -> Vec<String> {
    scene.pods("kube-system", "tetragon").await.iter().map(|pod| name(pod).to_owned()).collect()
}

#[tokio::test]
async fn release_1_3_with_only_the_capabilities_it_needs_is_given_the_mount() {
    let scene = Scene::enter().await;
    let agents = Agents::deploy(&scene, Form { privileged: false, ..V1_3 }).await;
    let opener = Opener::start(&scene, "vm-lsm").await;
    is_refused(&agents, &opener).await;

    apply_policy(&scene, "Mounted").await;
    is_enforced(&agents, &opener).await;
    clean(&scene, agents, [opener]).await;
}

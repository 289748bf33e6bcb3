//! Which DaemonSets get the mount, on a real API server with Pod Security and quotas.

use e2e::wait;
use lsm_ready_crds::ConditionReason;
use serde_json::{Value, json};

use super::{is_mounted, mounts, version};
use crate::scene::Scene;
use crate::server::{Answer, call, done};

const DEADLINE: std::time::Duration = std::time::Duration::from_secs(30);

/// A DaemonSet of somebody, which fits Pod Security's level `restricted`.
fn somebodys() -> Value {
    let labels = json!({"app": "web"});
    json!({"metadata": {"name": "tetragon", "labels": labels},
    "spec": {"selector": {"matchLabels": labels}, "template": {
        "metadata": {"labels": labels},
        "spec": {
            "serviceAccountName": "web",
            "securityContext": {"runAsNonRoot": true, "runAsUser": 1000,
                "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [{"name": "tetragon", "image": "registry/web:v1",
                "securityContext": {"allowPrivilegeEscalation": false,
                    "capabilities": {"drop": ["ALL"]}}}],
        },
    }}})
}

fn consenting() -> Value {
    let mut object = somebodys();
    object["metadata"]["annotations"] = json!({"lsmready.io/securityfs": "allow"});
    object
}

/// A scene with a policy `mount: Always` for that DaemonSet, in a namespace with these labels.
async fn scene(name: &'static str, object: Value, namespace: Value) -> Scene {
    let scene = Scene::with(name, object).await;
    let path = format!("/api/v1/namespaces/{name}");
    done(&scene.admin, "MERGE", &path, &json!({"metadata": {"labels": namespace}})).await;
    let account = json!({"metadata": {"name": "web"}});
    done(&scene.admin, "POST", &format!("{path}/serviceaccounts"), &account).await;
    scene.allow_reading_pods().await;
    scene.set_securityfs(&json!({"mount": "Always"})).await;
    scene
}

/// Creates a pod of the DaemonSet's template, as the DaemonSet controller does.
async fn create_pod(scene: &Scene, daemon_set: &Value, query: &str) -> Answer {
    let template = &daemon_set["spec"]["template"];
    let owner = json!({"apiVersion": "apps/v1", "kind": "DaemonSet", "name": "tetragon",
        "uid": daemon_set["metadata"]["uid"], "controller": true});
    let pod = json!({"metadata": {"generateName": "tetragon-", "ownerReferences": [owner],
            "labels": template["metadata"]["labels"]}, "spec": template["spec"]});
    let path = format!("/api/v1/namespaces/{}/pods{query}", scene.name);
    call(&scene.admin, "POST", &path, &pod).await
}

/// What the DaemonSet controller leaves when it has deleted the only agent and cannot make another:
/// an Event, and counts.
async fn refused_pod(scene: &Scene, daemon_set: &Value, refusal: &str) {
    let now = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let event = json!({
        "metadata": {"generateName": "tetragon.", "namespace": scene.name},
        "involvedObject": {"apiVersion": "apps/v1", "kind": "DaemonSet", "name": "tetragon",
            "namespace": scene.name, "uid": daemon_set["metadata"]["uid"]},
        "reason": "FailedCreate", "type": "Warning",
        "message": format!("Error creating: {refusal}"),
        "source": {"component": "daemonset-controller"}, "count": 1,
        "firstTimestamp": now, "lastTimestamp": now});
    done(&scene.admin, "POST", &format!("/api/v1/namespaces/{}/events", scene.name), &event).await;
    let counts = json!({"status": {
        "observedGeneration": daemon_set["metadata"]["generation"], "desiredNumberScheduled": 1,
        "currentNumberScheduled": 0, "updatedNumberScheduled": 0, "numberAvailable": 0,
        "numberReady": 0, "numberMisscheduled": 0}});
    done(&scene.admin, "MERGE", &format!("{}/status", scene.path()), &counts).await;
}

/// Asserts that the mount goes when pods with it are refused, and that pods come again.
async fn is_taken_back(scene: &Scene, patched: &Value, refusal: &str) {
    refused_pod(scene, patched, refusal).await;
    scene.reconcile().await;
    let taken = scene.reconcile().await;
    assert!(mounts(&taken).is_empty(), "{:?}", scene.remembered(patched));
    let mark = taken["metadata"]["labels"]["lsmready.io/securityfs"].as_str().unwrap();
    assert!(mark.starts_with("taken-back-"), "{mark}");
    assert_eq!(taken["spec"], scene.created["spec"]);
    assert_eq!(version(&scene.reconcile().await), version(&taken), "it is not added again");
}

#[tokio::test]
async fn a_daemon_set_of_others_is_changed_only_with_its_owners_consent() {
    let scene = scene("somebodys", somebodys(), json!({})).await;
    let untouched = scene.reconcile().await;
    assert_eq!(version(&untouched), version(&scene.created));
    let consent = json!({"metadata": {"annotations": {"lsmready.io/securityfs": "allow"}}});
    assert!(scene.helm("STRATEGIC", &consent).await.is_ok());
    let patched = scene.reconcile().await;
    assert!(is_mounted(&patched));
    // The consent is taken back: the mount is not added again, and is removed when nobody wants it.
    let back = json!({"metadata": {"annotations": {"lsmready.io/securityfs": null}}});
    assert!(scene.helm("STRATEGIC", &back).await.is_ok());
    assert!(is_mounted(&scene.reconcile().await));
    scene.delete_policy().await;
    assert_eq!(scene.reconcile().await["spec"], scene.created["spec"]);
}

#[tokio::test]
async fn a_mount_that_pod_security_forbids_is_not_added() {
    let restricted = json!({"pod-security.kubernetes.io/enforce": "restricted"});
    let scene = scene("restricted", consenting(), restricted).await;
    let answer = create_pod(&scene, &scene.created, "?dryRun=All").await;
    assert!(answer.is_ok(), "{answer:?}");
    let after = scene.reconcile().await;
    assert_eq!(version(&after), version(&scene.created));
    let failure = scene.remembered(&after).failure.unwrap();
    assert_eq!(failure.reason, ConditionReason::PodsForbidden, "{failure:?}");
    assert!(failure.message.contains("would violate PodSecurity"), "{}", failure.message);
}

#[tokio::test]
async fn a_mount_that_is_forbidden_without_a_warning_is_taken_back() {
    let silent = json!({"pod-security.kubernetes.io/enforce": "restricted",
        "pod-security.kubernetes.io/warn": "privileged"});
    let scene = scene("restricted-silent", consenting(), silent).await;
    let patched = scene.reconcile().await;
    assert!(is_mounted(&patched));
    let answer = create_pod(&scene, &patched, "").await;
    assert!(answer.code == 403 && answer.message.contains("lsm-ready-securityfs"), "{answer:?}");
    is_taken_back(&scene, &patched, &answer.message).await;
    let answer = create_pod(&scene, &scene.get().await, "").await;
    assert!(answer.is_ok(), "{answer:?}");
}

#[tokio::test]
async fn a_mount_whose_rollout_a_quota_stops_is_taken_back() {
    let scene = scene("quota", consenting(), json!({})).await;
    let path = format!("/api/v1/namespaces/{}/resourcequotas", scene.name);
    let quota = json!({"metadata": {"name": "small"}, "spec": {"hard": {"pods": "0"}}});
    done(&scene.admin, "POST", &path, &quota).await;
    // The controller that fills in the status does not run here.
    let status = json!({"status": {"hard": {"pods": "0"}, "used": {"pods": "0"}}});
    done(&scene.admin, "MERGE", &format!("{path}/small/status"), &status).await;
    let patched = scene.reconcile().await;
    assert!(is_mounted(&patched));
    let refusal = wait::until(DEADLINE, "the quota", async || {
        let answer = create_pod(&scene, &patched, "?dryRun=All").await;
        let is_refused = answer.message.contains("exceeded quota");
        if is_refused { Ok(answer.message) } else { Err(format!("{answer:?}")) }
    });
    is_taken_back(&scene, &patched, &refusal.await.unwrap()).await;
}

//! The Tetragon controller, with the operator's own rights and under its admission policies: which
//! manager owns which field after each kind of change, and what happens when the DaemonSet has
//! changed meanwhile.

mod allowed;
mod evictions;

use std::process::Command;

use e2e::command::run;
use e2e::paths;
use lsm_ready_crds::ConditionReason;
use lsm_ready_operator::tetragon::state::DaemonSetState;
use serde_json::{Value, json};

use crate::releases::{self, add_volume, agent, host_path, release};
use crate::scene::Scene;
use crate::server::{self, done, shared};

/// The fields that our field manager owns.
fn owned(object: &Value) -> Option<Value> {
    let managers = object["metadata"]["managedFields"].as_array().unwrap();
    managers.iter().find(|entry| entry["manager"] == "lsm-ready").map(|entry| {
        assert_eq!(entry["operation"], "Apply");
        entry["fieldsV1"].clone()
    })
}

/// The mounts at /sys/kernel/security of all containers.
fn mounts(object: &Value) -> Vec<Value> {
    let containers = object["spec"]["template"]["spec"]["containers"].as_array().unwrap();
    let mounts =
        containers.iter().filter_map(|container| container["volumeMounts"].as_array()).flatten();
    mounts.filter(|mount| mount["mountPath"] == "/sys/kernel/security").cloned().collect()
}

fn is_mounted(object: &Value) -> bool {
    mounts(object)
        == [json!({"name": "lsm-ready-securityfs", "mountPath": "/sys/kernel/security",
                "readOnly": true})]
}

fn version(object: &Value) -> &str {
    object["metadata"]["resourceVersion"].as_str().unwrap()
}

/// The fields of a DaemonSet that other managers own.
#[derive(Debug, PartialEq)]
struct Theirs {
    spec: Value,
    labels: Value,
}

fn theirs(object: &Value) -> Theirs {
    let object = releases::without_ours(object);
    Theirs { spec: object["spec"].clone(), labels: object["metadata"]["labels"].clone() }
}

/// The chart's manifest with another image.
fn upgrade(scene: &Scene, image: &str) -> Value {
    let mut object = release("v1.3");
    agent(&mut object)["image"] = json!(image);
    object["metadata"] = json!({"name": "tetragon", "namespace": scene.name,
        "labels": object["metadata"]["labels"]});
    object
}

#[tokio::test]
async fn the_mount_is_three_fields_and_its_removal_leaves_no_trace() {
    let scene = Scene::new("three-fields").await;
    let patched = scene.reconcile().await;
    assert!(is_mounted(&patched));
    let wanted = json!({
        "f:metadata": {"f:labels": {"f:lsmready.io/securityfs": {}}},
        "f:spec": {"f:template": {"f:spec": {
            "f:containers": {"k:{\"name\":\"tetragon\"}": {
                ".": {}, "f:name": {},
                "f:volumeMounts": {"k:{\"mountPath\":\"/sys/kernel/security\"}": {
                    ".": {}, "f:mountPath": {}, "f:name": {}, "f:readOnly": {}}},
            }},
            "f:volumes": {"k:{\"name\":\"lsm-ready-securityfs\"}": {
                ".": {}, "f:hostPath": {"f:path": {}, "f:type": {}}, "f:name": {}}},
        }}},
    });
    assert_eq!(owned(&patched), Some(wanted));
    assert_eq!(theirs(&patched), theirs(&scene.created), "nothing else differs");
    // Nothing more is written, neither for the present object nor for the one before the patch.
    assert_eq!(version(&scene.reconcile().await), version(&patched));
    let again = scene.reconcile_object(&scene.created).await;
    assert_eq!(version(&again), version(&patched));

    scene.delete_policy().await;
    let restored = scene.reconcile().await;
    assert_eq!(restored["spec"], scene.created["spec"]);
    assert_eq!(restored["metadata"]["labels"], scene.created["metadata"]["labels"]);
    assert_eq!(owned(&restored), None);
    assert_eq!(version(&scene.reconcile().await), version(&restored));
}

#[tokio::test]
async fn never_removes_the_mount_and_suggest_keeps_it() {
    let scene = Scene::new("never").await;
    scene.reconcile().await;
    scene.set_securityfs(&json!({"apply": "Suggest"})).await;
    assert!(is_mounted(&scene.reconcile().await));
    scene.set_securityfs(&json!({"mount": "Never"})).await;
    assert!(mounts(&scene.reconcile().await).is_empty());
    scene.set_securityfs(&json!({"apply": "Suggest"})).await;
    assert!(mounts(&scene.reconcile().await).is_empty(), "Suggest writes nothing");
}

#[tokio::test]
async fn an_upgrade_by_merge_patch_keeps_the_mount() {
    let scene = Scene::new("merge-patch").await;
    scene.reconcile().await;
    let image = json!({"spec": {"template": {"spec": {"containers": [{"name": "tetragon",
        "image": "tetragon:v1.3.1"}]}}}});
    let answer = scene.helm("STRATEGIC", &image).await;
    assert!(answer.is_ok(), "{answer:?}");
    let upgraded = scene.reconcile().await;
    assert_eq!(version(&upgraded), version(&answer.body), "nothing to write");
    assert!(is_mounted(&upgraded));
}

#[tokio::test]
async fn an_upgrade_by_server_side_apply_keeps_the_mount() {
    let scene = Scene::new("server-side").await;
    // The same manager name, but another way of writing: the upgrade from Helm 3 to Helm 4.
    let adopted = scene.helm("APPLY", &upgrade(&scene, "quay.io/cilium/tetragon:v1.3.0")).await;
    assert!(adopted.is_ok(), "{adopted:?}");
    let patched = scene.reconcile().await;
    assert!(is_mounted(&patched));
    let answer = scene.helm("APPLY", &upgrade(&scene, "quay.io/cilium/tetragon:v1.3.0")).await;
    assert!(answer.is_ok(), "no conflict: {answer:?}");
    assert!(is_mounted(&answer.body));
    assert_eq!(owned(&answer.body), owned(&patched));
}

#[tokio::test]
async fn the_mount_is_not_added_again_after_the_third_removal_by_another_manager() {
    let scene = Scene::new("contested").await;
    scene.allow_events().await;
    let mut applied = 0;
    for _ in 0..5 {
        if is_mounted(&scene.reconcile().await) {
            applied += 1;
        }
        let mut object = scene.created.clone();
        object["metadata"].as_object_mut().unwrap().remove("resourceVersion");
        let answer = scene.helm("PUT", &object).await;
        assert!(answer.is_ok(), "{answer:?}");
        assert!(mounts(&answer.body).is_empty());
    }
    assert_eq!(applied, 3);
    assert!(scene.remembered(&scene.created).reverts.paused_until().is_some());
    let events = done(
        &scene.admin,
        "GET",
        "/apis/events.k8s.io/v1/namespaces/contested/events",
        &Value::Null,
    )
    .await;
    let has_event = |reason: &str| {
        events["items"].as_array().unwrap().iter().any(|event| event["reason"] == reason)
    };
    assert!(has_event("SecurityfsMounted") && has_event("Contested"), "{events}");
}

#[tokio::test]
async fn a_recreated_daemon_set_is_not_changed() {
    let scene = Scene::new("recreated").await;
    let seen = scene.get().await;
    done(&scene.admin, "DELETE", &scene.path(), &Value::Null).await;
    let gone = scene.reconcile_object(&seen).await;
    assert_eq!(gone["code"], 404, "a patch with a UID creates nothing: {gone}");
    scene.create(release("v1.7")).await;
    // The write names the version that the decision was made from. It is tried again with the next.
    let error = scene.error_of(&seen).await;
    assert!(error.contains("the object has been modified"), "{error}");
    let other = scene.get().await;
    assert!(mounts(&other).is_empty());
    assert_eq!(owned(&other), None);
    assert_eq!(scene.remembered(&other), DaemonSetState::default());
}

#[tokio::test]
async fn a_field_of_another_manager_is_a_conflict_that_names_the_manager() {
    let mut object = release("v1.3");
    add_volume(&mut object, host_path("lsm-ready-securityfs", "/sys/kernel/security", ""));
    let scene = Scene::with("conflict", object).await;
    let after = scene.reconcile().await;
    assert_eq!(version(&after), version(&scene.created));
    let failure = scene.remembered(&after).failure.unwrap();
    assert_eq!(failure.reason, ConditionReason::FieldConflict, "{failure:?}");
    assert!(
        failure.message.contains("\"helm\"") && failure.message.contains("hostPath.type"),
        "{}",
        failure.message
    );
}

#[tokio::test]
async fn a_missing_right_to_patch_is_reported_as_forbidden() {
    let nobody = shared().await.client_for("nobody", None).await.unwrap();
    let scene = Scene::as_user("forbidden", release("v1.3"), nobody).await;
    let failure = scene.remembered(&scene.reconcile().await).failure.unwrap();
    assert_eq!(failure.reason, ConditionReason::Forbidden);
    assert!(failure.message.contains("lsm-ready-patching"), "{}", failure.message);
    assert!(failure.message.contains("User \"nobody\" cannot patch"), "{}", failure.message);
}

#[tokio::test]
async fn a_volume_that_another_container_uses_cannot_be_removed() {
    let scene = Scene::new("in-use").await;
    scene.reconcile().await;
    let mount = json!({"name": "lsm-ready-securityfs", "mountPath": "/securityfs"});
    let used = json!({"spec": {"template": {"spec": {"containers": [{"name": "export-stdout",
        "volumeMounts": [mount]}]}}}});
    assert!(scene.helm("STRATEGIC", &used).await.is_ok());
    scene.delete_policy().await;
    let after = scene.reconcile().await;
    assert!(is_mounted(&after));
    let failure = scene.remembered(&after).failure.unwrap();
    assert_eq!(failure.reason, ConditionReason::ApplyFailed, "{failure:?}");
    assert!(failure.message.contains("volumeMounts[0].name"), "{}", failure.message);
}

#[tokio::test]
async fn the_owners_own_mount_replaces_ours() {
    let scene = Scene::new("handed-over").await;
    scene.reconcile().await;
    let values = json!({"spec": {"template": {"spec": {
        "volumes": [host_path("host-securityfs", "/sys/kernel/security", "Directory")],
        "containers": [{"name": "tetragon", "volumeMounts": [
            {"name": "host-securityfs", "mountPath": "/sys/kernel/security", "readOnly": true}]}],
    }}}});
    let answer = scene.helm("STRATEGIC", &values).await;
    assert!(answer.is_ok(), "{answer:?}");
    let handed_over = scene.reconcile().await;
    assert_eq!(theirs(&handed_over), theirs(&answer.body), "the owner's mount is unchanged");
    assert_eq!(theirs(&handed_over).spec, handed_over["spec"], "and nothing of ours is left");
    assert_eq!(handed_over["metadata"]["labels"], scene.created["metadata"]["labels"]);
    assert_eq!(owned(&handed_over), None);
    let mounted =
        json!({"name": "host-securityfs", "mountPath": "/sys/kernel/security", "readOnly": true});
    assert_eq!(mounts(&handed_over), [mounted]);
    assert_eq!(version(&scene.reconcile().await), version(&handed_over));
}

/// A limit of sharing a container by server-side apply; see docs/adr/0003.
#[tokio::test]
async fn a_container_can_be_renamed_by_server_side_apply_only_after_the_mount_is_removed() {
    let scene = Scene::new("renamed").await;
    let manifest = upgrade(&scene, "quay.io/cilium/tetragon:v1.3.0");
    done(&scene.admin, "DELETE", &scene.path(), &Value::Null).await;
    assert!(scene.helm("APPLY", &manifest).await.is_ok());
    assert!(is_mounted(&scene.reconcile().await));
    let mut renamed = manifest.clone();
    agent(&mut renamed)["name"] = json!("agent");
    let refused = scene.helm("APPLY", &renamed).await;
    assert_eq!(refused.code, 422, "{refused:?}");
    scene.set_securityfs(&json!({"mount": "Never"})).await;
    scene.reconcile().await;
    let answer = scene.helm("APPLY", &renamed).await;
    assert!(answer.is_ok(), "{answer:?}");
}

#[tokio::test]
async fn an_upgrade_by_kubectl_apply_keeps_the_mount() {
    let scene = Scene::new("kubectl-apply").await;
    let kubeconfig = shared().await.kubeconfig();
    let file = kubeconfig.with_file_name("kubectl-apply.yaml");
    for (image, expected) in
        [("quay.io/cilium/tetragon:v1.3.0", "configured"), ("tetragon:v1.3.1", "configured")]
    {
        std::fs::write(&file, upgrade(&scene, image).to_string()).unwrap();
        let output =
            server::kubectl(&kubeconfig, &["apply", "-f", &file.display().to_string()]).unwrap();
        assert!(output.contains(expected), "{output}");
        assert!(is_mounted(&scene.reconcile().await), "{image}");
    }
    let now = scene.get().await;
    assert!(now["spec"].to_string().contains("tetragon:v1.3.1"));
}

#[tokio::test]
async fn a_manual_edit_keeps_the_mount() {
    let scene = Scene::new("edited").await;
    let patched = scene.reconcile().await;
    let mut edit = Command::new(paths::programs().join("kubectl"));
    edit.env("KUBE_EDITOR", "sed -i s/tetragon:v1.3.0/tetragon:v1.3.1/")
        .arg("--kubeconfig")
        .arg(shared().await.kubeconfig());
    let output = run(edit.args(["edit", "daemonset/tetragon", "-n", scene.name])).unwrap();
    assert!(output.contains("edited"), "{output}");
    let edited = scene.reconcile().await;
    assert!(edited["spec"].to_string().contains("tetragon:v1.3.1"));
    assert!(is_mounted(&edited));
    assert_eq!(owned(&edited), owned(&patched));
}

#[tokio::test]
async fn a_mount_that_was_taken_back_is_added_again_only_after_a_new_pod_template() {
    let scene = Scene::new("taken-back").await;
    scene.allow_reading_pods().await;
    let patched = scene.reconcile().await;
    assert!(is_mounted(&patched));
    scene.stuck_agent(&patched, "error mounting \"/sys/kernel/security\" to rootfs").await;
    // The pods are read, and then the mount is taken back, with the operator's own rights and under
    // its admission policies.
    scene.reconcile().await;
    let taken = scene.reconcile().await;
    assert_eq!(taken["spec"], scene.created["spec"]);
    let mark = taken["metadata"]["labels"]["lsmready.io/securityfs"].as_str().unwrap().to_owned();
    assert!(mark.starts_with("taken-back-"), "{mark}");
    for _ in 0..3 {
        assert_eq!(version(&scene.reconcile().await), version(&taken));
    }
    let annotation = json!({"kubectl.kubernetes.io/restartedAt": "now"});
    let restarted = json!({"spec": {"template": {"metadata": {"annotations": annotation}}}});
    let changed = scene.helm("MERGE", &restarted).await;
    assert_eq!(changed.code, 200, "{}", changed.message);
    assert!(is_mounted(&scene.reconcile().await));
}

#[tokio::test]
async fn the_advised_security_context_is_accepted_only_as_a_whole() {
    let scene = Scene::empty("advice").await;
    let path = format!("/apis/apps/v1/namespaces/{}/daemonsets?dryRun=All", scene.name);
    let mut object = release("v1.7");
    object["metadata"] = json!({"name": "tetragon", "namespace": scene.name});
    let capabilities = lsm_ready_tetragon::tested::newest().capabilities;
    agent(&mut object)["securityContext"] = json!({"privileged": false,
        "capabilities": {"drop": ["ALL"], "add": capabilities},
        "seccompProfile": {"type": "RuntimeDefault"},
        "appArmorProfile": {"type": "Unconfined"}});
    let refused = server::call(&scene.admin, "POST", &path, &object).await;
    assert!(
        refused.message.contains("Bidirectional mount propagation is available only to privileged"),
        "{}",
        refused.message
    );
    for mount in agent(&mut object)["volumeMounts"].as_array_mut().unwrap() {
        if mount["mountPropagation"] == "Bidirectional" {
            mount["mountPropagation"] = json!("HostToContainer");
        }
    }
    done(&scene.admin, "POST", &path, &object).await;
}

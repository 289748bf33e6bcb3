//! Tetragon's DaemonSet: the missing mount is added, helps, and is removed again; and what prevents
//! it is reported.

use std::path::Path;

use e2e::{paths, request};
use serde_json::{Value, json};

use crate::scene::{NAMESPACE, POLICIES, Scene, TETRAGON, condition, name};

/// Deploys the DaemonSet of the demonstration, in the shape of release 1.3.
async fn deploy(scene: &Scene) -> Value {
    let file = paths::workspace().join("e2e/demo/tetragon.yaml");
    apply_file(scene, &file);
    scene.get(TETRAGON).await
}

fn apply_file(scene: &Scene, file: &Path) {
    scene.kubectl(&["apply", "-f", &file.display().to_string()]);
}

fn mounts(daemon_set: &Value) -> Vec<&Value> {
    let containers = daemon_set["spec"]["template"]["spec"]["containers"].as_array().unwrap();
    let mounts =
        containers.iter().filter_map(|container| container["volumeMounts"].as_array()).flatten();
    mounts.filter(|mount| mount["mountPath"] == "/sys/kernel/security").collect()
}

#[tokio::test]
async fn the_mount_is_added_lets_agents_read_the_list_and_is_removed_with_the_policy() {
    let scene = Scene::enter().await;
    let Some(_) = scene.own("the test agent") else {
        return;
    };
    let before = deploy(&scene).await;
    until_every_agent_logs(&scene, |log| log.contains("lsm: false")).await;

    scene.policy("mounting", &json!({"minReady": 1, "tetragon": {}})).await;
    let policy = format!("{POLICIES}/mounting");
    let ready = |policy: &Value| {
        condition(policy, "Ready")["status"] == "True" && condition(policy, "Reconciling").is_null()
    };
    let policy_then = scene.until_object(&policy, "ready", ready).await;
    assert_eq!(condition(&policy_then, "SecurityfsMounted")["reason"], "Mounted");
    assert_eq!(condition(&policy_then, "TetragonRolledOut")["reason"], "RolledOut");
    let patched = scene.get(TETRAGON).await;
    assert_eq!(mounts(&patched).len(), 1, "{patched:#}");
    assert_eq!(mounts(&patched)[0]["readOnly"], true);
    assert_eq!(owned(&patched), our_fields());
    // On every node, also where LSM BPF cannot be used: an agent there reads the list, or is
    // refused before that.
    until_every_agent_logs(&scene, |log| {
        log.contains("detected features") && !log.contains("failed to read")
    })
    .await;

    scene.delete(&policy).await;
    let as_before = |now: &Value| {
        now["spec"] == before["spec"] && now["metadata"]["labels"] == before["metadata"]["labels"]
    };
    scene.until_object(TETRAGON, "as it was before", as_before).await;
    scene.delete(TETRAGON).await;
    scene.nothing_has_crashed().await;
}

/// The fields that server-side apply has noted as ours.
fn owned(daemon_set: &Value) -> Value {
    let managers = daemon_set["metadata"]["managedFields"].as_array().unwrap();
    managers.iter().find(|entry| entry["manager"] == "lsm-ready").unwrap()["fieldsV1"].clone()
}

fn our_fields() -> Value {
    json!({
        "f:metadata": {"f:labels": {"f:lsmready.io/securityfs": {}}},
        "f:spec": {"f:template": {"f:spec": {
            "f:containers": {r#"k:{"name":"tetragon"}"#: {
                ".": {}, "f:name": {},
                "f:volumeMounts": {r#"k:{"mountPath":"/sys/kernel/security"}"#: {
                    ".": {}, "f:mountPath": {}, "f:name": {}, "f:readOnly": {}}},
            }},
            "f:volumes": {r#"k:{"name":"lsm-ready-securityfs"}"#: {
                ".": {}, "f:name": {}, "f:hostPath": {"f:path": {}, "f:type": {}}}},
        }}},
    })
}

async fn until_every_agent_logs(scene: &Scene, is_expected: impl Fn(&str) -> bool) {
    let nodes = scene.linux_nodes().await.len();
    scene
        .until("every agent to have the expected log", async || {
            let mut logs = Vec::new();
            for pod in scene.pods("kube-system", "tetragon").await {
                logs.push(scene.log("kube-system", name(&pod)).await);
            }
            let expected = logs.iter().filter(|log| is_expected(log)).count();
            if expected == nodes && logs.len() == nodes { Ok(()) } else { Err(format!("{logs:?}")) }
        })
        .await;
}

#[tokio::test]
async fn a_daemon_set_that_cannot_be_patched_is_reported_with_a_remedy() {
    let scene = Scene::enter().await;
    let file =
        json!([{"name": "list", "hostPath": {"path": "/sys/kernel/security/lsm", "type": "File"}}]);
    let taken = json!([{"name": "lsm-ready-securityfs", "emptyDir": {}}]);
    let at = |volume: &str, path: &str| json!([{"name": volume, "mountPath": path}]);
    let nothing = json!([]);
    for (name, container, volumes, mounts, reason, remedy) in [
        (
            "no-container",
            "other",
            &nothing,
            nothing.clone(),
            "ContainerNotFound",
            "daemonSet.container",
        ),
        (
            "file-mount",
            "tetragon",
            &file,
            at("list", "/sys/kernel/security/lsm"),
            "FileMount",
            "mount the directory",
        ),
        (
            "name-taken",
            "tetragon",
            &taken,
            at("lsm-ready-securityfs", "/x"),
            "VolumeNameTaken",
            "rename or remove",
        ),
    ] {
        let path = format!("/apis/apps/v1/namespaces/default/daemonsets/{name}");
        scene.apply(&path, &daemon_set(name, container, volumes, &mounts)).await;
        // Without a name the agent would be found by its image.
        let container = if reason == "ContainerNotFound" { "agent" } else { "tetragon" };
        reported(&scene, Named { daemon_set: name, container }, reason, remedy).await;
        scene.delete(&path).await;
    }
    let none = Named { daemon_set: "none", container: "tetragon" };
    reported(&scene, none, "DaemonSetNotFound", "kubectl get daemonsets").await;
    let operator = scene.pods(NAMESPACE, "lsm-ready-operator").await;
    assert!(operator.iter().all(|pod| pod["status"]["phase"] == "Running"), "{operator:#?}");
    scene.nothing_has_crashed().await;
}

/// A DaemonSet and a container, as a policy names them.
struct Named<'a> {
    daemon_set: &'a str,
    container: &'a str,
}

/// Waits until a policy for the DaemonSet reports that reason with that remedy, and deletes the
/// policy.
async fn reported(scene: &Scene, named: Named<'_>, reason: &str, remedy: &str) {
    let Named { daemon_set, container } = named;
    let named = json!({"namespace": "default", "name": daemon_set, "container": container});
    let named = json!({"tetragon": {"daemonSet": named}});
    let policy = format!("{POLICIES}/in-the-way");
    scene.policy("in-the-way", &named).await;
    let is_reported = |policy: &Value| condition(policy, "SecurityfsMounted")["reason"] == reason;
    let found = scene.until_object(&policy, reason, is_reported).await;
    let message = condition(&found, "SecurityfsMounted")["message"].as_str().unwrap();
    assert!(message.contains(remedy), "{message}");
    assert_eq!(condition(&found, "Ready")["status"], "False", "{found:#}");
    scene.delete(&policy).await;
}

/// A DaemonSet that runs nowhere.
fn daemon_set(name: &str, container: &str, volumes: &Value, mounts: &Value) -> Value {
    json!({"apiVersion": "apps/v1", "kind": "DaemonSet", "spec": {
        "selector": {"matchLabels": {"app": name}},
        "template": {"metadata": {"labels": {"app": name}}, "spec": {
            "nodeSelector": {"example.com/no": "such-node"}, "volumes": volumes,
            "containers": [{"name": container, "image": "quay.io/cilium/tetragon:v1.3.0", "volumeMounts": mounts}],
        }},
    }})
}

#[tokio::test]
async fn the_api_server_refuses_invalid_policies() {
    let scene = Scene::enter().await;
    for (spec, word) in [
        (json!({"minReady": "101%"}), "percentage"),
        (json!({"minRedy": 1}), "minRedy"),
        (
            json!({"nodeSelector": {"matchExpressions": [{"key": "a", "operator": "In"}]}}),
            "at least one value",
        ),
        (json!({"require": {"evidence": "None"}}), "supported values"),
    ] {
        let object =
            json!({"apiVersion": "lsmready.io/v1alpha1", "kind": "LsmPolicy", "spec": spec});
        let answer = request::call(&scene.client, "APPLY", &format!("{POLICIES}/refused"), &object)
            .await
            .unwrap();
        assert!(!answer.is_ok() && answer.message.contains(word), "{spec}: {answer:?}");
    }
}

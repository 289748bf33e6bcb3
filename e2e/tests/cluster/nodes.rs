//! Nodes: each is judged by what its own kernel did in its current boot.

use std::process::Command;

use e2e::paths;
use serde_json::{Value, json};

use crate::scene::{
    LSM_NODES, NAMESPACE, NODES, POLICIES, Scene, condition, is_tainted, label, name,
};

#[tokio::test]
async fn labels_and_conditions_follow_the_report_of_each_nodes_own_probe() {
    let scene = Scene::enter().await;
    for node in scene.linux_nodes().await {
        let boot = &node["status"]["nodeInfo"]["bootID"];
        let path = format!("{LSM_NODES}/{}", name(&node));
        let report = scene
            .until_object(&path, "a report of this boot", |report| {
                &report["status"]["bootID"] == boot
            })
            .await;
        assert_eq!(
            report["metadata"]["ownerReferences"][0]["uid"], node["metadata"]["uid"],
            "{report:#}"
        );
        let (value, status) = expected(&report["status"]);
        let node = scene
            .until_object(&format!("{NODES}/{}", name(&node)), "the label that follows", |node| {
                label(node, "bpf") == value
            })
            .await;
        let found = condition(&node, "lsmready.io/LsmBpfReady");
        assert_eq!(
            (&found["status"], &found["reason"]),
            (&json!(status), &report["status"]["reason"]),
            "{found:#}"
        );
    }
    scene.nothing_has_crashed().await;
}

/// The label and the condition's status that follow from a report.
fn expected(status: &Value) -> (&'static str, &'static str) {
    let rung = |name: &str| {
        status["checks"].as_array().unwrap().iter().find(|check| check["name"] == name).unwrap()
    };
    if status["evidence"] == "Denied" {
        return ("true", "True");
    }
    let untried = ["Loaded", "Attached", "Fired", "Denied"]
        .map(rung)
        .into_iter()
        .find(|rung| rung["outcome"] != "Pass");
    match untried.unwrap()["outcome"].as_str() {
        Some("Fail") => ("false", "False"),
        _ => ("unknown", "Unknown"),
    }
}

#[tokio::test]
async fn the_probe_in_its_container_reports_the_same_as_a_check_on_the_host() {
    let scene = Scene::enter().await;
    let Some(_) = scene.own("comparing with node-probe check on the host itself") else {
        return;
    };
    let program = paths::workspace().join("target/x86_64-unknown-linux-gnu/release/node-probe");
    let output = Command::new(&program).args(["check", "--output", "json"]).output().unwrap();
    let outside: Value = serde_json::from_slice(&output.stdout).unwrap();
    let inside = reported(&scene, "host").await;
    for field in ["evidence", "reason", "bootID", "kernel"] {
        assert_eq!(inside[field], outside[field], "{field}: {inside:#}");
    }
}

#[tokio::test]
async fn boot_parameters_decide_and_the_fix_is_made_for_the_node() {
    let scene = Scene::enter().await;
    let Some(_) = scene.own("nodes with chosen boot parameters") else {
        return;
    };
    let ready = reported(&scene, "vm-lsm").await;
    assert_eq!((&ready["evidence"], &ready["reason"]), (&json!("Denied"), &json!("CanaryDenied")));
    let silent = reported(&scene, "vm-nolsm").await;
    assert_eq!(
        (&silent["evidence"], &silent["reason"]),
        (&json!("Attached"), &json!("BpfNotInLsmList"))
    );
    let fix = silent["fix"].as_str().unwrap();
    assert!(fix.contains("lsm=landlock,lockdown,yama,integrity,bpf"), "{fix}");
    // QEMU starts its kernel without a boot loader, so the fix must not name one.
    assert!(fix.contains("the host of a virtual machine") && !fix.contains("grub"), "{fix}");
}

async fn reported(scene: &Scene, node: &str) -> Value {
    let path = format!("{LSM_NODES}/{node}");
    let report = scene
        .until_object(&path, "a report", |report| report["status"]["evidence"].is_string())
        .await;
    report["status"].clone()
}

#[tokio::test]
async fn a_node_is_judged_anew_after_each_reboot() {
    let scene = Scene::enter().await;
    let Some(cluster) = scene.own("rebooting a node") else {
        return;
    };
    scene.policy("reboots", &json!({"taint": {"effect": "NoSchedule"}})).await;
    let path = format!("{NODES}/vm-nolsm");
    scene
        .until_object(&path, "not ready and tainted", |node| {
            label(node, "policy.reboots") == "not-ready" && is_tainted(node)
        })
        .await;

    cluster.reboot("vm-nolsm", "landlock,bpf").await.unwrap();
    let ready = |node: &Value| {
        label(node, "policy.reboots") == "ready"
            && label(node, "bpf") == "true"
            && !is_tainted(node)
    };
    scene.until_object(&path, "ready in its new boot", ready).await;

    cluster.reboot("vm-nolsm", "landlock,lockdown,yama,integrity").await.unwrap();
    scene
        .until_object(&path, "not ready again", |node| {
            label(node, "policy.reboots") == "not-ready" && is_tainted(node)
        })
        .await;
    scene.delete(&format!("{POLICIES}/reboots")).await;
    scene
        .until_object(&path, "neither label nor taint of the policy", |node| {
            label(node, "policy.reboots").is_empty() && !is_tainted(node)
        })
        .await;
}

#[tokio::test]
async fn a_new_probe_on_the_same_boot_writes_nothing() {
    let scene = Scene::enter().await;
    scene.settled().await;
    let old = scene.pods(NAMESPACE, "lsm-ready-probe").await.remove(0);
    let node = old["spec"]["nodeName"].as_str().unwrap();
    let path = format!("{LSM_NODES}/{node}");
    let before = scene
        .until_object(&path, "a report", |report| report["status"]["evidence"].is_string())
        .await;
    scene.delete(&format!("/api/v1/namespaces/{NAMESPACE}/pods/{}", name(&old))).await;
    scene
        .until("the new probe to have checked", async || {
            let pods = scene.pods(NAMESPACE, "lsm-ready-probe").await;
            let new = pods
                .iter()
                .find(|pod| pod["spec"]["nodeName"] == node && name(pod) != name(&old))
                .ok_or("no pod")?;
            let log = scene.log(NAMESPACE, name(new)).await;
            if log.contains("checked") {
                Ok(())
            } else {
                Err(format!("its log: {log}")).map_err(|_| "not checked yet")
            }
        })
        .await;
    let after = scene.get(&path).await;
    assert_eq!(after["status"], before["status"]);
    assert_eq!(after["metadata"]["resourceVersion"], before["metadata"]["resourceVersion"]);
}

#[tokio::test]
async fn required_hooks_are_judged_by_the_hooks_of_the_nodes_kernel() {
    let scene = Scene::enter().await;
    let Some(_) = scene.own("nodes with a known kernel") else {
        return;
    };
    scene
        .policy("hooks", &json!({"require": {"hooks": ["file_open"], "sleepableHooks": ["bprm_check_security"]}}))
        .await;
    scene.policy("no-such-hook", &json!({"require": {"hooks": ["file_opne"]}})).await;
    let node = format!("{NODES}/vm-lsm");
    scene
        .until_object(&node, "ready for hooks that there are", |node| {
            label(node, "policy.hooks") == "ready"
        })
        .await;
    let profile = reported(&scene, "vm-lsm").await["hookProfile"].as_str().unwrap().to_owned();
    assert!(
        scene
            .find(&format!("/apis/lsmready.io/v1alpha1/lsmhookprofiles/{profile}"))
            .await
            .is_some()
    );
    let same = |report: &Value| report["status"]["hookProfile"] == profile.as_str();
    scene
        .until_object(&format!("{LSM_NODES}/vm-nolsm"), "the same kernel, the same profile", same)
        .await;
    let has_reason =
        |policy: &Value| policy["status"]["reasons"].to_string().contains("HookNotInKernel");
    let policy =
        scene.until_object(&format!("{POLICIES}/no-such-hook"), "the reason", has_reason).await;
    assert_eq!(policy["status"]["nodes"]["ready"], 0, "{policy:#}");
    for name in ["hooks", "no-such-hook"] {
        scene.delete(&format!("{POLICIES}/{name}")).await;
    }
}

//! Nodes that join with a startup taint: it goes when the node has proved itself, and with each key
//! that a policy can choose.

use std::time::{Duration, Instant};

use lsm_ready_crds::names::TAINT_KEYS;
use serde_json::{Value, json};

use crate::scene::{LABELS, LSM_NODES, NODES, POLICIES, Scene, name};

/// From the report to a Node without the taint. A report is looked for every 100 ms.
const AT_ONCE: Duration = Duration::from_millis(900);
const NODE: &str = "vm-nolsm";
const WITH_BPF: &str = "landlock,lockdown,yama,integrity,bpf";
const WITHOUT_BPF: &str = "landlock,lockdown,yama,integrity";

#[tokio::test]
async fn the_startup_taint_goes_within_a_second_of_the_evidence_with_each_key() {
    let scene = Scene::enter().await;
    let Some(cluster) = scene.own("a node that joins") else {
        return;
    };
    let policy = format!("{POLICIES}/joins");
    for key in TAINT_KEYS {
        scene.policy("joins", &json!({"taint": {"key": key, "effect": "NoSchedule"}})).await;
        let old_boot = join_with_taint(&scene, key).await;
        let (boot, took) = tokio::join!(
            cluster.reboot(NODE, WITH_BPF),
            from_evidence_to_no_taint(&scene, key, &old_boot)
        );
        boot.unwrap();
        assert!(took < AT_ONCE, "{key}: {} ms", took.as_millis());
        println!("{key}: gone {} ms after the evidence was seen", took.as_millis());
        scene.delete(&policy).await;
    }
    cluster.reboot(NODE, WITHOUT_BPF).await.unwrap();
    scene.settled().await;
}

/// Replaces the Node by a new one with the taint and nothing else of ours, as an autoscaler or the
/// kubelet of a new machine creates it. Returns the id of the boot that ends now.
async fn join_with_taint(scene: &Scene, key: &str) -> Value {
    let path = format!("{NODES}/{NODE}");
    let old = scene.get(&path).await;
    let mut labels = old["metadata"]["labels"].as_object().unwrap().clone();
    labels.retain(|label, _| !label.starts_with(LABELS));
    let new = json!({
        "apiVersion": "v1", "kind": "Node",
        "metadata": {"labels": labels},
        "spec": {
            "podCIDR": old["spec"]["podCIDR"], "podCIDRs": old["spec"]["podCIDRs"],
            "taints": [{"key": key, "effect": "NoSchedule"}],
        },
    });
    scene.delete(&path).await;
    let created = scene.apply(&path, &new).await;
    assert!(has_taint(&created, key), "{}: {}", name(&created), created["spec"]);
    old["status"]["nodeInfo"]["bootID"].clone()
}

/// Waits for the evidence of a new boot, and then for a Node without the taint. Returns the time
/// between.
async fn from_evidence_to_no_taint(scene: &Scene, key: &str, old_boot: &Value) -> Duration {
    let has_evidence = |report: &Value| {
        &report["status"]["bootID"] != old_boot && report["status"]["evidence"] == "Denied"
    };
    scene.until_object(&format!("{LSM_NODES}/{NODE}"), "evidence", has_evidence).await;
    let since = Instant::now();
    let path = format!("{NODES}/{NODE}");
    scene.until_object(&path, "no taint", |node| !has_taint(node, key)).await;
    since.elapsed()
}

fn has_taint(node: &Value, key: &str) -> bool {
    let taints = node["spec"]["taints"].as_array().into_iter().flatten();
    taints.into_iter().any(|taint| taint["key"] == key)
}

//! Policies: they count nodes, keep workloads away from some, and remove everything when they are
//! deleted.

use serde_json::{Value, json};

use crate::scene::{NODES, POLICIES, Scene, condition, is_tainted, label, name};

#[tokio::test]
async fn a_policy_counts_its_nodes_and_gives_a_reason_for_each_that_is_not_ready() {
    let scene = Scene::enter().await;
    scene.policy("counting", &json!({"minReady": "0%"})).await;
    let path = format!("{POLICIES}/counting");
    let settled = |policy: &Value| {
        policy["status"]["nodes"]["selected"].as_u64() > Some(0)
            && policy["status"]["nodes"]["unknown"] == 0
    };
    let policy = scene.until_object(&path, "every selected node judged", settled).await;
    let nodes = scene.linux_nodes().await;
    let with = |value: &str| nodes.iter().filter(|node| label(node, "bpf") == value).count();
    let counts = &policy["status"]["nodes"];
    assert_eq!(counts["selected"], nodes.len());
    assert_eq!(
        (&counts["ready"], &counts["notReady"]),
        (&json!(with("true")), &json!(with("false")))
    );
    assert_eq!(counts["summary"], format!("{}/{}", with("true"), nodes.len()));
    let reasons = policy["status"]["reasons"].as_array().cloned().unwrap_or_default();
    assert_eq!(
        reasons.iter().filter_map(|reason| reason["count"].as_u64()).sum::<u64>(),
        with("false") as u64
    );
    assert!(
        reasons.iter().all(|reason| reason["fix"].as_str().is_some_and(|fix| !fix.is_empty())),
        "{reasons:#?}"
    );
    assert_eq!(condition(&policy, "Ready")["status"], "True", "{policy:#}");
    scene.delete(&path).await;
}

#[tokio::test]
async fn a_pod_is_scheduled_only_on_a_ready_node() {
    let scene = Scene::enter().await;
    let Some(_) = scene.own("nodes of which one is ready") else {
        return;
    };
    scene.policy("guard", &json!({"taint": {"effect": "NoSchedule"}})).await;
    for (node, state) in [("vm-lsm", "ready"), ("vm-nolsm", "not-ready"), ("host", "not-ready")] {
        let is = |found: &Value| {
            label(found, "policy.guard") == state && is_tainted(found) == (state != "ready")
        };
        scene.until_object(&format!("{NODES}/{node}"), state, is).await;
    }
    let selector = json!({"lsmready.node-restriction.kubernetes.io/policy.guard": "ready"});
    let on_ready = start(&scene, "on-ready", &selector).await;
    let pod =
        scene.until_object(&on_ready, "running", |pod| pod["status"]["phase"] == "Running").await;
    assert_eq!(pod["spec"]["nodeName"], "vm-lsm");
    let on_other = start(&scene, "on-other", &json!({"kubernetes.io/hostname": "vm-nolsm"})).await;
    let refused = |pod: &Value| condition(pod, "PodScheduled")["status"] == "False";
    let pod = scene.until_object(&on_other, "not scheduled", refused).await;
    let message = condition(&pod, "PodScheduled")["message"].as_str().unwrap_or_default();
    assert!(message.contains("untolerated taint"), "{message}");

    scene.delete(&format!("{POLICIES}/guard")).await;
    for node in scene.linux_nodes().await {
        let clean = |node: &Value| label(node, "policy.guard").is_empty() && !is_tainted(node);
        scene
            .until_object(&format!("{NODES}/{}", name(&node)), "nothing left of the policy", clean)
            .await;
    }
    scene
        .until_object(&on_other, "running, as the taint is gone", |pod| {
            pod["status"]["phase"] == "Running"
        })
        .await;
    for pod in [on_ready, on_other] {
        scene.delete(&pod).await;
    }
}

/// Starts a pod with that node selector and returns its path.
async fn start(scene: &Scene, name: &str, selector: &Value) -> String {
    let path = format!("/api/v1/namespaces/default/pods/{name}");
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "spec": {
        "nodeSelector": selector, "terminationGracePeriodSeconds": 1,
        "containers": [{"name": "main", "image": "lsm-ready.test/tetragon:v1.3.0", "imagePullPolicy": "IfNotPresent"}],
    }});
    // On a new cluster the namespace's ServiceAccount may be missing for a moment.
    scene
        .until("the pod to be admitted", async || {
            e2e::request::done(&scene.client, "APPLY", &path, &pod).await
        })
        .await;
    path
}

#[tokio::test]
async fn a_policy_that_selects_no_node_reports_no_nodes_selected() {
    let scene = Scene::enter().await;
    scene
        .policy(
            "nowhere",
            &json!({"nodeSelector": {"matchLabels": {"example.com/no": "such-node"}}}),
        )
        .await;
    let path = format!("{POLICIES}/nowhere");
    let policy = scene
        .until_object(&path, "a verdict", |policy| condition(policy, "Ready")["status"] == "False")
        .await;
    assert_eq!(condition(&policy, "Ready")["reason"], "NoNodesSelected", "{policy:#}");
    scene.delete(&path).await;
}

//! `kubectl delete -k` on a whole cluster, with everything at work: nothing is left, and a pod that
//! our taint kept away gets its node.

use e2e::paths;
use serde_json::{Value, json};

use crate::scene::{NAMESPACE, NODES, Scene, TETRAGON, is_tainted};

const POD: &str = "/api/v1/namespaces/default/pods/kept-away";

#[tokio::test]
async fn deleting_the_manifests_leaves_nothing_and_lets_pods_in() {
    let scene = Scene::enter().await;
    if scene.own("uninstalling lsm-ready").is_none() {
        return;
    }
    scene.settled().await;
    let manifests = paths::workspace().join("config/default").display().to_string();
    let tetragon = paths::workspace().join("e2e/demo/tetragon.yaml").display().to_string();
    scene.kubectl(&["apply", "-f", &tetragon]);
    let before = scene.get(TETRAGON).await;

    // This machine's kernel refuses LSM programs, so its node is not ready.
    let taint = json!({"effect": "NoSchedule", "rollout": "AllAtOnce"});
    let spec = json!({"taint": taint, "tetragon": {}});
    scene.policy("uninstalled", &spec).await;
    scene.until_object(&format!("{NODES}/host"), "tainted", is_tainted).await;
    let mounted = |now: &Value| now.to_string().contains("lsm-ready-securityfs");
    scene.until_object(TETRAGON, "mounted", mounted).await;
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "spec": {
        "nodeSelector": {"kubernetes.io/hostname": "host"},
        "containers": [{"name": "main", "image": "lsm-ready/none"}]}});
    scene.apply(POD, &pod).await;
    let kept_away = |pod: &Value| pod["status"].to_string().contains("untolerated taint");
    scene.until_object(POD, "kept away by our taint", kept_away).await;

    scene.kubectl(&["delete", "-k", &manifests, "--timeout=180s"]);
    for node in scene.get(NODES).await["items"].as_array().unwrap() {
        let mut node = node.clone();
        node["metadata"]["managedFields"].take();
        node["status"]["images"].take();
        let text = node.to_string();
        assert!(!text.contains("lsmready") && !text.contains("lsm-ready"), "{text}");
    }
    let after = scene.get(TETRAGON).await;
    assert_eq!(after["spec"], before["spec"]);
    assert_eq!(after["metadata"]["labels"], before["metadata"]["labels"]);
    assert!(scene.find(&format!("/api/v1/namespaces/{NAMESPACE}")).await.is_none());
    let placed = |pod: &Value| pod["spec"]["nodeName"].is_string();
    scene.until_object(POD, "on its node", placed).await;

    scene.delete(POD).await;
    scene.delete(TETRAGON).await;
    // The other tests find lsm-ready installed.
    Scene::enter().await.settled().await;
}

//! The operator's process: what it serves, and that a new one writes nothing.

use std::fs;

use serde_json::Value;

use crate::scene::{NAMESPACE, Scene, name};

async fn page(scene: &Scene, pod: &str, path: &str) -> String {
    let path = format!("/api/v1/namespaces/{NAMESPACE}/pods/{pod}:8080/proxy/{path}");
    let request = http::Request::get(path).body(Vec::new()).unwrap();
    scene.client.request_text(request).await.unwrap_or_else(|error| error.to_string())
}

#[tokio::test]
async fn health_readiness_and_metrics_are_served() {
    let scene = Scene::enter().await;
    let pod = scene.pods(NAMESPACE, "lsm-ready-operator").await.remove(0);
    assert_eq!(page(&scene, name(&pod), "healthz").await, "ok\n");
    assert_eq!(page(&scene, name(&pod), "readyz").await, "ready\n");
    let metrics = page(&scene, name(&pod), "metrics").await;
    assert!(metrics.contains("\nlsm_ready_leader 1\n"), "{metrics}");
}

#[tokio::test]
async fn a_new_operator_writes_only_its_lease_and_its_finalizers() {
    let scene = Scene::enter().await;
    let Some(cluster) = scene.own("reading the API server's audit log") else {
        return;
    };
    scene.settled().await;
    let old = scene.pods(NAMESPACE, "lsm-ready-operator").await.remove(0);
    let seen = fs::read_to_string(cluster.audit_log()).unwrap().len();
    scene.delete(&format!("/api/v1/namespaces/{NAMESPACE}/pods/{}", name(&old))).await;
    // It has reconciled every node when that many reconciles are counted.
    let nodes = scene.linux_nodes().await.len();
    let new = scene
        .until("the new operator to have reconciled every node", async || {
            let pods = scene.pods(NAMESPACE, "lsm-ready-operator").await;
            let new = pods.iter().find(|pod| name(pod) != name(&old)).ok_or("no pod")?;
            let metrics = page(&scene, name(new), "metrics").await;
            let looks = metrics.lines().find_map(|line| {
                line.strip_prefix(r#"lsm_ready_reconciles_total{controller="node",outcome="ok"} "#)?
                    .parse()
                    .ok()
            });
            if looks.unwrap_or(0) >= nodes { Ok(name(new).to_owned()) } else { Err("it has not") }
        })
        .await;
    let audit = fs::read_to_string(cluster.audit_log()).unwrap();
    let events = audit[seen..].lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let written: Vec<String> = events
        .filter(|event| {
            event["user"]["extra"]["authentication.kubernetes.io/pod-name"][0] == new.as_str()
        })
        .map(|event| {
            format!("{} {}", event["verb"].as_str().unwrap_or_default(), event["requestURI"])
        })
        // The objects that give it its rights: it keeps them by a finalizer.
        .filter(|written| !written.contains("/lsm-ready-operator"))
        .filter(|written| !written.contains("/lsm-ready-patching"))
        .collect();
    assert!(audit[seen..].contains(&new), "the audit log knows the new operator's pod");
    assert!(written.is_empty(), "{written:#?}");
}

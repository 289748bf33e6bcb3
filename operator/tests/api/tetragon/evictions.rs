//! Evictions of stale agents, and what the API server compares before it evicts.

use serde_json::{Value, json};

use crate::scene::{AGENT, Scene};
use crate::server::{self, done};

/// The namespace has the RoleBindings that every namespace except kube-system needs.
#[tokio::test]
async fn a_stale_agent_is_evicted() {
    let scene = Scene::new("stale").await;
    scene.allow_reading_pods().await;
    scene.allow_evictions().await;
    let patched = scene.reconcile().await;
    scene.repaired_node("stale-node", "2026-01-01T00:05:00Z").await;
    let pod = scene.agent(&patched, "stale-node", "2026-01-01T00:00:00Z").await;
    scene.reconcile().await;
    assert!(
        done(&scene.admin, "GET", &pod, &Value::Null).await["metadata"]["deletionTimestamp"]
            .is_null(),
        "no policy asks for it"
    );
    scene.set_tetragon(&json!({"restartStaleAgents": true})).await;
    scene.reconcile().await;
    let evicted = done(&scene.admin, "GET", &pod, &Value::Null).await;
    assert!(
        evicted["metadata"]["deletionTimestamp"].is_string(),
        "{:?}",
        scene.remembered(&patched)
    );
}

#[tokio::test]
async fn another_pod_with_the_same_name_is_not_evicted() {
    let scene = Scene::new("another-pod").await;
    let patched = scene.reconcile().await;
    let pod = scene.agent(&patched, "another-node", "2026-01-01T00:00:00Z").await;
    let eviction = json!({"apiVersion": "policy/v1", "kind": "Eviction",
        "metadata": {"name": AGENT},
        "deleteOptions": {"preconditions": {"uid": "another"}}});
    let answer = server::call(&scene.admin, "POST", &format!("{pod}/eviction"), &eviction).await;
    assert_eq!(answer.code, 409, "{answer:?}");
}

/// The operator's eviction names the resourceVersion that it has seen. The API server compares it,
/// so a leader that was stopped for a while evicts no agent that has changed since.
#[tokio::test]
async fn a_pod_that_has_changed_is_not_evicted() {
    let scene = Scene::new("changed-pod").await;
    let patched = scene.reconcile().await;
    let path = scene.agent(&patched, "changed-node", "2026-01-01T00:00:00Z").await;
    let seen = done(&scene.admin, "GET", &path, &Value::Null).await;
    let change = json!({"metadata": {"labels": {"changed": "since"}}});
    let changed = done(&scene.admin, "MERGE", &path, &change).await;
    let evict = async |pod: &Value| {
        let metadata = &pod["metadata"];
        let preconditions =
            json!({"uid": metadata["uid"], "resourceVersion": metadata["resourceVersion"]});
        let eviction = json!({"apiVersion": "policy/v1", "kind": "Eviction",
            "metadata": {"name": AGENT}, "deleteOptions": {"preconditions": preconditions}});
        server::call(&scene.admin, "POST", &format!("{path}/eviction"), &eviction).await
    };
    let refused = evict(&seen).await;
    assert_eq!(refused.code, 409, "{refused:?}");
    let evicted = evict(&changed).await;
    assert!(evicted.is_ok(), "{evicted:?}");
}

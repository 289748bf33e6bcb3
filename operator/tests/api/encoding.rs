//! The watch of Nodes asks for the binary encoding: what it reads of a Node is what it would read of
//! the Node's JSON, from the real API server.

use futures::TryStreamExt;
use k8s_openapi::api::core::v1::Node;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, WatchEvent, WatchParams};
use kube::{Api, Client, Error, ResourceExt};
use lsm_ready_crds::names;
use lsm_ready_operator::watch::changes::changes;
use lsm_ready_operator::watch::guard::Guard;
use serde_json::{Value, json};

use crate::server::{done, shared};

const LABEL: &str = "encoding.example.com/test";

/// Nodes with each field that is read, with none of them, and with what must not be read.
fn nodes() -> Vec<Value> {
    let full = json!({
        "metadata": {"labels": {"a": "b", "empty": "", "lsmready.io/bpf-lsm": "true"},
            "annotations": {"note": "n".repeat(5000)}, "finalizers": ["example.com/held"]},
        "spec": {"podCIDR": "10.1.0.0/24", "unschedulable": true, "taints": [
            {"key": "a", "value": "v", "effect": "NoSchedule"},
            {"key": "b", "effect": "NoExecute", "timeAdded": "2026-01-01T00:00:00Z"}]},
        "status": {
            "capacity": {"cpu": "4", "memory": "8Gi"},
            "conditions": [
                {"type": "Ready", "status": "True", "reason": "KubeletReady", "message": "m",
                    "lastHeartbeatTime": "2026-01-01T00:00:00Z"},
                {"type": names::NODE_CONDITION, "status": "False", "reason": "Ü", "message": "a\nb",
                    "lastHeartbeatTime": "2026-01-02T03:04:05Z",
                    "lastTransitionTime": "2026-01-01T00:00:00Z"}],
            "addresses": [{"type": "Hostname", "address": "n"},
                {"type": "InternalIP", "address": "10.0.0.1"},
                {"type": "InternalIP", "address": "fd00::1"}],
            "nodeInfo": {"bootID": "5b0c2a0e-0c1d-4e0f-9a8b-7c6d5e4f3a2b", "machineID": "m",
                "systemUUID": "s", "kernelVersion": "6.12", "osImage": "o",
                "containerRuntimeVersion": "c", "kubeletVersion": "v1", "kubeProxyVersion": "v1",
                "operatingSystem": "linux", "architecture": "amd64"},
            "images": [{"names": ["i".repeat(200)], "sizeBytes": 7}]},
    });
    let without_reason = json!({"status": {"conditions":
        [{"type": names::NODE_CONDITION, "status": "Unknown"}]}});
    let mut all = vec![full, json!({}), without_reason];
    for (number, node) in all.iter_mut().enumerate() {
        node["apiVersion"] = json!("v1");
        node["kind"] = json!("Node");
        node["metadata"]["name"] = json!(format!("encoded-{number}"));
        node["metadata"]["labels"][LABEL] = json!("");
    }
    all
}

fn kept(node: Guard<Node>) -> Node {
    node.0.expect("the Node is not read")
}

async fn in_json(api: &Api<Guard<Node>>) -> Vec<Node> {
    let list = api.list(&ListParams::default().labels(LABEL)).await.unwrap();
    list.items.into_iter().map(kept).collect()
}

fn params() -> WatchParams {
    WatchParams::default().labels(LABEL).timeout(30)
}

#[tokio::test]
async fn a_node_is_the_same_in_both_encodings() {
    let client = shared().await.client().await.unwrap();
    for node in nodes() {
        done(&client, "POST", "/api/v1/nodes", &node).await;
    }
    let api: Api<Guard<Node>> = Api::all(client.clone());
    let expected = in_json(&api).await;
    assert_eq!(expected.len(), nodes().len());
    let shown = expected[0].status.as_ref().and_then(|it| it.conditions.as_ref()).unwrap();
    assert_eq!(shown[0].message.as_deref(), Some("a\nb"));

    // A list by a stream, which ends with a bookmark.
    let mut events = changes(&api, &params().initial_events(), "").await.unwrap();
    let mut listed = Vec::new();
    let version = loop {
        match events.try_next().await.unwrap().unwrap() {
            WatchEvent::Added(node) => listed.push(kept(node)),
            WatchEvent::Bookmark(bookmark) => {
                assert!(bookmark.metadata.annotations.contains_key("k8s.io/initial-events-end"));
                break bookmark.metadata.resource_version;
            }
            other => panic!("{other:?}"),
        }
    };
    listed.sort_by_key(ResourceExt::name_any);
    assert_eq!(listed, expected);

    follows(&client, &api, &version).await;
}

/// Changes and deletions after that version.
async fn follows(client: &Client, api: &Api<Guard<Node>>, version: &str) {
    let mut events = changes(api, &params(), version).await.unwrap();
    let name = "encoded-1";
    let plain: Api<Node> = Api::all(client.clone());
    let patch = Patch::Merge(json!({"metadata": {"labels": {"changed": "yes"}}}));
    plain.patch(name, &PatchParams::default(), &patch).await.unwrap();
    let change = events.try_next().await.unwrap();
    let Some(WatchEvent::Modified(changed)) = change else { unreachable!("{change:?}") };
    assert_eq!(kept(changed), in_json(api).await[1]);
    plain.delete(name, &DeleteParams::default()).await.unwrap();
    let deletion = events.try_next().await.unwrap();
    let Some(WatchEvent::Deleted(gone)) = deletion else { unreachable!("{deletion:?}") };
    assert_eq!(gone.name_any(), name);
}

#[tokio::test]
async fn the_api_server_says_why_it_does_not_begin_a_watch() {
    let client = shared().await.client().await.unwrap();
    let api: Api<Guard<Node>> = Api::all(client.clone());
    let error = changes(&api, &params(), "no number").await.err().unwrap();
    let Error::Api(status) = error else { panic!("{error:?}") };
    assert!(status.code >= 400 && status.message.contains("no number"), "{status:?}");
}

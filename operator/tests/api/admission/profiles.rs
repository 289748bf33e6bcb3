//! LsmHookProfiles: a probe publishes for its own node, and cannot keep a profile from being
//! deleted.

use serde_json::{Value, json};

use super::{refused, server};
use crate::server::{
    OPERATOR, PROBE, call, create_node, done, enforced, on_node, unbound, with_rights,
};

const PROFILES: &str = "/apis/lsmready.io/v1alpha1/lsmhookprofiles";
const GARBAGE_COLLECTOR: &str = "system:serviceaccount:kube-system:generic-garbage-collector";

/// A profile whose name is that letter 64 times.
fn profile(letter: char, node: &str) -> Value {
    json!({"apiVersion": "lsmready.io/v1alpha1", "kind": "LsmHookProfile",
        "metadata": {"name": letter.to_string().repeat(64), "labels": {"lsmready.io/node": node}},
        "spec": {"kernel": "6.12", "hooks": ["file_open"], "sleepableHooks": []}})
}

fn path(letter: char) -> String {
    format!("{PROFILES}/{}", letter.to_string().repeat(64))
}

/// A profile with that field of its metadata.
fn with(field: &str, value: Value) -> Value {
    let mut object = profile('a', "node-a");
    object["metadata"][field] = value;
    object
}

/// Waits until the policy is enforced: it is stored with the others, and may be seen later.
async fn prepared() -> &'static e2e::api::ApiServer {
    let server = server().await;
    let probe = unbound(server, PROBE).await;
    enforced(&probe, "POST", PROFILES, &profile('0', "node-a")).await;
    server
}

#[tokio::test]
async fn a_probe_publishes_a_profile_of_its_own_node_only() {
    let server = prepared().await;
    let probe = on_node(server, PROBE, "node-a").await;
    let part = "publishes a profile with the label lsmready.io/node=node-a and no other label";
    let owner = json!([{"apiVersion": "v1", "kind": "Namespace", "name": "default", "uid": "1"}]);
    let metadata = "without annotations, finalizers, owners";
    for (object, part) in [
        (profile('a', "node-b"), part),
        (with("labels", Value::Null), part),
        (with("labels", json!({"lsmready.io/node": "node-a", "x": "y"})), part),
        (with("annotations", json!({"x": "y".repeat(250_000)})), metadata),
        (with("finalizers", json!(["example.com/forever"])), metadata),
        (with("ownerReferences", owner), metadata),
        (with("generateName", json!("a")), metadata),
    ] {
        refused(&probe, "POST", PROFILES, &object, part).await;
    }
    done(&probe, "POST", PROFILES, &profile('a', "node-a")).await;
}

#[tokio::test]
async fn a_probe_whose_token_names_no_node_publishes_nothing() {
    let probe = unbound(prepared().await, PROBE).await;
    for object in [profile('b', "node-a"), profile('b', "")] {
        refused(&probe, "POST", PROFILES, &object, "the probe's token names no node").await;
    }
}

/// Not even with every right that RBAC can grant.
#[tokio::test]
async fn a_probe_changes_and_deletes_no_profile() {
    let turn = crate::server::exclusive().await;
    let server = turn.server;
    create_node(server, "node-a").await;
    let admin = server.client().await.unwrap();
    done(&admin, "POST", PROFILES, &profile('c', "node-a")).await;
    let probe = on_node(server, PROBE, "node-a").await;
    crate::server::as_cluster_admin(server, PROBE, async || {
        let label = json!({"metadata": {"labels": {"lsmready.io/node": null}}});
        enforced(&probe, "MERGE", &path('c'), &label).await;
        let part = "a probe only creates LsmHookProfiles";
        refused(&probe, "MERGE", &path('c'), &label, part).await;
        refused(&probe, "DELETE", &path('c'), &Value::Null, part).await;
    })
    .await;
}

#[tokio::test]
async fn others_only_remove_metadata_of_a_profile() {
    let server = prepared().await;
    let admin = server.client().await.unwrap();
    let mut object = profile('d', "node-a");
    object["metadata"]["finalizers"] = json!(["example.com/theirs"]);
    done(&admin, "POST", PROFILES, &object).await;
    let rules = json!([{"apiGroups": ["lsmready.io"], "resources": ["lsmhookprofiles"],
        "verbs": ["create", "patch"]}]);
    let right = json!({"verb": "patch", "group": "lsmready.io", "resource": "lsmhookprofiles"});
    let writer = with_rights(server, "profile-writer", &rules, &right).await;
    let part = "only probes create LsmHookProfiles";
    refused(&writer, "POST", PROFILES, &profile('e', "node-a"), part).await;
    for metadata in [
        json!({"labels": {"lsmready.io/node": "node-b"}}),
        json!({"annotations": {"x": "y"}}),
        json!({"finalizers": ["example.com/theirs", "example.com/more"]}),
    ] {
        let part = "an LsmHookProfile never changes";
        refused(&writer, "MERGE", &path('d'), &json!({"metadata": metadata}), part).await;
    }
    done(&writer, "MERGE", &path('d'), &json!({"metadata": {"finalizers": null}})).await;
    done(&admin, "MERGE", &path('d'), &json!({"metadata": {"annotations": {"x": "y"}}})).await;
}

#[tokio::test]
async fn the_operator_and_the_garbage_collector_delete_profiles() {
    let server = prepared().await;
    let admin = server.client().await.unwrap();
    let operator = unbound(server, OPERATOR).await;
    done(&admin, "POST", PROFILES, &profile('f', "node-a")).await;
    done(&operator, "DELETE", &path('f'), &Value::Null).await;
    assert_eq!(call(&admin, "GET", &path('f'), &Value::Null).await.code, 404);
    // A deletion in the foreground ends when the garbage collector removes its finalizer.
    done(&admin, "POST", PROFILES, &profile('1', "node-a")).await;
    let foreground = json!({"propagationPolicy": "Foreground"});
    done(&operator, "DELETE", &path('1'), &foreground).await;
    let collector =
        server.client_for(GARBAGE_COLLECTOR, Some("system:serviceaccounts")).await.unwrap();
    done(&collector, "MERGE", &path('1'), &json!({"metadata": {"finalizers": null}})).await;
    assert_eq!(call(&admin, "GET", &path('1'), &Value::Null).await.code, 404);
}

//! LsmNodes: a probe reports for its own node only.

use serde_json::{Value, json};

use super::{LSM_NODES, NODES, lsm_node, refused, server};
use crate::server::{PROBE, call, create_node, done, on_node, unbound, with_rights};

#[tokio::test]
async fn a_probe_reports_for_its_own_node() {
    let probe = on_node(server().await, PROBE, "node-a").await;
    let node = done(&probe, "GET", &format!("{NODES}/node-a"), &Value::Null).await;
    let owner = json!({"apiVersion": "v1", "kind": "Node", "name": "node-a",
        "uid": node["metadata"]["uid"]});
    let mut report = lsm_node("node-a");
    report["metadata"]["ownerReferences"] = json!([owner]);
    done(&probe, "APPLY", &format!("{LSM_NODES}/node-a"), &report).await;
    done(&probe, "APPLY", &format!("{LSM_NODES}/node-a"), &report).await;
    report["status"] = json!({"evidence": "Denied", "bootID": "1"});
    done(&probe, "APPLY", &format!("{LSM_NODES}/node-a/status"), &report).await;
    done(
        &probe,
        "MERGE",
        &format!("{LSM_NODES}/node-a/status"),
        &json!({"status": {"evidence": "None"}}),
    )
    .await;
}

#[tokio::test]
async fn a_probe_does_not_report_for_another_node() {
    let probe = on_node(server().await, PROBE, "node-a").await;
    let part =
        "the probe of node node-a may not write LsmNode node-b: a node reports for itself only";
    let status = json!({"status": {"evidence": "Denied"}});
    refused(&probe, "APPLY", &format!("{LSM_NODES}/node-b"), &lsm_node("node-b"), part).await;
    refused(&probe, "MERGE", &format!("{LSM_NODES}/node-b/status"), &status, part).await;
    let part = "the probe of node node-a may not write LsmNode node-c";
    refused(&probe, "POST", LSM_NODES, &lsm_node("node-c"), part).await;
    refused(&probe, "APPLY", &format!("{LSM_NODES}/node-c"), &lsm_node("node-c"), part).await;
}

#[tokio::test]
async fn a_probe_whose_token_names_no_node_writes_nothing() {
    let probe = unbound(server().await, PROBE).await;
    let part = "the probe's token names no node";
    refused(&probe, "POST", LSM_NODES, &lsm_node("node-c"), part).await;
    refused(&probe, "MERGE", &format!("{LSM_NODES}/node-b/status"), &json!({"status": {}}), part)
        .await;
}

#[tokio::test]
async fn a_probe_cannot_prevent_the_deletion_of_a_report() {
    let probe = on_node(server().await, PROBE, "node-c").await;
    let part = "the probe may set only the Node of the same name as the owner of an LsmNode";
    let owner = |kind: &str, name: &str| {
        let owner = json!({"apiVersion": "v1", "kind": kind, "name": name, "uid": "1"});
        json!([owner])
    };
    for metadata in [
        json!({"ownerReferences": owner("Node", "node-b")}),
        json!({"ownerReferences": owner("Namespace", "node-c")}),
        json!({"finalizers": ["example.com/forever"]}),
    ] {
        let mut report = lsm_node("node-c");
        report["metadata"]["ownerReferences"] = metadata["ownerReferences"].clone();
        report["metadata"]["finalizers"] = metadata["finalizers"].clone();
        refused(&probe, "APPLY", &format!("{LSM_NODES}/node-c"), &report, part).await;
    }
}

#[tokio::test]
async fn a_probe_sets_no_labels_and_annotations_of_a_report() {
    let server = server().await;
    create_node(server, "node-labels").await;
    let probe = on_node(server, PROBE, "node-labels").await;
    let path = format!("{LSM_NODES}/node-labels");
    let part = "neither set nor change labels and annotations";
    for metadata in
        [json!({"labels": {"team": "x"}}), json!({"annotations": {"note": "x".repeat(200_000)}})]
    {
        let mut report = lsm_node("node-labels");
        for (field, value) in metadata.as_object().unwrap() {
            report["metadata"][field] = value.clone();
        }
        refused(&probe, "POST", LSM_NODES, &report, part).await;
    }
    done(&probe, "POST", LSM_NODES, &lsm_node("node-labels")).await;
    let admin = server.client().await.unwrap();
    let theirs = json!({"metadata": {"labels": {"team": "x"}, "annotations": {"note": "y"}}});
    done(&admin, "MERGE", &path, &theirs).await;
    for metadata in [
        json!({"labels": {"more": "x"}}),
        json!({"labels": {"team": null}}),
        json!({"annotations": {"note": "z"}}),
        json!({"annotations": null}),
    ] {
        refused(&probe, "MERGE", &path, &json!({"metadata": metadata}), part).await;
    }
    // Labels of others do not keep a probe from reporting.
    let status = json!({"status": {"evidence": "Denied"}});
    done(&probe, "MERGE", &format!("{path}/status"), &status).await;
}

/// The API server ignores metadata in a write to the status of a custom resource.
#[tokio::test]
async fn a_finalizer_in_a_write_to_the_status_has_no_effect() {
    let server = server().await;
    create_node(server, "node-finalizer").await;
    let probe = on_node(server, PROBE, "node-finalizer").await;
    done(&probe, "POST", LSM_NODES, &lsm_node("node-finalizer")).await;
    let change = json!({"metadata": {"finalizers": ["example.com/forever"]},
        "status": {"evidence": "Denied"}});
    let path = format!("{LSM_NODES}/node-finalizer");
    let _ = call(&probe, "MERGE", &format!("{path}/status"), &change).await;
    let stored = done(&probe, "GET", &path, &Value::Null).await;
    assert_eq!(stored["metadata"]["finalizers"], Value::Null);
}

#[tokio::test]
async fn a_probe_still_reports_when_others_added_finalizers_and_owners() {
    let server = server().await;
    let admin = server.client().await.unwrap();
    let mut report = lsm_node("node-d");
    report["metadata"]["finalizers"] = json!(["example.com/theirs"]);
    report["metadata"]["ownerReferences"] =
        json!([{"apiVersion": "v1", "kind": "Namespace", "name": "default", "uid": "1"}]);
    done(&admin, "POST", LSM_NODES, &report).await;
    let probe = on_node(server, PROBE, "node-d").await;
    let status = json!({"status": {"evidence": "Denied"}});
    done(&probe, "MERGE", &format!("{LSM_NODES}/node-d/status"), &status).await;
}

#[tokio::test]
async fn other_users_need_the_verb_override() {
    let server = server().await;
    let admin = server.client().await.unwrap();
    let path = format!("{LSM_NODES}/node-b/status");
    let status = json!({"status": {"evidence": "None", "message": "a drill"}});
    done(&admin, "MERGE", &path, &status).await;
    let rights = async |user: &str, verbs: &[&str]| {
        let rules = json!([
            {"apiGroups": ["lsmready.io"], "resources": ["lsmnodes/status"], "verbs": verbs}]);
        let right = json!({"verb": "patch", "group": "lsmready.io", "resource": "lsmnodes",
            "subresource": "status"});
        with_rights(server, user, &rules, &right).await
    };
    let patcher = rights("patcher", &["patch"]).await;
    refused(&patcher, "MERGE", &path, &status, "others need the verb \"override\"").await;
    let overrider = rights("overrider", &["patch", "override"]).await;
    done(&overrider, "MERGE", &path, &status).await;
}

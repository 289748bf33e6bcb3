//! LsmNodes: a probe reports for its own node only.

use serde_json::{Value, json};

use super::{LSM_NODES, NODES, lsm_node, refused, server};
use crate::server::{PROBE, done, granted, on_node, unbound};

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
    let bind = async |user: &str, verbs: &[&str]| {
        let rbac = "/apis/rbac.authorization.k8s.io/v1";
        let role = json!({"metadata": {"name": user}, "rules": [
            {"apiGroups": ["lsmready.io"], "resources": ["lsmnodes/status"], "verbs": verbs}]});
        done(&admin, "POST", &format!("{rbac}/clusterroles"), &role).await;
        let binding = json!({"metadata": {"name": user},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole",
                "name": user},
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user}]});
        done(&admin, "POST", &format!("{rbac}/clusterrolebindings"), &binding).await;
        let right = json!({"verb": "patch", "group": "lsmready.io", "resource": "lsmnodes",
            "subresource": "status"});
        granted(server, user, &right).await;
        server.client_for(user, None).await.unwrap()
    };
    let patcher = bind("patcher", &["patch"]).await;
    refused(&patcher, "MERGE", &path, &status, "others need the verb \"override\"").await;
    let overrider = bind("overrider", &["patch", "override"]).await;
    done(&overrider, "MERGE", &path, &status).await;
}

//! What the operator may not do even with every right that RBAC can grant.

use serde_json::json;

use super::{DAEMON_SETS, NODES, daemon_set, named, refused};
use crate::server::{OPERATOR, as_cluster_admin, done, enforced, exclusive, unbound};

#[tokio::test]
async fn more_rights_do_not_help_the_operator() {
    let turn = exclusive().await;
    let server = turn.server;
    let admin = server.client().await.unwrap();
    done(&admin, "POST", DAEMON_SETS, &daemon_set()).await;
    let operator = unbound(server, OPERATOR).await;
    as_cluster_admin(server, OPERATOR, async || {
        enforced(&operator, "POST", DAEMON_SETS, &named(daemon_set(), "new")).await;
        let part = "may neither create DaemonSets nor write their status";
        refused(&operator, "POST", DAEMON_SETS, &named(daemon_set(), "new"), part).await;
        let status = format!("{DAEMON_SETS}/tetragon/status");
        refused(&operator, "MERGE", &status, &json!({"status": {}}), part).await;
        let node = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "ghost"}});
        refused(&operator, "POST", NODES, &node, "it may not create Nodes").await;
        // The Events of the core group are the same objects.
        let event = json!({"metadata": {"generateName": "e-", "namespace": "kube-system"},
            "involvedObject": {"apiVersion": "apps/v1", "kind": "DaemonSet", "name": "tetragon",
                "namespace": "kube-system"},
            "reason": "FailedCreate", "type": "Warning", "message": "forged",
            "source": {"component": "daemonset-controller"}});
        let part = "only Events of the reportingController lsmready.io/operator";
        let path = "/api/v1/namespaces/kube-system/events";
        refused(&operator, "POST", path, &event, part).await;
    })
    .await;
}

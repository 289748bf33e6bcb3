//! What the operator may not do even with every right that RBAC can grant.

use serde_json::{Value, json};

use super::{DAEMON_SETS, NODES, daemon_set, named, refused};
use crate::server::{NAMESPACE, OPERATOR, done, enforced, exclusive, unbound};

const BINDINGS: &str = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings";

#[tokio::test]
async fn more_rights_do_not_help_the_operator() {
    let turn = exclusive().await;
    let server = turn.server;
    let admin = server.client().await.unwrap();
    done(&admin, "POST", DAEMON_SETS, &daemon_set()).await;
    let binding = json!({"metadata": {"name": "operator-is-admin"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole",
            "name": "cluster-admin"},
        "subjects": [{"kind": "ServiceAccount", "name": OPERATOR, "namespace": NAMESPACE}]});
    done(&admin, "POST", BINDINGS, &binding).await;
    let operator = unbound(server, OPERATOR).await;
    // The new rights take a moment to become effective.
    enforced(&operator, "POST", DAEMON_SETS, &named(daemon_set(), "new")).await;
    let part = "may neither create DaemonSets nor write their status";
    refused(&operator, "POST", DAEMON_SETS, &named(daemon_set(), "new"), part).await;
    refused(
        &operator,
        "MERGE",
        &format!("{DAEMON_SETS}/tetragon/status"),
        &json!({"status": {}}),
        part,
    )
    .await;
    let node = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "ghost"}});
    refused(&operator, "POST", NODES, &node, "may not create Nodes").await;
    done(&admin, "DELETE", &format!("{BINDINGS}/operator-is-admin"), &Value::Null).await;
}

//! The rights of a user with the role for editing policies.

use serde_json::{Value, json};

use super::{CRDS, calls, judge, server};
use crate::server::{done, granted};

#[tokio::test]
async fn an_editor_of_policies_writes_policies_only() {
    let server = server().await;
    let admin = server.client().await.unwrap();
    let binding = json!({"metadata": {"name": "editor"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole",
            "name": "lsm-ready-policy-editor"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "editor"}]});
    done(&admin, "POST", "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", &binding).await;
    let patch = json!({"verb": "patch", "group": "lsmready.io", "resource": "lsmpolicies"});
    granted(server, "editor", &patch).await;
    let editor = server.client_for("editor", None).await.unwrap();
    let policy = json!({"apiVersion": "lsmready.io/v1alpha1", "kind": "LsmPolicy", "spec": {}});
    let allowed = calls([
        ("APPLY", &format!("{CRDS}/lsmpolicies/edited"), policy),
        ("DELETE", &format!("{CRDS}/lsmpolicies/edited"), Value::Null),
        ("GET", &format!("{CRDS}/lsmnodes"), Value::Null),
    ]);
    judge(&editor, allowed, true).await;
    let forbidden = calls([
        ("MERGE", &format!("{CRDS}/lsmpolicies/present/status"), json!({})),
        ("MERGE", &format!("{CRDS}/lsmnodes/present/status"), json!({})),
        ("DELETE", &format!("{CRDS}/lsmnodes/present"), Value::Null),
    ]);
    judge(&editor, forbidden, false).await;
}

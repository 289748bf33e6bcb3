//! Pods in our namespace: only the controllers' pods of our workloads have our accounts.

use e2e::api::ApiServer;
use kube::Client;
use serde_json::{Value, json};

use super::{refused, server};
use crate::server::{NAMESPACE, OPERATOR, PROBE, call, create_node, done, enforced, with_rights};

const DAEMON_SET_CONTROLLER: &str = "system:serviceaccount:kube-system:daemon-set-controller";
const REPLICA_SET_CONTROLLER: &str = "system:serviceaccount:kube-system:replicaset-controller";

fn pods() -> String {
    format!("/api/v1/namespaces/{NAMESPACE}/pods")
}

fn pod_spec(account: &str) -> Value {
    json!({"serviceAccountName": account, "containers": [{"name": "main", "image": "none"}]})
}

fn pod(account: &str, owner: &Value) -> Value {
    let mut pod = json!({"metadata": {"generateName": "pod-"}, "spec": pod_spec(account)});
    if !owner.is_null() {
        pod["metadata"]["ownerReferences"] = json!([owner]);
    }
    pod
}

fn owner(kind: &str, name: &str) -> Value {
    json!({"apiVersion": "apps/v1", "kind": kind, "name": name, "uid": "1", "controller": true})
}

/// Somebody with the rights of the built-in role `admin` in our namespace, and more: a person who
/// may create everything there.
async fn resident(server: &'static ApiServer, name: &str) -> Client {
    let rules = json!([{"apiGroups": ["", "apps", "batch"], "resources": ["*"], "verbs": ["*"]}]);
    let right = json!({"verb": "create", "resource": "pods", "namespace": NAMESPACE});
    let client = with_rights(server, name, &rules, &right).await;
    enforced(&client, "POST", &pods(), &pod(PROBE, &Value::Null)).await;
    client
}

#[tokio::test]
async fn nobody_runs_a_pod_with_our_accounts() {
    let client = resident(server().await, "pod-creator").await;
    for account in [PROBE, OPERATOR] {
        for owner in [
            Value::Null,
            owner("DaemonSet", "lsm-ready-probe"),
            owner("ReplicaSet", "lsm-ready-operator-5d4f8c7b9d"),
        ] {
            let part = "only the controllers make pods with the account lsm-ready-";
            refused(&client, "POST", &pods(), &pod(account, &owner), part).await;
        }
        let deprecated = json!({"metadata": {"generateName": "pod-"}, "spec": {
            "serviceAccount": account, "containers": [{"name": "main", "image": "none"}]}});
        refused(&client, "POST", &pods(), &deprecated, "only the controllers make pods").await;
    }
    // Other accounts are not pinned.
    let accounts = format!("/api/v1/namespaces/{NAMESPACE}/serviceaccounts");
    done(&client, "POST", &accounts, &json!({"metadata": {"name": "other"}})).await;
    done(&client, "POST", &pods(), &pod("other", &Value::Null)).await;
}

#[tokio::test]
async fn nobody_makes_a_workload_with_our_accounts() {
    let client = resident(server().await, "workload-creator").await;
    let part = "is for the workloads of lsm-ready";
    for (group, kind) in [
        ("apps", "daemonsets"),
        ("apps", "deployments"),
        ("apps", "replicasets"),
        ("apps", "statefulsets"),
        ("batch", "jobs"),
        ("batch", "cronjobs"),
    ] {
        let labels = json!({"app": "x"});
        let mut spec = pod_spec(OPERATOR);
        spec["restartPolicy"] = json!(if group == "batch" { "Never" } else { "Always" });
        let template = json!({"metadata": {"labels": labels}, "spec": spec});
        let spec = match kind {
            "jobs" => json!({"template": template}),
            "cronjobs" => {
                json!({"schedule": "* * * * *", "jobTemplate": {"spec": {"template": template}}})
            }
            _ => json!({"selector": {"matchLabels": labels}, "template": template}),
        };
        let object = json!({"metadata": {"name": "lsm-ready-operator-x"}, "spec": spec});
        let path = format!("/apis/{group}/v1/namespaces/{NAMESPACE}/{kind}");
        refused(&client, "POST", &path, &object, part).await;
    }
}

#[tokio::test]
async fn nobody_changes_what_our_workloads_run() {
    let client = resident(server().await, "workload-editor").await;
    let apps = format!("/apis/apps/v1/namespaces/{NAMESPACE}");
    for (path, container) in
        [("daemonsets/lsm-ready-probe", "probe"), ("deployments/lsm-ready-operator", "operator")]
    {
        let path = format!("{apps}/{path}");
        let image = json!({"spec": {"template": {"spec": {"containers": [
            {"name": container, "image": "evil"}]}}}});
        refused(&client, "STRATEGIC", &path, &image, "is for the workloads of lsm-ready").await;
        let restart = json!({"spec": {"template": {"metadata": {"annotations": {"at": "now"}}}}});
        done(&client, "MERGE", &path, &restart).await;
    }
    let deployment = format!("{apps}/deployments/lsm-ready-operator");
    done(&client, "MERGE", &deployment, &json!({"spec": {"replicas": 2}})).await;
    done(&client, "MERGE", &deployment, &json!({"spec": {"replicas": 1}})).await;
}

#[tokio::test]
async fn nobody_gets_a_token_of_our_accounts() {
    let server = server().await;
    let client = resident(server, "token-creator").await;
    let namespace = format!("/api/v1/namespaces/{NAMESPACE}");
    for account in [PROBE, OPERATOR] {
        let request = json!({"spec": {"audiences": []}});
        let path = format!("{namespace}/serviceaccounts/{account}/token");
        refused(&client, "POST", &path, &request, "only the kubelet of a pod gets tokens").await;
        let secret = json!({"metadata": {"name": format!("token-of-{account}"),
                "annotations": {"kubernetes.io/service-account.name": account}},
            "type": "kubernetes.io/service-account-token"});
        let part = "or a Secret with its token";
        refused(&client, "POST", &format!("{namespace}/secrets"), &secret, part).await;
    }
}

#[tokio::test]
async fn nobody_adds_a_container_to_our_pods() {
    let server = server().await;
    let client = resident(server, "debugger").await;
    let admin = server.client().await.unwrap();
    let pod = done(&admin, "POST", &pods(), &pod(PROBE, &Value::Null)).await;
    let path =
        format!("{}/{}/ephemeralcontainers", pods(), pod["metadata"]["name"].as_str().unwrap());
    let shell = json!({"spec": {"ephemeralContainers": [{"name": "shell", "image": "none"}]}});
    refused(&client, "STRATEGIC", &path, &shell, "no container is added to its pods").await;
}

/// The kubelet starts a container again whose image has changed.
#[tokio::test]
async fn nobody_changes_the_image_of_our_pods() {
    let server = server().await;
    let client = resident(server, "pod-editor").await;
    let admin = server.client().await.unwrap();
    let part = "stay as they are: change the Deployment or the DaemonSet";
    for account in [PROBE, OPERATOR] {
        let mut ours = pod(account, &Value::Null);
        ours["spec"]["initContainers"] = json!([{"name": "first", "image": "none"}]);
        let ours = done(&admin, "POST", &pods(), &ours).await;
        let path = format!("{}/{}", pods(), ours["metadata"]["name"].as_str().unwrap());
        for list in ["containers", "initContainers"] {
            let name = &ours["spec"][list][0]["name"];
            let image = json!({"spec": {list: [{"name": name, "image": "evil"}]}});
            refused(&client, "STRATEGIC", &path, &image, part).await;
            let mut whole = done(&client, "GET", &path, &Value::Null).await;
            whole["spec"][list][0]["image"] = json!("evil");
            refused(&client, "PUT", &path, &whole, part).await;
            let spec = json!({"spec": {list: whole["spec"][list]}});
            refused(&client, "MERGE", &path, &spec, part).await;
        }
        // Everything else of a pod is not ours to refuse.
        let label = json!({"metadata": {"labels": {"a": "b"}}});
        done(&client, "MERGE", &path, &label).await;
    }
}

#[tokio::test]
async fn the_controllers_make_our_pods_and_kubelets_get_their_tokens() {
    let server = server().await;
    create_node(server, "account-node").await;
    for (user, account, owner, others) in [
        (
            DAEMON_SET_CONTROLLER,
            PROBE,
            owner("DaemonSet", "lsm-ready-probe"),
            owner("DaemonSet", "lsm-ready-probe-2"),
        ),
        (
            REPLICA_SET_CONTROLLER,
            OPERATOR,
            owner("ReplicaSet", "lsm-ready-operator-5d4f8c7b9d"),
            owner("ReplicaSet", "lsm-ready-operator-x-5d4f8c7b9d"),
        ),
    ] {
        let controller = server.client_for(user, Some("system:serviceaccounts")).await.unwrap();
        enforced(&controller, "POST", &pods(), &pod(account, &others)).await;
        let mut made = pod(account, &owner);
        made["spec"]["nodeName"] = json!("account-node");
        let made = done(&controller, "POST", &pods(), &made).await;
        let kubelet =
            server.client_for("system:node:account-node", Some("system:nodes")).await.unwrap();
        let path = format!("/api/v1/namespaces/{NAMESPACE}/serviceaccounts/{account}/token");
        let request = json!({"spec": {"audiences": [], "boundObjectRef": {"apiVersion": "v1",
            "kind": "Pod", "name": made["metadata"]["name"], "uid": made["metadata"]["uid"]}}});
        // The Node authorizer learns of the pod a moment later.
        e2e::wait::until(std::time::Duration::from_secs(30), "a token", async || {
            let answer = call(&kubelet, "POST", &path, &request).await;
            if answer.is_ok() { Ok(()) } else { Err(answer.message) }
        })
        .await
        .unwrap();
    }
}

/// The Deployment's controller makes ReplicaSets, whose pods have the operator's account.
#[tokio::test]
async fn the_deployment_controller_makes_the_operators_replica_set() {
    let server = server().await;
    let user = "system:serviceaccount:kube-system:deployment-controller";
    let controller = server.client_for(user, Some("system:serviceaccounts")).await.unwrap();
    let labels = json!({"app": "replica"});
    let object = json!({"metadata": {"name": "lsm-ready-operator-5d4f8c7b9d"},
        "spec": {"selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": pod_spec(OPERATOR)}}});
    let path = format!("/apis/apps/v1/namespaces/{NAMESPACE}/replicasets");
    done(&controller, "POST", &path, &object).await;
}

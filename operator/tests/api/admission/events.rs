//! Events and evictions by the operator: Events of its own about its own objects, and only
//! Tetragon's pods.

use kube::Client;
use serde_json::{Value, json};

use super::{refused, server};
use crate::server::{NAMESPACE, OPERATOR, call, create_node, done, enforced, unbound};

fn events(namespace: &str) -> String {
    format!("/apis/events.k8s.io/v1/namespaces/{namespace}/events")
}

fn event(controller: &str, regarding: &Value) -> Value {
    json!({"metadata": {"generateName": "admission-"}, "action": "Apply", "reason": "Contested",
        "type": "Warning", "eventTime": "2026-01-01T00:00:00.000000Z",
        "reportingController": controller, "reportingInstance": "x", "regarding": regarding})
}

fn regarding(version: &str, kind: &str, namespace: Option<&str>) -> Value {
    json!({"apiVersion": version, "kind": kind, "name": "it", "namespace": namespace})
}

fn lease(name: &str) -> Value {
    let mut lease = regarding("coordination.k8s.io/v1", "Lease", Some(NAMESPACE));
    lease["name"] = json!(name);
    lease
}

const OURS: &str = "lsmready.io/operator";

async fn operator() -> Client {
    let operator = unbound(server().await, OPERATOR).await;
    let node = regarding("v1", "Node", None);
    enforced(&operator, "POST", &events("default"), &event("kubelet", &node)).await;
    operator
}

#[tokio::test]
async fn the_operator_publishes_events_about_its_own_objects_only() {
    let operator = operator().await;
    for (namespace, about) in [
        ("default", regarding("v1", "Node", None)),
        ("default", regarding("lsmready.io/v1alpha1", "LsmPolicy", None)),
        ("kube-system", regarding("apps/v1", "DaemonSet", Some("kube-system"))),
        (NAMESPACE, lease("lsm-ready-operator")),
    ] {
        done(&operator, "POST", &events(namespace), &event(OURS, &about)).await;
        let part = "only Events of the reportingController lsmready.io/operator";
        for other in ["kubelet", "daemonset-controller", "lsmready.io/operator2"] {
            refused(&operator, "POST", &events(namespace), &event(other, &about), part).await;
        }
    }
    for (namespace, about) in [
        ("kube-system", regarding("v1", "Pod", Some("kube-system"))),
        ("kube-system", regarding("apps/v1", "Deployment", Some("kube-system"))),
        ("default", regarding("v1", "Namespace", None)),
        (NAMESPACE, regarding("v1", "Pod", Some(NAMESPACE))),
        (NAMESPACE, lease("another")),
    ] {
        let part = "may publish Events only about DaemonSets,";
        refused(&operator, "POST", &events(namespace), &event(OURS, &about), part).await;
    }
    // Other namespaces need a RoleBinding.
    let about = regarding("apps/v1", "DaemonSet", Some("kube-public"));
    let answer = call(&operator, "POST", &events("kube-public"), &event(OURS, &about)).await;
    assert!(answer.is_forbidden_by_rbac(), "{answer:?}");
}

#[tokio::test]
async fn the_operator_changes_only_its_own_events() {
    let operator = operator().await;
    let admin = server().await.client().await.unwrap();
    let node = regarding("v1", "Node", None);
    let series = json!({"series": {"count": 2, "lastObservedTime": "2026-01-01T00:00:01.000000Z"}});
    for (controller, allowed) in [("kubelet", false), (OURS, true)] {
        let made = done(&admin, "POST", &events("default"), &event(controller, &node)).await;
        let path = format!("{}/{}", events("default"), made["metadata"]["name"].as_str().unwrap());
        if allowed {
            done(&operator, "MERGE", &path, &series).await;
            let forever = json!({"metadata": {"finalizers": ["example.com/forever"]}});
            refused(&operator, "MERGE", &path, &forever, "neither finalizers nor owners").await;
        } else {
            let part = "only Events of the reportingController";
            refused(&operator, "MERGE", &path, &series, part).await;
            let mut taken = series.clone();
            taken["reportingController"] = json!(OURS);
            let answer = call(&operator, "MERGE", &path, &taken).await;
            assert!(!answer.is_ok(), "{answer:?}");
        }
    }
}

#[tokio::test]
async fn the_operator_evicts_only_tetragons_agents() {
    let server = server().await;
    create_node(server, "node-evictions").await;
    let operator = operator().await;
    let admin = server.client().await.unwrap();
    let account = json!({"metadata": {"name": "evicted"}});
    done(&admin, "POST", "/api/v1/namespaces/kube-system/serviceaccounts", &account).await;
    let pods = "/api/v1/namespaces/kube-system/pods";
    let eviction = |name: &str, options: Value| {
        json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name},
            "deleteOptions": options})
    };
    let part = "may evict only pods of a DaemonSet named tetragon";
    for (name, refusal) in [
        ("coredns-5d78c9869d-abcde", Some(part)),
        ("kube-proxy-abcde", Some(part)),
        ("tetragon-operator-5d78c9869d-abcde", Some(part)),
        ("tetragon-operator", Some(part)),
        ("xtetragon-abcde", Some(part)),
        ("tetragon-abcde", None),
    ] {
        let pod = json!({"metadata": {"name": name}, "spec": {"serviceAccountName": "evicted",
            "nodeName": "node-evictions", "containers": [{"name": "main", "image": "none"}]}});
        let uid = done(&admin, "POST", pods, &pod).await["metadata"]["uid"].clone();
        let path = format!("{pods}/{name}/eviction");
        let body = eviction(name, json!({"preconditions": {"uid": uid}}));
        if let Some(part) = refusal {
            refused(&operator, "POST", &path, &body, part).await;
            continue;
        }
        let part = "names the pod's uid and no gracePeriodSeconds";
        for options in [
            json!({}),
            json!({"preconditions": {}}),
            json!({"preconditions": {"uid": uid}, "gracePeriodSeconds": 0}),
        ] {
            refused(&operator, "POST", &path, &eviction(name, options), part).await;
        }
        done(&operator, "POST", &path, &body).await;
    }
}

//! Everything that each token can do, by the API server's own answer. A right that is new, or gone,
//! fails until the list here says so: whoever adds one says it here and beside the rule.

use std::collections::BTreeSet;

use e2e::api::ApiServer;
use kube::Client;
use serde_json::{Value, json};

use super::server;
use crate::server::{NAMESPACE, OPERATOR, PROBE, RBAC, done, granted, unbound};

/// The namespaces in which rights can differ. The last one stands for all others.
const NAMESPACES: [&str; 4] = ["default", "kube-system", NAMESPACE, "kube-public"];

/// Rights in the whole cluster: `group/resource: verbs`.
const OPERATOR_EVERYWHERE: &[&str] = &[
    "/namespaces lsm-ready-system: get list watch",
    "/nodes: get list patch watch",
    "/nodes/status: patch",
    "/serviceaccounts lsm-ready-operator: get list patch watch",
    "apps/daemonsets: get list patch watch",
    "cilium.io/tracingpolicies: get list watch",
    "cilium.io/tracingpoliciesnamespaced: get list watch",
    "lsmready.io/lsmhookprofiles: delete get list watch",
    "lsmready.io/lsmnodes: get list watch",
    "lsmready.io/lsmpolicies: get list watch",
    "lsmready.io/lsmpolicies/status: patch",
    "rbac.authorization.k8s.io/clusterrolebindings lsm-ready-operator lsm-ready-patching: get list \
     patch watch",
    "rbac.authorization.k8s.io/clusterroles lsm-ready-operator lsm-ready-patching: get list patch \
     watch",
];
const OPERATOR_IN_DEFAULT: &[&str] = &["events.k8s.io/events: create patch"];
const OPERATOR_IN_KUBE_SYSTEM: &[&str] = &[
    "/events: list",
    "/pods: list",
    "/pods/eviction: create",
    "events.k8s.io/events: create patch",
];
const OPERATOR_AT_HOME: &[&str] = &[
    "coordination.k8s.io/leases lsm-ready-operator: get update",
    "coordination.k8s.io/leases: create",
    "events.k8s.io/events: create patch",
];
const PROBE_EVERYWHERE: &[&str] = &[
    "/nodes: get",
    "lsmready.io/lsmhookprofiles: create get",
    "lsmready.io/lsmnodes: create get patch",
    "lsmready.io/lsmnodes/status: patch update",
];
const VIEWER: &[&str] = &[
    "lsmready.io/lsmhookprofiles: get list watch",
    "lsmready.io/lsmnodes: get list watch",
    "lsmready.io/lsmpolicies: get list watch",
];
const EDITOR: &[&str] = &[
    "lsmready.io/lsmhookprofiles: get list watch",
    "lsmready.io/lsmnodes: get list watch",
    "lsmready.io/lsmpolicies: create delete deletecollection get list patch update watch",
];

/// The rights of that client in that namespace, one line for each resource.
async fn rights(client: &Client, namespace: &str) -> BTreeSet<String> {
    let review = json!({"apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectRulesReview", "spec": {"namespace": namespace}});
    let path = "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews";
    let answer = done(client, "POST", path, &review).await;
    assert_eq!(answer["status"]["incomplete"], false, "{answer}");
    let mut verbs = std::collections::BTreeMap::<String, BTreeSet<String>>::new();
    let texts = |rule: &Value, field: &str| -> Vec<String> {
        let list = rule[field].as_array().cloned().unwrap_or_default();
        list.iter().map(|text| text.as_str().unwrap().to_owned()).collect()
    };
    for rule in answer["status"]["resourceRules"].as_array().unwrap() {
        let names = texts(rule, "resourceNames");
        let names = if names.is_empty() { String::new() } else { format!(" {}", names.join(" ")) };
        for group in texts(rule, "apiGroups") {
            for resource in texts(rule, "resources") {
                let own = verbs.entry(format!("{group}/{resource}{names}")).or_default();
                own.extend(texts(rule, "verbs"));
            }
        }
    }
    let urls = answer["status"]["nonResourceRules"].as_array().into_iter().flatten();
    let urls = urls.flat_map(|rule| texts(rule, "nonResourceURLs"));
    let lines = verbs.into_iter().map(|(resource, verbs)| {
        format!("{resource}: {}", verbs.into_iter().collect::<Vec<_>>().join(" "))
    });
    lines.chain(urls).collect()
}

/// What the client may do beyond what every account of our namespace may do.
async fn beyond(client: &Client, nobody: &Client, namespace: &str) -> Vec<String> {
    let everyones = rights(nobody, namespace).await;
    rights(client, namespace).await.difference(&everyones).cloned().collect()
}

fn sorted(parts: &[&[&str]]) -> Vec<String> {
    let all: BTreeSet<&str> = parts.iter().copied().flatten().copied().collect();
    all.into_iter().map(str::to_owned).collect()
}

/// A ServiceAccount of our namespace without any binding.
async fn nobody(server: &ApiServer) -> Client {
    static MADE: tokio::sync::OnceCell<()> = tokio::sync::OnceCell::const_new();
    MADE.get_or_init(async || {
        let admin = server.client().await.unwrap();
        let path = format!("/api/v1/namespaces/{NAMESPACE}/serviceaccounts");
        done(&admin, "POST", &path, &json!({"metadata": {"name": "nobody"}})).await;
    })
    .await;
    unbound(server, "nobody").await
}

#[tokio::test]
async fn each_right_of_the_operator_is_listed() {
    let server = server().await;
    let (operator, nobody) = (unbound(server, OPERATOR).await, nobody(server).await);
    for (namespace, more) in NAMESPACES.into_iter().zip([
        OPERATOR_IN_DEFAULT,
        OPERATOR_IN_KUBE_SYSTEM,
        OPERATOR_AT_HOME,
        &[],
    ]) {
        let found = beyond(&operator, &nobody, namespace).await;
        assert_eq!(found, sorted(&[OPERATOR_EVERYWHERE, more]), "in namespace {namespace}");
    }
}

#[tokio::test]
async fn each_right_of_the_probe_is_listed() {
    let server = server().await;
    let (probe, nobody) = (unbound(server, PROBE).await, nobody(server).await);
    for namespace in NAMESPACES {
        let found = beyond(&probe, &nobody, namespace).await;
        assert_eq!(found, sorted(&[PROBE_EVERYWHERE]), "in namespace {namespace}");
    }
}

#[tokio::test]
async fn each_right_of_the_roles_for_people_is_listed() {
    let server = server().await;
    let admin = server.client().await.unwrap();
    let nobody = server.client_for("person-without-roles", None).await.unwrap();
    for (role, expected) in [("lsm-ready-viewer", VIEWER), ("lsm-ready-policy-editor", EDITOR)] {
        let person = format!("person-with-{role}");
        let binding = json!({"metadata": {"name": person},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole",
                "name": role},
            "subjects": [
                {"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": person}]});
        done(&admin, "POST", &format!("{RBAC}/clusterrolebindings"), &binding).await;
        let right = json!({"verb": "list", "group": "lsmready.io", "resource": "lsmnodes"});
        granted(server, &person, &right).await;
        let client = server.client_for(&person, None).await.unwrap();
        for namespace in NAMESPACES {
            let found = beyond(&client, &nobody, namespace).await;
            assert_eq!(found, sorted(&[expected]), "{role} in namespace {namespace}");
        }
    }
}

/// The roles that reach to everyone with `view`: reading, and nothing else.
#[tokio::test]
async fn everyone_with_view_reads_our_kinds_and_writes_nothing() {
    let server = server().await;
    let admin = server.client().await.unwrap();
    let roles = done(&admin, "GET", &format!("{RBAC}/clusterroles"), &Value::Null).await;
    let aggregated = roles["items"].as_array().unwrap().iter().filter(|role| {
        let labels = role["metadata"]["labels"].as_object();
        let name = role["metadata"]["name"].as_str().unwrap();
        name.starts_with("lsm-ready-")
            && labels.is_some_and(|labels| labels.keys().any(|key| key.contains("aggregate-to-")))
    });
    let names: Vec<&Value> = aggregated.map(|role| &role["metadata"]["name"]).collect();
    assert_eq!(names, [&json!("lsm-ready-viewer")]);
}

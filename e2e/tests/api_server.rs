//! The API server of tests: it enforces identities, logs writes, and ends when it is dropped.

use e2e::api::ApiServer;
use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{Namespace, Node, ServiceAccount};
use kube::Api;
use kube::api::{ObjectMeta, Patch, PatchParams, PostParams};
use serde_json::json;

fn named<K: Default>(name: &str, set: impl Fn(&mut K, ObjectMeta)) -> K {
    let mut object = K::default();
    set(&mut object, ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() });
    object
}

#[tokio::test]
async fn the_api_server_enforces_identities_logs_writes_and_ends_when_dropped() {
    let dir = tempfile::tempdir().unwrap();
    let server = ApiServer::start(dir.path()).await.unwrap();
    let admin = server.client().await.unwrap();

    let namespace: Namespace = named("seen-in-audit", |o: &mut Namespace, m| o.metadata = m);
    Api::all(admin.clone()).create(&PostParams::default(), &namespace).await.unwrap();
    let audit = std::fs::read_to_string(server.audit_log()).unwrap();
    assert!(
        audit
            .lines()
            .any(|line| line.contains("seen-in-audit") && line.contains(r#""verb":"create""#))
    );
    assert!(!audit.contains(r#""verb":"list""#), "reads are not logged");

    let node: Node = named("one", |o: &mut Node, m| o.metadata = m);
    Api::all(admin.clone()).create(&PostParams::default(), &node).await.unwrap();
    let kubelet = server.client_for("system:node:one", Some("system:nodes")).await.unwrap();
    let label =
        json!({"metadata": {"labels": {"lsmready.node-restriction.kubernetes.io/bpf": "true"}}});
    let patched = Api::<Node>::all(kubelet)
        .patch("one", &PatchParams::default(), &Patch::Merge(&label))
        .await;
    let refusal = patched.unwrap_err().to_string();
    assert!(refusal.contains("node-restriction.kubernetes.io"), "{refusal}");

    let account: ServiceAccount = named("nobody", |o: &mut ServiceAccount, m| o.metadata = m);
    let accounts = Api::<ServiceAccount>::namespaced(admin, "default");
    accounts.create(&PostParams::default(), &account).await.unwrap();
    let request = TokenRequest { spec: TokenRequestSpec::default(), ..TokenRequest::default() };
    let token =
        accounts.create_token_request("nobody", &PostParams::default(), &request).await.unwrap();
    let nobody = server.client_with_token(&token.status.unwrap().token).await.unwrap();
    let refusal = Api::<Node>::all(nobody).get("one").await.unwrap_err().to_string();
    assert!(refusal.contains("system:serviceaccount:default:nobody"), "{refusal}");

    let kubeconfig = server.kubeconfig();
    drop(server);
    assert!(e2e::api::ready_client(&kubeconfig).await.is_err());
}

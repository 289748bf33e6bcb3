//! What the agent sends about its hooks, request by request, to an API server that is played from a
//! script.

use std::time::Duration;

use kube::Client;
use kube::client::Body;
use lsm_ready_crds::profile::LsmHookProfileSpec;
use lsm_ready_crds::{Evidence, LsmHookProfile, LsmNodeStatus};
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tower_test::mock;

use super::hooks::Hooks;
use super::plan::Identity;
use super::round;
use super::write::Node;
use crate::cli::{AgentArgs, LogFormat};
use crate::facts::NodeInfo;

const NODE: &str = "/apis/lsmready.io/v1alpha1/lsmnodes/n1";
const PROFILES: &str = "/apis/lsmready.io/v1alpha1/lsmhookprofiles";

/// A request that has to come next, and its answer.
type Exchange = (String, u16, Value);

/// Answers exactly these requests, in this order; ends when all of them came and the client is
/// gone.
fn plays(script: Vec<Exchange>) -> (Client, JoinHandle<Vec<Value>>) {
    let (service, mut handle) = mock::pair::<http::Request<Body>, http::Response<Body>>();
    let played = tokio::spawn(async move {
        let mut bodies = Vec::new();
        for (expected, code, answer) in script {
            let (request, respond) =
                handle.next_request().await.unwrap_or_else(|| panic!("{expected} never came"));
            let found = format!("{} {}", request.method(), request.uri().path());
            assert_eq!(found, expected, "another request than the script's");
            let body = request.into_body().collect_bytes().await.unwrap();
            bodies.push(serde_json::from_slice(&body).unwrap_or(Value::Null));
            let answer = Body::from(serde_json::to_vec(&answer).unwrap());
            respond.send_response(http::Response::builder().status(code).body(answer).unwrap());
        }
        if let Some((request, _)) = handle.next_request().await {
            panic!("not in the script: {} {}", request.method(), request.uri());
        }
        bodies
    });
    (Client::new(service, "default"), played)
}

fn refusal(code: u16) -> Value {
    json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": "", "message": "no"})
}

fn profile(hook: &str) -> LsmHookProfileSpec {
    LsmHookProfileSpec {
        kernel: "6.12 x86_64".into(),
        hooks: [hook.to_owned()].into(),
        ..Default::default()
    }
}

/// A profile under that name, whatever its content.
fn named(name: &str, content: LsmHookProfileSpec) -> Value {
    serde_json::to_value(LsmHookProfile::new(name, content)).unwrap()
}

fn found() -> LsmNodeStatus {
    LsmNodeStatus { boot_id: "b00t".into(), evidence: Evidence::Denied, ..LsmNodeStatus::default() }
}

/// Our LsmNode as an agent wrote it just now in that boot, with that profile.
fn node(boot_id: &str, profile: Option<&str>) -> Value {
    let now = jiff::Timestamp::now().to_string();
    let status = LsmNodeStatus {
        boot_id: boot_id.into(),
        hook_profile: profile.map(str::to_owned),
        ..found()
    };
    let mut status = serde_json::to_value(status).unwrap();
    status["observedTime"] = json!(now);
    json!({"apiVersion": "lsmready.io/v1alpha1", "kind": "LsmNode", "metadata": {"name": "n1",
        "ownerReferences": [{"apiVersion": "v1", "kind": "Node", "name": "n1", "uid": "u"}]}, "status": status})
}

/// One round against the script; the profile that the LsmNode was made to name, if it was written.
async fn one_round(hooks: &mut Hooks, script: Vec<Exchange>) -> Option<Value> {
    let args = AgentArgs {
        node_name: "n1".into(),
        check_interval: Duration::from_mins(5),
        renew_interval: Duration::from_mins(30),
        deadline: Duration::from_secs(30),
        log_format: LogFormat::Text,
    };
    let identity = Identity { name: "n1".into(), uid: "u".into() };
    let writes = script.last().is_some_and(|(request, ..)| request.starts_with("PATCH"));
    let (client, played) = plays(script);
    round(&client, &args, &Node { identity, info: NodeInfo::default() }, &found(), hooks)
        .await
        .unwrap();
    drop(client);
    let bodies = played.await.unwrap();
    writes.then(|| bodies.last().unwrap()["status"]["hookProfile"].clone())
}

fn made(hook: &str) -> (Hooks, String) {
    let mut hooks = Hooks::default();
    hooks.learn(Ok(profile(hook)));
    (hooks, profile(hook).digest())
}

fn get(path: &str, answer: Value) -> Exchange {
    (format!("GET {path}"), 200, answer)
}

fn missing(path: &str) -> Exchange {
    (format!("GET {path}"), 404, refusal(404))
}

fn patched() -> Exchange {
    (format!("PATCH {NODE}/status"), 200, node("b00t", None))
}

#[tokio::test]
async fn a_new_profile_is_created_and_named() {
    let (mut hooks, digest) = made("a");
    let created = (format!("POST {PROFILES}"), 201, named(&digest, profile("a")));
    let script = vec![
        get(NODE, node("b00t", None)),
        missing(&format!("{PROFILES}/{digest}")),
        created,
        patched(),
    ];
    assert_eq!(one_round(&mut hooks, script).await, Some(json!(digest)));
}

#[tokio::test]
async fn a_profile_that_another_node_has_published_is_named() {
    let (mut hooks, digest) = made("a");
    let path = format!("{PROFILES}/{digest}");
    let there = get(&path, named(&digest, profile("a")));
    let script = vec![get(NODE, node("b00t", None)), there.clone(), patched()];
    assert_eq!(one_round(&mut hooks, script).await, Some(json!(digest)));
    // The same where it does so in between.
    let conflict = (format!("POST {PROFILES}"), 409, refusal(409));
    let script = vec![get(NODE, node("b00t", None)), missing(&path), conflict, there, patched()];
    assert_eq!(one_round(&mut hooks, script).await, Some(json!(digest)));
}

#[tokio::test]
async fn a_false_profile_is_not_named() {
    let (mut hooks, digest) = made("a");
    let lie = get(&format!("{PROFILES}/{digest}"), named(&digest, profile("b")));
    assert_eq!(one_round(&mut hooks, vec![get(NODE, node("b00t", None)), lie]).await, None);
}

#[tokio::test]
async fn a_cluster_that_refuses_profiles_still_gets_the_evidence() {
    let (mut hooks, digest) = made("a");
    let path = format!("{PROFILES}/{digest}");
    let forbidden = (format!("GET {path}"), 403, refusal(403));
    let refused = (format!("POST {PROFILES}"), 403, refusal(403));
    let script =
        vec![get(NODE, node("earlier", None)), forbidden.clone(), refused, forbidden, patched()];
    assert_eq!(one_round(&mut hooks, script).await, Some(Value::Null));
}

#[tokio::test]
async fn an_agent_that_starts_anew_keeps_the_profile_of_this_boot() {
    let digest = profile("a").digest();
    let mut hooks = Hooks::default();
    let there = get(&format!("{PROFILES}/{digest}"), named(&digest, profile("a")));
    assert_eq!(
        one_round(&mut hooks, vec![get(NODE, node("b00t", Some(&digest))), there]).await,
        None
    );
    assert!(!hooks.is_due(Evidence::Denied));
    // At rest nothing is asked about it any more.
    assert_eq!(one_round(&mut hooks, vec![get(NODE, node("b00t", Some(&digest)))]).await, None);
}

#[tokio::test]
async fn a_profile_that_is_gone_or_of_another_boot_is_not_kept() {
    let digest = profile("a").digest();
    let mut hooks = Hooks::default();
    let gone = missing(&format!("{PROFILES}/{digest}"));
    let script = vec![get(NODE, node("b00t", Some(&digest))), gone, patched()];
    assert_eq!(one_round(&mut hooks, script).await, Some(Value::Null));
    let script = vec![get(NODE, node("earlier", Some(&digest))), patched()];
    assert_eq!(one_round(&mut hooks, script).await, Some(Value::Null));
    assert!(hooks.is_due(Evidence::Denied));
}

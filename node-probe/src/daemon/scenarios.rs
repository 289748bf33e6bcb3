//! What the daemon sends about hook profiles, request by request, to a fake API server with a
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
use super::round::Round;
use super::write::Node;
use crate::cli::{AgentArgs, LogFormat};
use crate::facts::NodeInfo;

const NODE: &str = "/apis/lsmready.io/v1alpha1/lsmnodes/n1";
const PROFILES: &str = "/apis/lsmready.io/v1alpha1/lsmhookprofiles";

/// The next request expected, the status code, and the body of the answer.
type Exchange = (String, u16, Value);

/// A fake API server that answers exactly these requests, in this order. It ends when the client is
/// dropped, and returns the bodies of the requests.
fn fake_api_server(script: Vec<Exchange>) -> (Client, JoinHandle<Vec<Value>>) {
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

/// A profile under that name, which may not match its content.
fn named(name: &str, content: LsmHookProfileSpec) -> Value {
    serde_json::to_value(LsmHookProfile::new(name, content)).unwrap()
}

fn found() -> LsmNodeStatus {
    LsmNodeStatus { boot_id: "b00t".into(), evidence: Evidence::Denied, ..LsmNodeStatus::default() }
}

/// The LsmNode as a daemon of that boot has just written it, with that profile.
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

/// Makes one write against the script. Returns the profile that the written LsmNode names, if it
/// was written.
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
    let (client, played) = fake_api_server(script);
    let (node, found) = (Node { identity, info: NodeInfo::default() }, found());
    let round = Round { client: &client, args: &args, node: &node, found: &found };
    round.write(hooks).await.unwrap();
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
async fn a_profile_published_by_another_node_is_named() {
    let (mut hooks, digest) = made("a");
    let path = format!("{PROFILES}/{digest}");
    let there = get(&path, named(&digest, profile("a")));
    let script = vec![get(NODE, node("b00t", None)), there.clone(), patched()];
    assert_eq!(one_round(&mut hooks, script).await, Some(json!(digest)));
    // The other node publishes it between our two requests.
    let conflict = (format!("POST {PROFILES}"), 409, refusal(409));
    let script = vec![get(NODE, node("b00t", None)), missing(&path), conflict, there, patched()];
    assert_eq!(one_round(&mut hooks, script).await, Some(json!(digest)));
}

#[tokio::test]
async fn a_profile_with_the_wrong_content_is_not_named() {
    let (mut hooks, digest) = made("a");
    let lie = get(&format!("{PROFILES}/{digest}"), named(&digest, profile("b")));
    assert_eq!(one_round(&mut hooks, vec![get(NODE, node("b00t", None)), lie]).await, None);
}

#[tokio::test]
async fn a_cluster_that_refuses_profiles_gets_the_evidence() {
    let (mut hooks, digest) = made("a");
    let path = format!("{PROFILES}/{digest}");
    let forbidden = (format!("GET {path}"), 403, refusal(403));
    let refused = (format!("POST {PROFILES}"), 403, refusal(403));
    let script =
        vec![get(NODE, node("earlier", None)), forbidden.clone(), refused, forbidden, patched()];
    assert_eq!(one_round(&mut hooks, script).await, Some(Value::Null));
}

#[tokio::test]
async fn a_restarted_daemon_keeps_the_profile_of_this_boot() {
    let digest = profile("a").digest();
    let mut hooks = Hooks::default();
    let there = get(&format!("{PROFILES}/{digest}"), named(&digest, profile("a")));
    assert_eq!(
        one_round(&mut hooks, vec![get(NODE, node("b00t", Some(&digest))), there]).await,
        None
    );
    assert!(!hooks.is_due(Evidence::Denied));
    // Once adopted, the profile is not looked up again.
    assert_eq!(one_round(&mut hooks, vec![get(NODE, node("b00t", Some(&digest)))]).await, None);
}

#[tokio::test]
async fn a_deleted_profile_and_one_of_another_boot_are_not_kept() {
    let digest = profile("a").digest();
    let mut hooks = Hooks::default();
    let gone = missing(&format!("{PROFILES}/{digest}"));
    let script = vec![get(NODE, node("b00t", Some(&digest))), gone, patched()];
    assert_eq!(one_round(&mut hooks, script).await, Some(Value::Null));
    let script = vec![get(NODE, node("earlier", Some(&digest))), patched()];
    assert_eq!(one_round(&mut hooks, script).await, Some(Value::Null));
    assert!(hooks.is_due(Evidence::Denied));
}

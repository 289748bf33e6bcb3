//! What the daemon sends about hook profiles, request by request, to a fake API server with a
//! script.

use std::time::Duration;

use kube::Client;
use kube::client::Body;
use lsm_ready_crds::node::Kernel;
use lsm_ready_crds::profile::LsmHookProfileSpec;
use lsm_ready_crds::{Evidence, LsmHookProfile, LsmNodeStatus};
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tower_test::mock;

use super::plan::Identity;
use super::round::{Memory, Round};
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
    json!({
        "kind": "Status",
        "apiVersion": "v1",
        "status": "Failure",
        "code": code,
        "reason": "",
        "message": "no",
    })
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
    let mut profile = LsmHookProfile::new(name, content);
    profile.metadata.uid = Some("p1".to_owned());
    serde_json::to_value(profile).unwrap()
}

fn found() -> LsmNodeStatus {
    LsmNodeStatus {
        boot_id: "b00t".into(),
        evidence: Evidence::Denied,
        kernel: Kernel { release: "6.12".into(), machine: "x86_64".into() },
        ..LsmNodeStatus::default()
    }
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
    let owner = json!({"apiVersion": "v1", "kind": "Node", "name": "n1", "uid": "u"});
    json!({
        "apiVersion": "lsmready.io/v1alpha1",
        "kind": "LsmNode",
        "metadata": {
            "name": "n1", "uid": "n", "resourceVersion": "7", "ownerReferences": [owner],
        },
        "status": status,
    })
}

/// Makes one write against the script. Returns the bodies of the requests.
async fn round(memory: &mut Memory, script: Vec<Exchange>) -> Vec<Value> {
    let args = AgentArgs {
        node_name: "n1".into(),
        check_interval: Duration::from_mins(5),
        renew_interval: Duration::from_mins(30),
        look_interval: Duration::from_secs(9),
        deadline: Duration::from_secs(30),
        log_format: LogFormat::Text,
    };
    let identity = Identity { name: "n1".into(), uid: "u".into() };
    let (client, played) = fake_api_server(script);
    let (node, found) = (Node { identity, info: NodeInfo::default() }, found());
    let round = Round { client: &client, args: &args, node: &node, found: &found };
    round.write(memory).await.unwrap();
    drop(client);
    played.await.unwrap()
}

/// The same. Returns the profile that the written LsmNode names, if it was written.
async fn one_round(memory: &mut Memory, script: Vec<Exchange>) -> Option<Value> {
    let writes = script.last().is_some_and(|(request, ..)| request.starts_with("PUT"));
    let bodies = round(memory, script).await;
    writes.then(|| bodies.last().unwrap()["status"]["hookProfile"].clone())
}

fn made(hook: &str) -> (Memory, String) {
    let mut memory = Memory::default();
    memory.hooks.learn(Ok(profile(hook)));
    (memory, profile(hook).digest())
}

fn get(path: &str, answer: Value) -> Exchange {
    (format!("GET {path}"), 200, answer)
}

fn missing(path: &str) -> Exchange {
    (format!("GET {path}"), 404, refusal(404))
}

/// The status is written, and the object has that profile then.
fn replaced(profile: Option<&str>) -> Exchange {
    (format!("PUT {NODE}/status"), 200, node("b00t", profile))
}

#[tokio::test]
async fn a_new_profile_is_created_with_the_nodes_label_and_named() {
    let (mut memory, digest) = made("a");
    let created = (format!("POST {PROFILES}"), 201, named(&digest, profile("a")));
    let script = vec![
        get(NODE, node("b00t", None)),
        missing(&format!("{PROFILES}/{digest}")),
        created,
        replaced(Some(&digest)),
    ];
    let bodies = round(&mut memory, script).await;
    let metadata = json!({"name": digest, "labels": {"lsmready.io/node": "n1"}});
    assert_eq!(bodies[2]["metadata"], metadata, "nothing that admission refuses");
    assert_eq!(bodies[3]["status"]["hookProfile"], json!(digest));
    assert_eq!(bodies[3]["metadata"], json!({"name": "n1", "uid": "n", "resourceVersion": "7"}));
}

#[tokio::test]
async fn a_profile_published_by_another_node_is_named() {
    let (mut memory, digest) = made("a");
    let path = format!("{PROFILES}/{digest}");
    let there = get(&path, named(&digest, profile("a")));
    let written = replaced(Some(&digest));
    let script = vec![get(NODE, node("b00t", None)), there.clone(), written.clone()];
    assert_eq!(one_round(&mut memory, script).await, Some(json!(digest)));
    // The other node publishes it between our two requests.
    let (mut memory, _) = made("a");
    let conflict = (format!("POST {PROFILES}"), 409, refusal(409));
    let script = vec![get(NODE, node("b00t", None)), missing(&path), conflict, there, written];
    assert_eq!(one_round(&mut memory, script).await, Some(json!(digest)));
}

#[tokio::test]
async fn a_profile_with_the_wrong_content_is_not_named_and_is_replaced_once_it_is_deleted() {
    let (mut memory, digest) = made("a");
    let path = format!("{PROFILES}/{digest}");
    let lie = get(&path, named(&digest, profile("b")));
    assert_eq!(one_round(&mut memory, vec![get(NODE, node("b00t", None)), lie]).await, None);
    assert!(!memory.hooks.differs(Some("p1")), "the false profile is still there");
    assert!(memory.hooks.differs(None), "the false profile is deleted");
    memory.hooks.look_again();
    let created = (format!("POST {PROFILES}"), 201, named(&digest, profile("a")));
    let report = get(NODE, node("b00t", None));
    let script = vec![report, missing(&path), created, replaced(Some(&digest))];
    assert_eq!(one_round(&mut memory, script).await, Some(json!(digest)));
}

#[tokio::test]
async fn a_deleted_profile_is_published_again_without_a_trial_and_without_a_new_report() {
    let (mut memory, digest) = made("a");
    let path = format!("{PROFILES}/{digest}");
    let report = get(NODE, node("b00t", Some(&digest)));
    let there = get(&path, named(&digest, profile("a")));
    assert_eq!(one_round(&mut memory, vec![report.clone(), there]).await, None);
    // The cluster has it: no request about it.
    assert_eq!(one_round(&mut memory, vec![report.clone()]).await, None);
    memory.hooks.look_again();
    let created = (format!("POST {PROFILES}"), 201, named(&digest, profile("a")));
    assert_eq!(one_round(&mut memory, vec![report, missing(&path), created]).await, None);
    assert!(!memory.hooks.is_due(Evidence::Denied));
}

#[tokio::test]
async fn a_cluster_that_refuses_profiles_gets_the_evidence() {
    let (mut memory, digest) = made("a");
    let path = format!("{PROFILES}/{digest}");
    let forbidden = (format!("GET {path}"), 403, refusal(403));
    let refused = (format!("POST {PROFILES}"), 403, refusal(403));
    let script = vec![get(NODE, node("earlier", None)), forbidden, refused, replaced(None)];
    assert_eq!(one_round(&mut memory, script).await, Some(Value::Null));
    assert_eq!(memory.hooks.watched(), None, "looks do not try what was refused");
}

#[tokio::test]
async fn a_restarted_daemon_keeps_the_profile_of_this_boot() {
    let digest = profile("a").digest();
    let mut memory = Memory::default();
    let there = get(&format!("{PROFILES}/{digest}"), named(&digest, profile("a")));
    let report = get(NODE, node("b00t", Some(&digest)));
    assert_eq!(one_round(&mut memory, vec![report.clone(), there]).await, None);
    assert!(!memory.hooks.is_due(Evidence::Denied));
    // Once adopted, the profile is not looked up again.
    assert_eq!(one_round(&mut memory, vec![report]).await, None);
}

#[tokio::test]
async fn a_deleted_profile_and_one_of_another_boot_are_not_adopted() {
    let digest = profile("a").digest();
    let mut memory = Memory::default();
    let gone = missing(&format!("{PROFILES}/{digest}"));
    let script = vec![get(NODE, node("b00t", Some(&digest))), gone, replaced(None)];
    assert_eq!(one_round(&mut memory, script).await, Some(Value::Null));
    let script = vec![get(NODE, node("earlier", Some(&digest))), replaced(None)];
    assert_eq!(one_round(&mut memory, script).await, Some(Value::Null));
    assert!(memory.hooks.is_due(Evidence::Denied));
}

#[tokio::test]
async fn a_deleted_report_is_created_again() {
    let mut memory = Memory::default();
    let created = ("POST /apis/lsmready.io/v1alpha1/lsmnodes".to_owned(), 201, node("b00t", None));
    let script = vec![missing(NODE), created, replaced(None)];
    let bodies = round(&mut memory, script).await;
    assert_eq!(bodies[1]["metadata"]["ownerReferences"][0]["uid"], "u");
    assert_eq!(bodies[2]["status"]["evidence"], "Denied");
    let left = memory.left.unwrap();
    assert!(left.differs(None), "deleted again");
}

//! Exactly which requests the election sends, over an API server that follows a script.

use http::{Request, Response};
use jiff::Timestamp;
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};
use tokio::time::Instant;
use tower_test::mock;

use super::super::notes::{Notes, Says};
use super::super::{Election, Identity, LEASE, Lost, RENEW_DEADLINE, Setup};
use crate::run::connection::Held;
use crate::run::readiness::Readiness;

const LEASES: &str = "/apis/coordination.k8s.io/v1/namespaces/ns/leases";

type Server = mock::Handle<Request<Body>, Response<Body>>;

struct Scenario {
    election: Election,
    held: Held,
    readiness: Readiness,
    notes: Notes,
    server: Server,
}

fn scenario() -> Scenario {
    let (service, server) = mock::pair();
    let (held, readiness, notes) = (Held::default(), Readiness::default(), Notes::default());
    let election = Election::new(Setup {
        client: Client::new(service, "ns"),
        me: Identity { namespace: "ns".into(), pod: "b".into(), uid: "2".into() },
        held: held.clone(),
        readiness: readiness.clone(),
        notes: notes.clone(),
        now: || Timestamp::from_second(1_767_225_600).unwrap(),
    });
    Scenario { election, held, readiness, notes, server }
}

fn lease(version: &str, holder: &Value) -> Value {
    json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
        "metadata": {"name": LEASE, "resourceVersion": version},
        "spec": {"holderIdentity": holder}})
}

/// Answers the next request, which must be this one. Returns its body.
async fn answer(server: &mut Server, request: &str, code: u16, answer: Value) -> Value {
    let (found, respond) = server.next_request().await.unwrap();
    let path = found.uri().path().replace(LEASES, "");
    assert_eq!(format!("{} {path}", found.method()), request);
    let body = found.into_body().collect_bytes().await.unwrap();
    let reason = match code {
        403 => "Forbidden",
        404 => "NotFound",
        _ => "Conflict",
    };
    let status = json!({"kind": "Status", "code": code, "reason": reason, "message": answer});
    let answer = if code < 300 { answer } else { status };
    let answer = Body::from(serde_json::to_vec(&answer).unwrap());
    respond.send_response(Response::builder().status(code).body(answer).unwrap());
    serde_json::from_slice(&body).unwrap_or(Value::Null)
}

#[tokio::test(start_paused = true)]
async fn a_replica_takes_a_lease_that_nobody_made_and_renews_it_by_one_write() {
    let mut s = scenario();
    let read = format!("GET /{LEASE}");
    let write = format!("PUT /{LEASE}");
    let play = async |server: &mut Server| {
        answer(server, &read, 404, Value::Null).await;
        let created = answer(server, "POST ", 201, lease("1", &json!("b_2"))).await;
        assert_eq!(created["spec"]["holderIdentity"], "b_2");
    };
    tokio::join!(s.election.win(), play(&mut s.server));
    assert!(s.held.until(Instant::now()).is_some());
    assert!(s.readiness.pending().is_empty());
    let since = Instant::now();
    let play = async {
        let renewed = answer(&mut s.server, &write, 200, lease("2", &json!("b_2"))).await;
        assert_eq!(renewed["metadata"]["resourceVersion"], "1");
        assert_eq!(since.elapsed().as_secs(), 2);
        // Somebody set a label: the Lease is still ours.
        answer(&mut s.server, &write, 409, Value::Null).await;
        answer(&mut s.server, &read, 200, lease("3", &json!("b_2"))).await;
        let renewed = answer(&mut s.server, &write, 200, lease("4", &json!("b_2"))).await;
        assert_eq!(renewed["metadata"]["resourceVersion"], "3");
        answer(&mut s.server, &write, 409, Value::Null).await;
        answer(&mut s.server, &read, 200, lease("5", &json!("a_1"))).await;
    };
    let (lost, ()) = tokio::join!(s.election.keep(), play);
    assert!(matches!(lost, Lost::Taken(holder) if holder == "a_1"));
    assert!(s.held.until(Instant::now()).is_none());
}

#[tokio::test(start_paused = true)]
async fn a_leader_whose_renewals_fail_stops_after_ten_seconds_and_says_why() {
    let mut s = scenario();
    let play = async |server: &mut Server| {
        answer(server, &format!("GET /{LEASE}"), 200, lease("1", &Value::Null)).await;
        answer(server, &format!("PUT /{LEASE}"), 200, lease("2", &json!("b_2"))).await;
    };
    tokio::join!(s.election.win(), play(&mut s.server));
    let since = Instant::now();
    let refuse = async {
        loop {
            answer(&mut s.server, &format!("PUT /{LEASE}"), 403, json!("no right")).await;
        }
    };
    let lost = tokio::select! {
        biased;
        lost = s.election.keep() => lost,
        () = refuse => unreachable!(),
    };
    assert_eq!(since.elapsed(), RENEW_DEADLINE);
    assert!(lost.to_string().contains("could not be renewed for 10s"), "{lost}");
    assert!(lost.to_string().contains("no right"), "{lost}");
    assert!(s.held.until(Instant::now()).is_none());
}

/// No request is for the breaker alone. A person's annotation makes the resourceVersion old, as any
/// write by somebody else does.
#[tokio::test(start_paused = true)]
async fn a_renewal_says_that_the_breaker_is_open_and_sees_a_persons_release() {
    let mut s = scenario();
    let (read, write) = (format!("GET /{LEASE}"), format!("PUT /{LEASE}"));
    let play = async |server: &mut Server| {
        answer(server, &read, 200, lease("1", &Value::Null)).await;
        answer(server, &write, 200, lease("2", &json!("b_2"))).await;
    };
    tokio::join!(s.election.win(), play(&mut s.server));
    s.notes.say(Says::Open { since: None, message: "7 nodes".into() });
    let play = async {
        let mut released = lease("3", &json!("b_2"));
        released["metadata"]["annotations"] = json!({"lsmready.io/breaker": "release"});
        answer(&mut s.server, &write, 409, Value::Null).await;
        answer(&mut s.server, &read, 200, released.clone()).await;
        let renewed = answer(&mut s.server, &write, 200, released).await;
        assert!(s.notes.is_released());
        let expected = json!({"lsmready.io/breaker": "release",
            "lsmready.io/breaker-open": "7 nodes"});
        assert_eq!(renewed["metadata"]["annotations"], expected, "the person's stays");
        s.notes.say(Says::Closed);
        let renewed = answer(&mut s.server, &write, 200, lease("4", &json!("b_2"))).await;
        assert_eq!(renewed["metadata"]["annotations"], json!({"lsmready.io/breaker": "release"}));
        answer(&mut s.server, &write, 409, Value::Null).await;
        assert!(!s.notes.is_released(), "the last Lease had no annotation");
        answer(&mut s.server, &read, 200, lease("5", &json!("a_1"))).await;
    };
    let (lost, ()) = tokio::join!(s.election.keep(), play);
    assert!(matches!(lost, Lost::Taken(holder) if holder == "a_1"));
}

#[tokio::test(start_paused = true)]
async fn a_release_is_one_write_without_a_holder_and_never_takes_the_lease_from_another() {
    let mut s = scenario();
    let play = async |server: &mut Server| {
        answer(server, &format!("GET /{LEASE}"), 200, lease("1", &json!("b_2"))).await;
        answer(server, &format!("PUT /{LEASE}"), 200, lease("2", &json!("b_2"))).await;
    };
    tokio::join!(s.election.win(), play(&mut s.server));
    let play = async {
        let released = answer(&mut s.server, &format!("PUT /{LEASE}"), 409, Value::Null).await;
        assert_eq!(released["spec"]["holderIdentity"], Value::Null);
        assert_eq!(released["metadata"]["resourceVersion"], "2");
        answer(&mut s.server, &format!("GET /{LEASE}"), 200, lease("3", &json!("a_1"))).await;
    };
    let (released, ()) = tokio::join!(s.election.release(), play);
    released.unwrap();
    assert!(s.held.until(Instant::now()).is_none());
}

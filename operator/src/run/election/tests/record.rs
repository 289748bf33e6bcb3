//! Who may take which Lease when, and what is written then.

use std::time::Duration;

use jiff::Timestamp;
use kube::api::DynamicObject;
use serde_json::{Value, json};
use tokio::time::{Instant, advance};

use super::super::record::{Decision, Record};
use super::super::{Identity, LEASE, LEASE_DURATION};

const ME: &str = "b_2";

fn lease(spec: &Value) -> DynamicObject {
    let metadata = json!({"name": LEASE, "resourceVersion": "7", "labels": {"kept": "yes"}});
    serde_json::from_value(json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
        "metadata": metadata, "spec": spec}))
    .unwrap()
}

fn seen(spec: &Value) -> Record {
    let mut record = Record::new(ME.to_owned());
    record.saw(Some(lease(spec)), Instant::now());
    record
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

#[test]
fn the_holder_is_the_pod() {
    let me = Identity { namespace: "ns".into(), pod: "b".into(), uid: "2".into() };
    assert_eq!(me.holder(), ME);
}

#[tokio::test(start_paused = true)]
async fn a_free_lease_and_our_own_are_taken_at_once() {
    for spec in [
        json!({}),
        json!({"holderIdentity": ""}),
        json!({"holderIdentity": null, "renewTime": "2026-01-01T00:00:00.000000Z"}),
        json!({"holderIdentity": ME}),
        Value::Null,
    ] {
        assert_eq!(seen(&spec).decide(Instant::now()), Decision::Take, "{spec}");
    }
    let mut record = Record::new(ME.to_owned());
    record.saw(None, Instant::now());
    assert_eq!(record.decide(Instant::now()), Decision::Take);
}

/// What the holder writes about times does not count.
#[tokio::test(start_paused = true)]
async fn a_held_lease_is_taken_when_it_has_not_changed_for_fifteen_seconds() {
    for spec in [
        json!({"holderIdentity": "a_1"}),
        json!({"holderIdentity": "no operator at all"}),
        json!({"holderIdentity": "a_1", "renewTime": "1970-01-01T00:00:00.000000Z",
            "leaseDurationSeconds": 1}),
        json!({"holderIdentity": "a_1", "renewTime": "9999-12-31T23:59:59.000000Z",
            "leaseDurationSeconds": i32::MAX}),
        json!({"holderIdentity": "a_1", "renewTime": "not a time", "leaseTransitions": -3,
            "leaseDurationSeconds": "long", "preferredHolder": "a_1", "strategy": "odd"}),
    ] {
        let mut record = seen(&spec);
        let until = Instant::now() + LEASE_DURATION;
        let holder = spec["holderIdentity"].as_str().unwrap().to_owned();
        assert_eq!(record.decide(Instant::now()), Decision::Wait { holder, until }, "{spec}");
        advance(LEASE_DURATION.saturating_sub(Duration::from_millis(1))).await;
        // The same content, also with another resourceVersion or another label, is no renewal.
        let mut touched = lease(&spec);
        touched.metadata.resource_version = Some("8".to_owned());
        touched.metadata.labels = None;
        record.saw(Some(touched), Instant::now());
        assert_ne!(record.decide(Instant::now()), Decision::Take, "{spec}");
        advance(Duration::from_millis(1)).await;
        assert_eq!(record.decide(Instant::now()), Decision::Take, "{spec}");
    }
}

#[tokio::test(start_paused = true)]
async fn each_renewal_counts_from_when_it_is_seen() {
    let mut record = seen(&json!({"holderIdentity": "a_1", "renewTime": "2026-01-01T00:00:00Z"}));
    advance(LEASE_DURATION).await;
    let renewed = json!({"holderIdentity": "a_1", "renewTime": "1990-01-01T00:00:00Z"});
    record.saw(Some(lease(&renewed)), Instant::now());
    let until = Instant::now() + LEASE_DURATION;
    assert_eq!(record.decide(Instant::now()), Decision::Wait { holder: "a_1".to_owned(), until });
}

/// Its leader works until its next renewal fails.
#[tokio::test(start_paused = true)]
async fn a_lease_that_is_gone_counts_as_held_for_fifteen_seconds() {
    let mut record = seen(&json!({"holderIdentity": "a_1"}));
    advance(LEASE_DURATION).await;
    record.saw(None, Instant::now());
    assert_ne!(record.decide(Instant::now()), Decision::Take);
    assert_eq!(record.rival(), None, "the leader itself may create it again");
    advance(LEASE_DURATION).await;
    assert_eq!(record.decide(Instant::now()), Decision::Take);
}

#[tokio::test(start_paused = true)]
async fn a_takeover_counts_a_transition_and_keeps_the_metadata() {
    let record = seen(&json!({"holderIdentity": "a_1", "leaseTransitions": 4,
        "renewTime": "9999-12-31T23:59:59.999999Z"}));
    let written = serde_json::to_value(record.mine(at(100))).unwrap();
    assert_eq!(written["metadata"]["resourceVersion"], "7");
    assert_eq!(written["metadata"]["labels"], json!({"kept": "yes"}));
    assert_eq!(
        written["spec"],
        json!({"holderIdentity": ME, "leaseTransitions": 5, "leaseDurationSeconds": 15,
            "acquireTime": "1970-01-01T00:01:40.000000Z",
            "renewTime": "1970-01-01T00:01:40.000000Z"})
    );
}

#[tokio::test(start_paused = true)]
async fn a_renewal_always_differs_from_the_one_before() {
    let mut record = seen(&json!({"holderIdentity": ME, "leaseTransitions": 4,
        "acquireTime": "1970-01-01T00:00:07.000000Z", "renewTime": "1970-01-01T00:01:40.000000Z"}));
    // The clock goes on, stands still, and goes back.
    for (now, renewed) in [(102, "42.000000"), (102, "42.000001"), (7, "42.000002")] {
        let lease = record.mine(at(now));
        let spec = &lease.data["spec"];
        assert_eq!(spec["renewTime"], format!("1970-01-01T00:01:{renewed}Z"));
        assert_eq!(spec["acquireTime"], "1970-01-01T00:00:07.000000Z");
        assert_eq!(spec["leaseTransitions"], 4);
        record.saw(Some(lease), Instant::now());
    }
}

#[tokio::test(start_paused = true)]
async fn a_release_leaves_no_holder() {
    let released = seen(&json!({"holderIdentity": ME, "leaseTransitions": 4})).released();
    assert_eq!(released.data, json!({"spec": {"leaseTransitions": 4}}));
    assert_eq!(released.metadata.resource_version.as_deref(), Some("7"));
}

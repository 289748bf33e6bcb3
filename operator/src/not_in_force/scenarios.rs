//! Scenarios: the requests that report policies that are not in force, one by one.

use kube_runtime::watcher::Event;
use lsm_ready_crds::LsmPolicy;
use lsm_ready_crds::names::MAX_POLICIES;
use serde_json::{Value, json};

use super::{Reported, round};
use crate::context::fixture::{Exchange, Fixture, policy};
use crate::watch::guard::Guard;
use crate::watch::policy_bound::PolicyBound;
use crate::watch::unparsable::Parse;

const PATH: &str = "/apis/lsmready.io/v1alpha1/lsmpolicies";

/// The policy as the API server has it, with a spec that cannot be parsed.
fn bad(status: &Value) -> Value {
    let mut object = policy("p", &json!({"require": 7}));
    object["metadata"]["resourceVersion"] = json!("9");
    object["status"] = status.clone();
    object
}

/// The watch has seen these versions of policies.
fn seen(versions: &[Value]) -> Fixture {
    let mut fixture = Fixture::new();
    let stores = fixture.ctx.stores.clone();
    let (unparsable, metrics) = (stores.unparsable_policies, fixture.ctx.metrics.clone());
    let mut parse = Parse::new(unparsable, stores.policies, metrics, Box::new(|| {}));
    for version in versions {
        let guard: Guard<LsmPolicy> = serde_json::from_value(version.clone()).unwrap();
        if let Some(Event::Apply(_)) = parse.pass(Event::Apply(guard)) {
            fixture = fixture.with::<LsmPolicy>(version.clone());
        }
    }
    fixture
}

fn get(answer: Value) -> Exchange {
    Exchange::new(&format!("GET {PATH}/p"), Value::Null, answer)
}

fn wanted(message: &str, status: &str, reason: &str) -> Value {
    let condition = |type_: &str, status: &str| {
        json!({"type": type_, "status": status, "reason": reason, "message": message,
            "observedGeneration": 1, "lastTransitionTime": "2026-01-01T00:10:00Z"})
    };
    json!({"observedGeneration": 1,
        "conditions": [condition("Ready", status), condition("Stalled", "True")]})
}

fn patch(status: &Value, answer: Value) -> Exchange {
    let request = format!("PATCH {PATH}/p/status?&force=true&fieldManager=lsm-ready");
    let body = json!({"apiVersion": "lsmready.io/v1alpha1", "kind": "LsmPolicy",
        "metadata": {"name": "p", "uid": "uid-p", "resourceVersion": "9"}, "status": status});
    Exchange::new(&request, body, answer)
}

const ERROR: &str = "invalid type: integer `7`, expected struct Require";

#[tokio::test(start_paused = true)]
async fn an_unparsable_policy_that_is_held_says_so() {
    let message = format!(
        "this version of the operator cannot read the policy, so the version before it stays in \
         force. Correct the policy, or install the operator and the CRDs of one release: {ERROR}"
    );
    let status = wanted(&message, "Unknown", "Unparsable");
    let fixture = seen(&[policy("p", &json!({})), bad(&json!({}))]);
    let (ctx, played) = fixture.plays(vec![get(bad(&json!({}))), patch(&status, bad(&status))]);
    let mut reported = Reported::new();
    assert!(round(&ctx, &mut reported).await);
    assert!(round(&ctx, &mut reported).await, "the second round sends nothing");
    drop(ctx);
    played.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn after_a_restart_a_status_that_is_right_is_not_written_again() {
    let fixture = seen(&[bad(&json!({}))]);
    let stores = fixture.ctx.stores.clone();
    assert_eq!(stores.unread_policies(), ["p"]);
    let message = format!(
        "this version of the operator cannot read the policy, so nothing is known of what it asks \
         for, so no label, taint or mount is removed that it may have asked for. Correct the \
         policy, or install the operator and the CRDs of one release: {ERROR}"
    );
    let status = wanted(&message, "Unknown", "Unparsable");
    let (ctx, played) = fixture.plays(vec![get(bad(&status))]);
    assert!(round(&ctx, &mut Reported::new()).await);
    drop(ctx);
    played.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_newer_generation_is_left_alone() {
    let mut newer = bad(&json!({}));
    newer["metadata"]["generation"] = json!(2);
    let (ctx, played) = seen(&[bad(&json!({}))]).plays(vec![get(newer)]);
    assert!(round(&ctx, &mut Reported::new()).await);
    drop(ctx);
    played.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_refused_write_is_tried_again() {
    let fixture = seen(&[bad(&json!({}))]);
    let refused = Exchange::refused(&format!("GET {PATH}/p"), Value::Null, 403, "Forbidden");
    let (ctx, played) = fixture.plays(vec![
        refused,
        Exchange::refused(&format!("GET {PATH}/p"), Value::Null, 404, "NotFound"),
    ]);
    let mut reported = Reported::new();
    assert!(!round(&ctx, &mut reported).await);
    assert!(round(&ctx, &mut reported).await);
    drop(ctx);
    played.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_policy_that_is_one_too_many_says_so() {
    let fixture = Fixture::new();
    let mut bound = PolicyBound::new(fixture.ctx.stores.excess_policies.clone());
    let one = |name: &str, second: usize| -> LsmPolicy {
        let mut object = policy(name, &json!({}));
        object["metadata"]["creationTimestamp"] = json!(format!("2026-01-01T00:{second:02}:00Z"));
        serde_json::from_value(object).unwrap()
    };
    for number in 0..MAX_POLICIES {
        bound.pass(Event::Apply(one(&format!("older-{number}"), 0)));
    }
    bound.pass(Event::Apply(one("p", 1)));
    let message = "the operator acts on the 100 oldest policies, and this is not one of them: \
                   delete policies that are not needed";
    let status = wanted(message, "False", "TooManyPolicies");
    let (ctx, played) = fixture.plays(vec![get(bad(&json!({}))), patch(&status, bad(&status))]);
    assert!(round(&ctx, &mut Reported::new()).await);
    assert!(ctx.metrics.encode().unwrap().contains("lsm_ready_policies_not_in_force 1"));
    drop(ctx);
    played.await.unwrap();
}

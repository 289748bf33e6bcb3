//! Scenarios with scripted agents: which are asked and how often, what the condition says, and what
//! is forgotten.

use std::cell::{Cell, RefCell};

use crate::tetragon_client::{
    ActionsByPolicy, Answer, AskError, Mode, PolicyName, PolicyState, PolicyStatus, QueryResult,
    Response, Source, StateCounts, Unanswered,
};
use futures::{FutureExt, StreamExt};
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::Node;
use lsm_ready_crds::conditions::{TRACING_POLICIES_ENFORCED, find};
use lsm_ready_crds::{LsmNode, LsmPolicy};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::poller::round;
use super::target::AgentAddress;
use crate::context::Context;
use crate::context::fixture::{Fixture, node, policy, report};
use crate::context::moment::tests::second;
use crate::policy::status::held::Breaking;
use crate::watch::key::DaemonSetKey;

mod condition;
mod forgetting;
mod rounds;

thread_local! {
    static SECOND: Cell<i64> = const { Cell::new(1_767_226_200) };
}

fn now() -> Timestamp {
    Timestamp::from_second(SECOND.get()).unwrap()
}

fn instant() -> Instant {
    second(u64::try_from(SECOND.get()).unwrap()).instant
}

fn pass(seconds: i64) {
    SECOND.set(SECOND.get() + seconds);
}

fn at(number: u8, name: &str) -> Value {
    let mut node = node(name);
    node["status"]["addresses"] =
        json!([{"type": "InternalIP", "address": format!("10.0.0.{number}")}]);
    node
}

/// A DaemonSet whose agents are all new and available.
fn daemon_set(generation: i64) -> Value {
    json!({"apiVersion": "apps/v1", "kind": "DaemonSet",
        "metadata": {"name": "tetragon", "namespace": "kube-system", "uid": "uid-tetragon",
            "generation": generation},
        "spec": {"selector": {}, "template": {"spec": {"hostNetwork": true,
            "containers": [{"name": "tetragon", "image": "quay.io/cilium/tetragon:v1.7.0"}]}}},
        "status": {"observedGeneration": generation, "desiredNumberScheduled": 3,
            "updatedNumberScheduled": 3, "currentNumberScheduled": 3, "numberAvailable": 3,
            "numberReady": 3, "numberMisscheduled": 0}})
}

fn tracing_policy(name: &str, generation: i64) -> Value {
    json!({"metadata": {"name": name, "uid": name, "generation": generation}, "spec": {"lsmhooks": [
        {"hook": "file_open", "selectors": [{"matchActions": [{"action": "Sigkill"}]}]}]}})
}

/// Three nodes and their agents, and policies with this `spec.tetragon`.
fn three_nodes(policies: &[(&str, Value)]) -> Fixture {
    let mut fixture = Fixture::new().with_clocks(now, instant).with::<DaemonSet>(daemon_set(1));
    for number in 1..=3 {
        let name = format!("n{number}");
        fixture = fixture.with::<Node>(at(number, &name)).with::<LsmNode>(report(
            &name,
            "Denied",
            "CanaryDenied",
        ));
    }
    for (name, tetragon) in policies {
        fixture = fixture.with::<LsmPolicy>(policy(name, &json!({"tetragon": tetragon})));
    }
    fixture.with_tracing_policies(&[tracing_policy("deny", 1)])
}

/// One policy that wants the agents asked, and leaves securityfs alone.
fn one_policy() -> Fixture {
    three_nodes(&[("a", json!({"securityfs": {"mount": "Never"}, "agents": {}}))])
}

#[allow(clippy::unnecessary_wraps, reason = "the tables hold answers and errors in one type")]
fn says(policies: &[(&str, PolicyState, Option<Mode>)]) -> QueryResult {
    let answers = policies.iter().map(|(name, state, mode)| {
        (PolicyName { namespace: None, name: (*name).into() }, PolicyStatus::new(*state, *mode))
    });
    let counts: StateCounts = policies.iter().map(|(_, state, _)| (*state, 1)).collect();
    let answer = Answer { policies: answers.collect(), counts, ..Answer::empty(Source::Grpc) };
    Ok(Response { answer, actions: ActionsByPolicy::new(), grpc_error: None })
}

fn enforcing() -> QueryResult {
    says(&[("deny", PolicyState::Enabled, Some(Mode::Enforce))])
}

fn lost() -> QueryResult {
    Err(Unanswered { grpc: Some(AskError::Refused), metrics: Some(AskError::Refused) })
}

/// Runs one round in which every agent gives that result. Returns the addresses that are asked, in
/// order.
async fn asked(ctx: &Context, result: &QueryResult) -> Vec<String> {
    let asked = RefCell::new(Vec::new());
    round(ctx, async |at: AgentAddress, _| {
        asked.borrow_mut().push(format!("{:?} {:?}", at.endpoints.grpc, at.endpoints.metrics));
        result.clone()
    })
    .await;
    asked.into_inner()
}

/// The policies that are to be reconciled.
fn queued(fixture: &mut Fixture) -> Vec<String> {
    std::iter::from_fn(|| fixture.receivers.policies.next().now_or_never().flatten())
        .map(|key| key.name)
        .collect()
}

/// Reasons of `TracingPoliciesEnforced` and `Ready`.
struct Reasons {
    enforced: String,
    ready: String,
}

fn reasons(ctx: &Context) -> Reasons {
    let policy = ctx.stores.policies.state()[0].clone();
    let observation = crate::policy::observe(&policy, ctx).unwrap();
    let now = k8s_openapi::apimachinery::pkg::apis::meta::v1::Time((ctx.now)());
    let status = crate::policy::status::status(&policy, &observation, &Breaking::default(), &now);
    let reason = |type_| find(&status.conditions, type_).unwrap().reason.clone();
    Reasons { enforced: reason(TRACING_POLICIES_ENFORCED), ready: reason("Ready") }
}

fn reason_now(ctx: &Context) -> String {
    reasons(ctx).enforced
}

/// Runs rounds until the condition has that reason. Returns the seconds that it took.
async fn until(ctx: &Context, result: &QueryResult, reason: &str) -> i64 {
    let begun = SECOND.get();
    while reason_now(ctx) != reason {
        assert!(SECOND.get() < begun + 600, "{} instead of {reason}", reason_now(ctx));
        pass(5);
        asked(ctx, result).await;
    }
    SECOND.get() - begun
}

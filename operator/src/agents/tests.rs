//! Looks with agents that are played: who is asked, how often, and whom it concerns.

use std::cell::{Cell, RefCell};

use futures::FutureExt;
use lsm_ready_agents::{ActionsByPolicy, Answer, How, State as PolicyState};
use lsm_ready_crds::LsmNode;
use serde_json::{Value, json};

use super::*;
use crate::fixture::{Fixture, node, policy, report};

fn at(number: u8, name: &str) -> Value {
    let mut node = node(name);
    node["status"]["addresses"] = json!([{"type": "InternalIP", "address": format!("10.0.0.{number}")}]);
    node
}

fn daemon_set() -> Value {
    json!({"apiVersion": "apps/v1", "kind": "DaemonSet",
        "metadata": {"name": "tetragon", "namespace": "kube-system", "uid": "uid-tetragon", "generation": 1},
        "spec": {"selector": {}, "template": {"spec": {"hostNetwork": true,
            "containers": [{"name": "tetragon", "image": "quay.io/cilium/tetragon:v1.3.0"}]}}}})
}

/// Three nodes and their agents, and policies with this `spec.tetragon`.
fn three_nodes(policies: &[(&str, Value)]) -> Fixture {
    let mut fixture = Fixture::new().with::<DaemonSet>(daemon_set());
    for number in 1..=3 {
        let name = format!("n{number}");
        fixture = fixture.with::<Node>(at(number, &name)).with::<LsmNode>(report(&name, "Denied", "CanaryDenied"));
    }
    for (name, tetragon) in policies {
        fixture = fixture.with::<LsmPolicy>(policy(name, &json!({"tetragon": tetragon})));
    }
    fixture
}

fn enabled() -> Outcome {
    one(PolicyState::Enabled)
}

/// The answer of an agent with one policy in that state.
fn one(state: PolicyState) -> Outcome {
    let answer = Answer { counts: [(state, 1)].into_iter().collect(), ..Answer::none(How::Metrics) };
    Outcome::Answered { answer, actions: ActionsByPolicy::new(), without_grpc: None }
}

/// The endpoints that one look asks, in order, each with that outcome.
async fn asked(ctx: &Context, outcome: &Outcome) -> Vec<String> {
    let asked = RefCell::new(Vec::new());
    look(ctx, async |at: Endpoints| {
        asked.borrow_mut().push(format!("{:?} {:?}", at.grpc, at.metrics));
        outcome.clone()
    })
    .await;
    asked.into_inner()
}

fn queued(fixture: &mut Fixture) -> Vec<String> {
    std::iter::from_fn(|| fixture.receivers.policies.next().now_or_never().flatten()).map(|key| key.name).collect()
}

#[tokio::test]
async fn nobody_is_asked_without_a_policy_that_says_so() {
    let never = json!({"agents": {"ask": "Never"}});
    let elsewhere = json!({"agents": {}, "daemonSet": {"name": "other"}});
    let fixture = three_nodes(&[("a", json!({})), ("b", never), ("c", elsewhere)]);
    assert!(asked(&fixture.ctx, &enabled()).await.is_empty());
}

#[tokio::test]
async fn each_agent_is_asked_once_for_all_policies_and_they_hear_what_is_new() {
    let metrics = json!({"agents": {"ask": "Metrics"}});
    let mut fixture = three_nodes(&[("a", metrics.clone()), ("b", metrics), ("quiet", json!({}))]);
    let expected = ["None Some(10.0.0.1:2112)", "None Some(10.0.0.2:2112)", "None Some(10.0.0.3:2112)"];
    assert_eq!(asked(&fixture.ctx, &enabled()).await, expected);
    let mut news = queued(&mut fixture);
    news.sort();
    assert_eq!(news, ["a", "a", "a", "b", "b", "b"]);
    // The clock stands still: nobody is due, and nothing is new.
    assert!(asked(&fixture.ctx, &enabled()).await.is_empty());
    assert!(queued(&mut fixture).is_empty());
    let text = fixture.ctx.metrics.encode().unwrap();
    assert!(text.contains(r#"lsm_ready_agents_asked_total{how="metrics",outcome="answered"} 3"#), "{text}");
}

#[tokio::test]
async fn at_most_eight_at_once_and_a_look_ends() {
    let mut fixture = Fixture::new().with::<DaemonSet>(daemon_set());
    for number in 1..=200 {
        fixture = fixture.with::<Node>(at(number, &format!("n{number}")));
    }
    let fixture = fixture.with::<LsmPolicy>(policy("a", &json!({"tetragon": {"agents": {}}})));
    let (now, most, all) = (Cell::new(0), Cell::new(0), Cell::new(0));
    look(&fixture.ctx, async |_| {
        now.set(now.get() + 1);
        most.set(most.get().max(now.get()));
        all.set(all.get() + 1);
        tokio::task::yield_now().await;
        now.set(now.get() - 1);
        enabled()
    })
    .await;
    assert_eq!((most.get(), all.get()), (AT_ONCE, MOST));
    // Those that were left come with the next look.
    assert_eq!(asked(&fixture.ctx, &enabled()).await.len(), 200 - MOST);
}

#[tokio::test]
async fn the_condition_tells_the_answers_and_ready_leaves_them_aside() {
    use lsm_ready_crds::conditions::find;
    let fixture = three_nodes(&[("a", json!({"securityfs": {"mount": "Never"}, "agents": {}}))]);
    let policy = fixture.ctx.stores.policies.state()[0].clone();
    let condition = |fixture: &Fixture| {
        let observation = crate::policy::observe(&policy, &fixture.ctx).unwrap();
        let now = k8s_openapi::apimachinery::pkg::apis::meta::v1::Time((fixture.ctx.now)());
        let status = crate::policy::status::status(&policy, &observation, &now);
        let ready = find(&status.conditions, "Ready").unwrap().reason.clone();
        (find(&status.conditions, TRACING_POLICIES_LOADED).unwrap().reason.clone(), ready)
    };
    let (first, ready) = condition(&fixture);
    assert_eq!(first, reason::ASKING);
    asked(&fixture.ctx, &one(PolicyState::LoadError)).await;
    assert_eq!(condition(&fixture), (reason::AGENT_DISAGREES.to_owned(), ready));

    // Another boot makes it an answer to an older question.
    let mut rebooted = at(1, "n1");
    rebooted["status"]["nodeInfo"]["bootID"] = json!("b00t2");
    let fixture = fixture.with::<Node>(rebooted);
    assert_eq!(condition(&fixture).0, reason::ASKING);
    assert_eq!(asked(&fixture.ctx, &enabled()).await.len(), 0, "not within ten seconds");
}

#[tokio::test]
async fn who_is_no_longer_wanted_is_forgotten() {
    let fixture = three_nodes(&[("a", json!({"agents": {}}))]);
    asked(&fixture.ctx, &enabled()).await;
    let fixture = fixture.with::<LsmPolicy>(policy("a", &json!({"tetragon": {}})));
    asked(&fixture.ctx, &enabled()).await;
    let fixture = fixture.with::<LsmPolicy>(policy("a", &json!({"tetragon": {"agents": {}}})));
    assert_eq!(asked(&fixture.ctx, &enabled()).await.len(), 3);
}

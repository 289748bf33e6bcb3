//! Looks with agents that are played: who is asked, how often, what the condition says, and whom it concerns.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::net::SocketAddr;

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

use super::poller::{AT_ONCE, look};
use super::questions::At;
use crate::context::Context;
use crate::context::fixture::{Fixture, node, policy, report};
use crate::watch::key::DaemonSetKey;

thread_local! {
    static SECOND: Cell<i64> = const { Cell::new(1_767_226_200) };
}

fn now() -> Timestamp {
    Timestamp::from_second(SECOND.get()).unwrap()
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

/// Whose agents are all new and available.
fn daemon_set(generation: i64) -> Value {
    json!({"apiVersion": "apps/v1", "kind": "DaemonSet",
        "metadata": {"name": "tetragon", "namespace": "kube-system", "uid": "uid-tetragon", "generation": generation},
        "spec": {"selector": {}, "template": {"spec": {"hostNetwork": true,
            "containers": [{"name": "tetragon", "image": "quay.io/cilium/tetragon:v1.7.0"}]}}},
        "status": {"observedGeneration": generation, "desiredNumberScheduled": 3, "updatedNumberScheduled": 3,
            "currentNumberScheduled": 3, "numberAvailable": 3, "numberReady": 3, "numberMisscheduled": 0}})
}

fn tracing_policy(name: &str, generation: i64) -> Value {
    json!({"metadata": {"name": name, "uid": name, "generation": generation}, "spec": {"lsmhooks": [
        {"hook": "file_open", "selectors": [{"matchActions": [{"action": "Sigkill"}]}]}]}})
}

/// Three nodes and their agents, and policies with this `spec.tetragon`.
fn three_nodes(policies: &[(&str, Value)]) -> Fixture {
    let mut fixture = Fixture::new().with_clock(now).with::<DaemonSet>(daemon_set(1));
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

fn says(policies: &[(&str, PolicyState, Option<Mode>)]) -> QueryResult {
    let answers = policies.iter().map(|(name, state, mode)| {
        let answer = PolicyStatus {
            state: *state,
            mode: *mode,
            error: String::new(),
            failed_hooks: Vec::new(),
        };
        (PolicyName { namespace: None, name: (*name).into() }, answer)
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

/// The endpoints that one look asks, in order, each with that outcome.
async fn asked(ctx: &Context, outcome: &QueryResult) -> Vec<String> {
    let asked = RefCell::new(Vec::new());
    look(ctx, async |at: At, _| {
        asked.borrow_mut().push(format!("{:?} {:?}", at.grpc, at.metrics));
        outcome.clone()
    })
    .await;
    asked.into_inner()
}

fn queued(fixture: &mut Fixture) -> Vec<String> {
    std::iter::from_fn(|| fixture.receivers.policies.next().now_or_never().flatten())
        .map(|key| key.name)
        .collect()
}

/// Reason of the condition, and of Ready.
fn reasons(ctx: &Context) -> (String, String) {
    let policy = ctx.stores.policies.state()[0].clone();
    let observation = crate::policy::observe(&policy, ctx).unwrap();
    let now = k8s_openapi::apimachinery::pkg::apis::meta::v1::Time((ctx.now)());
    let status = crate::policy::status::status(&policy, &observation, &now);
    let reason = |type_| find(&status.conditions, type_).unwrap().reason.clone();
    (reason(TRACING_POLICIES_ENFORCED), reason("Ready"))
}

fn reason_now(ctx: &Context) -> String {
    reasons(ctx).0
}

/// Looks every five seconds until the condition has that reason; the seconds that it took.
async fn until(ctx: &Context, outcome: &QueryResult, reason: &str) -> i64 {
    let begun = SECOND.get();
    while reason_now(ctx) != reason {
        assert!(SECOND.get() < begun + 600, "{} in place of {reason}", reason_now(ctx));
        pass(5);
        asked(ctx, outcome).await;
    }
    SECOND.get() - begun
}

#[tokio::test]
async fn nobody_is_asked_without_a_policy_that_says_so() {
    let never = json!({"agents": {"ask": "Never"}});
    let elsewhere = json!({"agents": {}, "daemonSet": {"name": "other"}});
    let fixture = three_nodes(&[("a", json!({})), ("b", never), ("c", elsewhere)]);
    assert!(asked(&fixture.ctx, &enforcing()).await.is_empty());
}

#[tokio::test]
async fn each_agent_is_asked_once_for_all_policies_and_they_hear_what_is_new() {
    let metrics = json!({"agents": {"ask": "Metrics"}});
    let mut fixture = three_nodes(&[("a", metrics.clone()), ("b", metrics), ("quiet", json!({}))]);
    let expected =
        ["None Some(10.0.0.1:2112)", "None Some(10.0.0.2:2112)", "None Some(10.0.0.3:2112)"];
    assert_eq!(asked(&fixture.ctx, &enforcing()).await, expected);
    let mut news = queued(&mut fixture);
    news.sort();
    assert_eq!(news, ["a", "a", "a", "b", "b", "b"]);
    // The clock stands still: nobody is due, and nothing is new.
    assert!(asked(&fixture.ctx, &enforcing()).await.is_empty());
    assert!(queued(&mut fixture).is_empty());
    let text = fixture.ctx.metrics.encode().unwrap();
    assert!(
        text.contains(r#"lsm_ready_agents_asked_total{how="grpc",outcome="answered"} 3"#),
        "{text}"
    );
}

/// Two hundred nodes, and a policy that asks their agents.
fn two_hundred() -> Fixture {
    let mut fixture = Fixture::new().with_clock(now).with::<DaemonSet>(daemon_set(1));
    for number in 1..=200 {
        fixture = fixture.with::<Node>(at(number, &format!("n{number}")));
    }
    fixture.with::<LsmPolicy>(policy("a", &json!({"tetragon": {"agents": {}}})))
}

#[tokio::test]
async fn so_many_are_asked_at_once_and_none_twice_at_once() {
    let fixture = two_hundred();
    let (most, open) = (Cell::new(0), RefCell::new(BTreeMap::<Option<SocketAddr>, u32>::new()));
    look(&fixture.ctx, async |at: At, _| {
        *open.borrow_mut().entry(at.grpc).or_default() += 1;
        assert_eq!(open.borrow()[&at.grpc], 1, "two connections to one agent");
        most.set(most.get().max(open.borrow().len()));
        tokio::task::yield_now().await;
        open.borrow_mut().remove(&at.grpc);
        enforcing()
    })
    .await;
    assert_eq!(most.get(), AT_ONCE);
}

/// Half of the agents never end a question: the others are asked all the same.
#[tokio::test(start_paused = true)]
async fn agents_that_do_not_answer_hold_up_nobody() {
    let fixture = two_hundred();
    let is_silent = |at: &At| {
        at.grpc.is_some_and(|at| at.ip().to_string().ends_with(['1', '3', '5', '7', '9']))
    };
    let answered = Cell::new(0);
    let play = async |at: At, _| {
        if is_silent(&at) {
            tokio::time::sleep(std::time::Duration::from_secs(4)).await;
            return lost();
        }
        answered.set(answered.get() + 1);
        enforcing()
    };
    // Until each was asked once, so that it is known who does not answer.
    while fixture.ctx.agents.different_answers() == 0 || answered.get() < 100 {
        look(&fixture.ctx, play).await;
    }
    // Twice more, so that those that do not answer are due before the others.
    for _ in 0..2 {
        pass(10);
        look(&fixture.ctx, play).await;
    }
    pass(600);
    answered.set(0);
    let begun = tokio::time::Instant::now();
    look(&fixture.ctx, play).await;
    assert_eq!(answered.get(), 100);
    assert!(begun.elapsed() < std::time::Duration::from_secs(10), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn whatever_is_done_to_a_policy_is_noticed_within_a_minute() {
    let fixture = one_policy();
    let ctx = &fixture.ctx;
    let ready = reasons(ctx).1;
    let disabled = says(&[("deny", PolicyState::Disabled, None)]);
    let monitoring = says(&[("deny", PolicyState::Enabled, Some(Mode::Monitor))]);
    let partial = says(&[("deny", PolicyState::PartiallyEnabled, None)]);
    let failed = says(&[("deny", PolicyState::LoadError, None)]);
    for (outcome, expected) in [
        (enforcing(), "AllEnforcing"),
        (disabled, "PoliciesDisabled"),
        (enforcing(), "AllEnforcing"),
        (monitoring, "MonitorMode"),
        (enforcing(), "AllEnforcing"),
        (says(&[]), "PoliciesMissing"),
        (enforcing(), "AllEnforcing"),
        (partial, "PartiallyEnabled"),
        (failed, "AgentDisagrees"),
        (enforcing(), "AllEnforcing"),
    ] {
        let took = until(ctx, &outcome, expected).await;
        assert!(took <= 60, "{expected} after {took} seconds");
        assert_eq!(reasons(ctx).1, ready, "Ready does not depend on it");
    }
}

#[tokio::test]
async fn a_policy_that_is_added_or_changed_is_asked_about_at_once() {
    let fixture = one_policy();
    until(&fixture.ctx, &enforcing(), "AllEnforcing").await;
    // It is added: the agents have not loaded it yet, and then have.
    let fixture =
        fixture.with_tracing_policies(&[tracing_policy("deny", 1), tracing_policy("more", 1)]);
    assert_eq!(reason_now(&fixture.ctx), "Loading");
    let enforce = Some(Mode::Enforce);
    let both =
        says(&[("deny", PolicyState::Enabled, enforce), ("more", PolicyState::Enabled, enforce)]);
    assert!(until(&fixture.ctx, &both, "AllEnforcing").await <= 30);
    // It is changed: what was said before says nothing about it.
    let fixture =
        fixture.with_tracing_policies(&[tracing_policy("deny", 1), tracing_policy("more", 2)]);
    assert_eq!(reason_now(&fixture.ctx), "Asking");
    assert!(until(&fixture.ctx, &both, "AllEnforcing").await <= 30);
    // It is never loaded.
    let fixture =
        fixture.with_tracing_policies(&[tracing_policy("deny", 1), tracing_policy("lost", 1)]);
    assert!(until(&fixture.ctx, &both, "PoliciesMissing").await <= 120);
    // It is removed.
    let fixture = fixture.with_tracing_policies(&[tracing_policy("deny", 1)]);
    assert!(until(&fixture.ctx, &both, "AllEnforcing").await <= 30);
}

#[tokio::test]
async fn an_agent_that_has_only_just_started_is_no_agent_without_policies() {
    let fixture = one_policy();
    let ctx = &fixture.ctx;
    for _ in 0..3 {
        asked(ctx, &says(&[])).await;
        assert_eq!(reason_now(ctx), "Loading");
        pass(10);
    }
    assert!(until(ctx, &enforcing(), "AllEnforcing").await <= 60);
}

#[tokio::test]
async fn agents_that_do_not_answer_are_starting_first() {
    let fixture = one_policy();
    assert_eq!(reason_now(&fixture.ctx), "Asking");
    asked(&fixture.ctx, &lost()).await;
    assert_eq!(reason_now(&fixture.ctx), "Starting");
    let took = until(&fixture.ctx, &lost(), "NoAnswer").await;
    assert!((60..=120).contains(&took), "{took}");
    until(&fixture.ctx, &enforcing(), "AllEnforcing").await;
    // The agents are restarted: what they said stands until they answer again, and then they have no policies for a while.
    let fixture = fixture.with::<DaemonSet>(daemon_set(2));
    assert_eq!(reason_now(&fixture.ctx), "Asking");
    for (outcome, expected) in [(lost(), "Asking"), (lost(), "Asking"), (says(&[]), "Loading")] {
        pass(20);
        asked(&fixture.ctx, &outcome).await;
        assert_eq!(reason_now(&fixture.ctx), expected);
    }
    assert!(until(&fixture.ctx, &enforcing(), "AllEnforcing").await <= 60);
}

#[tokio::test]
async fn a_reboot_makes_it_an_answer_to_an_older_question() {
    let fixture = one_policy();
    until(&fixture.ctx, &enforcing(), "AllEnforcing").await;
    let mut rebooted = at(1, "n1");
    rebooted["status"]["nodeInfo"]["bootID"] = json!("b00t2");
    let fixture = fixture.with::<Node>(rebooted);
    assert_eq!(reason_now(&fixture.ctx), "Asking");
    asked(&fixture.ctx, &enforcing()).await;
    assert!(asked(&fixture.ctx, &enforcing()).await.is_empty(), "not twice within ten seconds");
}

#[tokio::test]
async fn equal_answers_are_kept_once_and_old_ones_are_forgotten() {
    let fixture = one_policy();
    asked(&fixture.ctx, &enforcing()).await;
    assert_eq!(fixture.ctx.agents.different_answers(), 1);
    pass(10);
    let number = Cell::new(0);
    look(&fixture.ctx, async |_, _| {
        number.set(number.get() + 1);
        says(&[(&format!("p{}", number.get()), PolicyState::Enabled, None)])
    })
    .await;
    pass(10);
    asked(&fixture.ctx, &lost()).await;
    assert_eq!(fixture.ctx.agents.different_answers(), 3);
}

#[tokio::test]
async fn who_is_no_longer_wanted_is_forgotten() {
    let fixture = three_nodes(&[("a", json!({"agents": {}}))]);
    asked(&fixture.ctx, &enforcing()).await;
    let fixture = fixture.with::<LsmPolicy>(policy("a", &json!({"tetragon": {}})));
    asked(&fixture.ctx, &enforcing()).await;
    assert_eq!(fixture.ctx.agents.different_answers(), 0);
    let fixture = fixture.with::<LsmPolicy>(policy("a", &json!({"tetragon": {"agents": {}}})));
    assert_eq!(asked(&fixture.ctx, &enforcing()).await.len(), 3);
}

#[tokio::test]
async fn without_the_files_for_tls_nobody_is_asked_and_the_condition_says_what_to_add() {
    let tls = json!({"serverName": "agent.example.com"});
    let mut fixture =
        three_nodes(&[("a", json!({"securityfs": {"mount": "Never"}, "agents": {"tls": tls}}))]);
    assert!(asked(&fixture.ctx, &enforcing()).await.is_empty());
    assert_eq!(reason_now(&fixture.ctx), "TlsFiles");
    assert_eq!(queued(&mut fixture), ["a"], "the files were read for the first time");
    asked(&fixture.ctx, &enforcing()).await;
    assert!(queued(&mut fixture).is_empty());
}

#[tokio::test]
async fn load_errors_are_told_to_who_restarts_agents() {
    let mut fixture = one_policy();
    let key = DaemonSetKey { namespace: "kube-system".into(), name: "tetragon".into() };
    let failed = says(&[("deny", PolicyState::LoadError, None)]);
    let begun = now();
    for (outcome, pause) in [(enforcing(), 10), (failed.clone(), 50), (failed, 0)] {
        asked(&fixture.ctx, &outcome).await;
        pass(pause);
    }
    let errors = fixture.ctx.agents.load_errors(&key, "n2", "b00t").unwrap();
    let after = |seconds| begun.checked_add(std::time::Duration::from_secs(seconds)).unwrap();
    assert_eq!((errors.since, errors.as_of), (after(10), after(60)));
    assert_eq!(fixture.ctx.agents.load_errors(&key, "n2", "other boot"), None);
    assert_eq!(fixture.ctx.agents.load_errors(&DaemonSetKey::default(), "n2", "b00t"), None);
    let restarts =
        std::iter::from_fn(|| fixture.receivers.daemon_sets.next().now_or_never().flatten())
            .count();
    assert_eq!(restarts, 3, "once for each agent, when it begins");
}

/// Source many questions a minute brings, and that nobody is left out.
#[tokio::test]
async fn two_hundred_agents_are_each_asked_within_every_minute() {
    let fixture = two_hundred();
    let asked = RefCell::new(BTreeMap::<Option<SocketAddr>, Vec<i64>>::new());
    for _ in 0..60 {
        look(&fixture.ctx, async |at: At, _| {
            asked.borrow_mut().entry(at.grpc).or_default().push(SECOND.get());
            enforcing()
        })
        .await;
        pass(5);
    }
    let asked = asked.into_inner();
    assert_eq!(asked.len(), 200);
    let pauses: Vec<i64> =
        asked.values().flat_map(|times| times.windows(2).map(|pair| pair[1] - pair[0])).collect();
    // The first pause confirms the first answer.
    assert!(pauses.iter().all(|pause| (10..=45).contains(pause)), "{:?}", pauses.iter().max());
    let total: usize = asked.values().map(Vec::len).sum();
    assert!(total <= 200 * 10, "{total} questions in five minutes");
}

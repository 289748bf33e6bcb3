//! The memory of the operator's process while somebody floods the API server with large objects.
//!
//! Each flood is what one token can write: hook profiles by a probe, DaemonSets by an editor of one
//! namespace, policies by a policy editor, reports by a whole fleet. The operator runs while the
//! objects are written, and is then started anew, which is when it lists all of them.
//! `LSM_READY_FLOOD=10` makes every flood ten times as large.

use std::time::{Duration, Instant};

use e2e::api::ApiServer;
use e2e::wait;
use futures::{StreamExt, stream};
use kube::Client;
use lsm_ready_crds::LsmHookProfile;
use lsm_ready_crds::profile::LsmHookProfileSpec;
use lsm_ready_operator::profile::plan::MAX_UNNAMED;
use serde_json::{Value, json};

use crate::operator::{apply_policy, labelled, report};
use crate::process::Operator;
use crate::server::{self, call, create_node, done};

/// The operator's memory at 1,000 nodes, whatever happens.
const LIMIT_MIB: u64 = 128;
const DEADLINE: Duration = Duration::from_mins(5);
const KINDS: &str = "/apis/lsmready.io/v1alpha1";
const DAEMON_SETS: &str = "/apis/apps/v1/namespaces/default/daemonsets";

/// How many objects: `quick`, or more by hand.
fn times(quick: usize) -> usize {
    let factor = std::env::var("LSM_READY_FLOOD").ok().and_then(|factor| factor.parse().ok());
    quick * factor.unwrap_or(1)
}

/// Sends objects to that path, 16 at once.
async fn post(client: &Client, path: &str, objects: impl Iterator<Item = Value>) {
    let sent = stream::iter(objects).map(async |object| done(client, "POST", path, &object).await);
    sent.buffer_unordered(16).for_each(async |_| {}).await;
}

/// A genuine profile with as many and as long names as the schema allows.
fn profile(number: usize) -> Value {
    let hooks = (0..480).map(|hook| format!("h{number:06}_{hook:056}")).collect();
    let spec = LsmHookProfileSpec {
        kernel: format!("flood {number}"),
        hooks,
        ..LsmHookProfileSpec::default()
    };
    serde_json::to_value(LsmHookProfile::new(&spec.digest(), spec)).unwrap()
}

/// A DaemonSet of 200 kB that no policy names.
fn daemon_set(number: usize) -> Value {
    let labels = json!({"app": "flood"});
    let env = json!([{"name": "A", "value": "x".repeat(200_000)}]);
    json!({"apiVersion": "apps/v1", "kind": "DaemonSet",
        "metadata": {"name": format!("flood-{number}")},
        "spec": {"selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels},
            "spec": {"containers": [{"name": "c", "image": "none", "env": env}]}}}})
}

/// A policy with large annotations and as much in its spec as the schema allows.
fn policy(number: usize) -> Value {
    let hooks: Vec<String> = (0..64).map(|hook| format!("hook_{hook:058}")).collect();
    json!({"apiVersion": "lsmready.io/v1alpha1", "kind": "LsmPolicy",
        "metadata": {"name": format!("flood-{number}"),
            "annotations": {"large": "x".repeat(20_000)}},
        "spec": {"nodeSelector": {"matchLabels": {"flood": "none"}},
            "require": {"hooks": hooks, "sleepableHooks": hooks}}})
}

/// A report with the longest texts that the schema allows.
fn full_report() -> Value {
    let check = |number: usize| {
        json!({"name": format!("Check{number}"), "outcome": "Fail",
        "detail": "d".repeat(500), "fix": "f".repeat(1000)})
    };
    json!({"status": {"bootID": "1", "evidence": "Attached", "reason": "BpfNotInLsmList",
        "message": "m".repeat(4096), "fix": "f".repeat(4096),
        "checks": (0..32).map(check).collect::<Vec<_>>()}})
}

async fn post_reports(client: &Client, count: usize) {
    let report = full_report();
    let names: Vec<String> = (0..count).map(|number| format!("flood-{number}")).collect();
    stream::iter(&names)
        .for_each_concurrent(16, async |name| {
            let path = format!("{KINDS}/lsmnodes/{name}");
            let object = json!({"apiVersion": "lsmready.io/v1alpha1", "kind": "LsmNode"});
            done(client, "APPLY", &path, &object).await;
            done(client, "MERGE", &format!("{path}/status"), &report).await;
        })
        .await;
}

/// Waits until the operator has seen so many hook profiles. It may have deleted some of them.
async fn seen(operator: &Operator, profiles: usize) {
    let profiles = u64::try_from(profiles).unwrap();
    wait::until(DEADLINE, "the operator to see the flood", async || {
        let present = operator.metric("lsm_ready_hook_profiles{").await;
        let seen = present + operator.metric("lsm_ready_hook_profiles_deleted_total{").await;
        if seen >= profiles { Ok(()) } else { Err(format!("{seen} of {profiles}")) }
    })
    .await
    .unwrap();
}

/// Waits until an old policy is in force on the Node, so that the operator works.
async fn works(client: &Client, evidence: &str) {
    report(client, "n1", evidence, "1").await;
    let state = if evidence == "Denied" { "ready" } else { "not-ready" };
    labelled(client, "n1", json!({"policy.oldest": state})).await;
}

fn assert_bounded(operator: &Operator, when: &str) {
    let peak = operator.peak_memory();
    println!("{peak} MiB {when}");
    assert!(peak < LIMIT_MIB, "{peak} MiB {when}, the limit is {LIMIT_MIB} MiB");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn floods_do_not_fill_the_operators_memory() {
    let turn = server::exclusive().await;
    let client = turn.server.client().await.unwrap();
    create_node(turn.server, "n1").await;
    apply_policy(&client, "oldest", &json!({})).await;
    flood(turn.server, &client).await;
    // One by one, kubectl would take minutes.
    for kind in ["lsmhookprofiles", "lsmpolicies", "lsmnodes"] {
        call(&client, "DELETE", &format!("{KINDS}/{kind}"), &Value::Null).await;
    }
    call(&client, "DELETE", DAEMON_SETS, &Value::Null).await;
}

async fn flood(server: &ApiServer, client: &Client) {
    let (profiles, began) = (times(400), Instant::now());
    let operator = Operator::start(server, None);
    works(client, "Denied").await;
    assert_bounded(&operator, "before");
    let all: Vec<Value> = (0..profiles).map(profile).collect();
    post(client, &format!("{KINDS}/lsmhookprofiles"), all.into_iter()).await;
    seen(&operator, profiles).await;
    assert_bounded(&operator, "after hook profiles");
    post(client, DAEMON_SETS, (0..times(100)).map(daemon_set)).await;
    post(client, &format!("{KINDS}/lsmpolicies"), (0..times(150)).map(policy)).await;
    post_reports(client, times(60)).await;
    works(client, "Attached").await;
    assert_bounded(&operator, "after all floods");
    operator.terminate();
    let operator = Operator::start(server, None);
    works(client, "Denied").await;
    seen(&operator, MAX_UNNAMED).await;
    assert_bounded(&operator, "after a restart");
    operator.terminate();
    println!("{:?} in total", began.elapsed());
}

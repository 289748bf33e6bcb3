//! Somebody who may write TracingPoliciesNamespaced in one namespace floods the operator with
//! hooks, and the CRD of reports is deleted and restored: labels stay up to date.

use std::time::{Duration, Instant};

use e2e::wait;
use futures::{StreamExt, stream};
use kube::Client;
use lsm_ready_crds::profile::LsmHookProfileSpec;
use lsm_ready_crds::{LsmHookProfile, fixture};
use serde_json::{Value, json};

use crate::operator::{apply_policy, labelled, report};
use crate::process::Operator;
use crate::server::{self, call, config, create_node, done, kubectl};

const DEADLINE: Duration = Duration::from_mins(1);
const KINDS: &str = "/apis/lsmready.io/v1alpha1";
const POLICIES: &str = "/apis/cilium.io/v1alpha1/namespaces/default/tracingpoliciesnamespaced";
const NODES: usize = 50;

/// Writes the report of a node, which names that profile.
async fn report_with(client: &Client, node: &str, evidence: &str, profile: &str) {
    let path = format!("{KINDS}/lsmnodes/{node}");
    let object = json!({"apiVersion": "lsmready.io/v1alpha1", "kind": "LsmNode"});
    done(client, "APPLY", &path, &object).await;
    let reason = if evidence == "Denied" { "CanaryDenied" } else { "BpfNotInLsmList" };
    let mut status = fixture::report("1", fixture::evidence(evidence), reason);
    status.checks.push(fixture::kernel_reads(lsm_ready_crds::State::Ready));
    status.hook_profile = Some(profile.to_owned());
    done(client, "MERGE", &format!("{path}/status"), &json!({"status": status})).await;
}

/// A profile with as many hooks as a kernel has.
async fn publish(client: &Client) -> String {
    let hooks = (0..250).map(|hook| format!("kernel_hook_{hook:03}")).collect();
    let spec = LsmHookProfileSpec { kernel: "6.12 x86_64".into(), hooks, ..Default::default() };
    let digest = spec.digest();
    let object = serde_json::to_value(LsmHookProfile::new(&digest, spec)).unwrap();
    done(client, "POST", &format!("{KINDS}/lsmhookprofiles"), &object).await;
    digest
}

/// How long two things took at most.
#[derive(Debug, Default)]
struct Slowest {
    /// From a report to the label.
    label: Duration,
    /// An answer of `/healthz` meanwhile.
    health: Duration,
}

/// Changes the evidence of a node twice, and asks `/healthz` meanwhile.
async fn slowest(operator: &Operator, client: &Client, digest: &str) -> Slowest {
    let mut slowest = Slowest::default();
    for evidence in ["Attached", "Denied"] {
        let label = label_after(client, digest, evidence);
        tokio::pin!(label);
        loop {
            let began = Instant::now();
            tokio::select! {
                took = &mut label => {
                    slowest.label = slowest.label.max(took);
                    break;
                }
                answer = operator.page("/healthz") => {
                    assert_eq!(answer.unwrap().code, 200);
                    slowest.health = slowest.health.max(began.elapsed());
                }
            }
        }
    }
    slowest
}

/// How long it takes from a report to the label, while the policy with these hooks is in force.
async fn label_after(client: &Client, digest: &str, evidence: &str) -> Duration {
    report_with(client, "n0", evidence, digest).await;
    let began = Instant::now();
    labelled(client, "n0", json!({"bpf": if evidence == "Denied" { "true" } else { "false" }}))
        .await;
    began.elapsed()
}

/// Creates a policy with so many unknown hooks. Returns when every node is not ready for it.
async fn flood(client: &Client, hooks: usize) {
    let hooks: Vec<Value> =
        (0..hooks).map(|number| json!({"hook": format!("unknown_{number}")})).collect();
    let policy = json!({"apiVersion": "cilium.io/v1alpha1", "kind": "TracingPolicyNamespaced",
        "metadata": {"name": "flood"}, "spec": {"lsmhooks": hooks}});
    done(client, "POST", POLICIES, &policy).await;
    labelled(client, &format!("n{}", NODES - 1), json!({"policy.traced": "not-ready"})).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thousands_of_unknown_hooks_delay_no_label() {
    let turn = server::exclusive().await;
    let client = turn.server.client().await.unwrap();
    server::install_tetragons_crds(turn.server);
    let digest = publish(&client).await;
    let nodes: Vec<String> = (0..NODES).map(|number| format!("n{number}")).collect();
    stream::iter(&nodes)
        .for_each_concurrent(16, async |node| {
            create_node(turn.server, node).await;
            report_with(&client, node, "Denied", &digest).await;
        })
        .await;
    apply_policy(
        &client,
        "traced",
        &json!({"tetragon": {}, "require": {"tracingPolicies": {},
        "namespacedTracingPolicies": "Require"}}),
    )
    .await;
    apply_policy(&client, "default", &json!({"require": {"tracingPolicies": {}}})).await;
    let operator = Operator::start(turn.server, None);
    labelled(&client, "n49", json!({"policy.traced": "ready", "policy.default": "ready"})).await;
    let usual = slowest(&operator, &client, &digest).await;
    println!("without a flood: {usual:?}");
    for hooks in [1_000, 50_000] {
        flood(&client, hooks).await;
        labelled(&client, "n49", json!({"policy.default": "ready"})).await;
        let found = slowest(&operator, &client, &digest).await;
        println!("{hooks} hooks: {found:?}");
        // On a busy machine everything is slow, also without a flood.
        assert!(found.label < Duration::from_secs(1).max(2 * usual.label), "{found:?}");
        assert!(found.health < Duration::from_millis(100).max(2 * usual.health), "{found:?}");
        done(&client, "DELETE", &format!("{POLICIES}/flood"), &Value::Null).await;
        labelled(&client, "n49", json!({"policy.traced": "ready"})).await;
    }
    operator.terminate();
    server::delete_tetragons_crds(turn.server);
}

/// Waits until the CRD's objects can be written again.
async fn restored(client: &Client) {
    wait::until(DEADLINE, "the CRD to be served", async || {
        let answer = call(client, "GET", &format!("{KINDS}/lsmnodes"), &Value::Null).await;
        if answer.is_ok() { Ok(()) } else { Err(answer.message) }
    })
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restored_crd_is_watched_again_within_ten_seconds() {
    let turn = server::exclusive().await;
    let client = turn.server.client().await.unwrap();
    create_node(turn.server, "n1").await;
    report(&client, "n1", "Denied", "1").await;
    let operator = Operator::start(turn.server, None);
    labelled(&client, "n1", json!({"bpf": "true"})).await;
    let kubeconfig = turn.server.kubeconfig();
    kubectl(&kubeconfig, &["delete", "crd", "lsmnodes.lsmready.io"]).unwrap();
    // Long enough for the waits between two attempts to grow.
    let failures = r#"lsm_ready_watch_errors_total{kind="LsmNode"}"#;
    wait::until(DEADLINE, "the watch to fail often", async || {
        let count = operator.metric(failures).await;
        if count >= 7 { Ok(()) } else { Err(format!("{count} failures")) }
    })
    .await
    .unwrap();
    let file = format!("{}/bases/lsmready.io_lsmnodes.yaml", config("crd"));
    kubectl(&kubeconfig, &["apply", "--server-side", "-f", &file]).unwrap();
    restored(&client).await;
    let began = Instant::now();
    report(&client, "n1", "Attached", "1").await;
    labelled(&client, "n1", json!({"bpf": "false"})).await;
    println!("right {:?} after the CRD is back", began.elapsed());
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    operator.terminate();
}

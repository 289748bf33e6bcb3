//! The memory of the operator's process while somebody floods the API server with large objects,
//! and how soon it answers `/healthz` meanwhile.
//!
//! The operator runs while the objects are written, and is then started anew, which is when it
//! lists all of them. docs/limits.md has the figures of the measurement:
//!
//! ```text
//! FLOOD_NODES=1000 cargo test --workspace --test api -- --ignored --nocapture each_attack
//! ```

mod attacks;

use std::time::{Duration, Instant};

use e2e::api::ApiServer;
use e2e::wait;
use futures::{StreamExt, stream};
use kube::Client;
use lsm_ready_crds::profile::LsmHookProfileSpec;
use lsm_ready_crds::{LsmHookProfile, State, fixture};
use serde_json::json;

use crate::operator::{apply_policy, labelled, report};
use crate::process::Operator;
use crate::server::{self, create_node, done, install_tetragons_crds};
use attacks::{ATTACKS, Attack, KINDS, PROFILES, write_report};

/// The operator's memory at 1,000 nodes, whatever happens.
const LIMIT_MIB: u64 = 128;
/// The kubelet ends the process when three checks in a row, 10 s apart, have no answer within 5 s
/// (`livenessProbe` of the Deployment). With an answer in this time it never does, and a program
/// without optimization on a busy machine has it.
const LIVENESS: Duration = Duration::from_secs(20);
const DEADLINE: Duration = Duration::from_mins(5);

/// Waits until an old policy is in force on the Node, so that the operator works.
async fn works(client: &Client, evidence: &str) {
    report(client, "n1", evidence, "1").await;
    let state = if evidence == "Denied" { "ready" } else { "not-ready" };
    labelled(client, "n1", json!({"policy.oldest": state})).await;
}

/// Waits until the process has used hardly any CPU time for three seconds: it has seen everything.
async fn rests(operator: &Operator) {
    let mut busy = (Instant::now(), operator.cpu());
    wait::until(DEADLINE, "the operator to be at rest", async || {
        let cpu = operator.cpu();
        if cpu.saturating_sub(busy.1) > Duration::from_millis(100) {
            busy = (Instant::now(), cpu);
        }
        let rest = busy.0.elapsed();
        if rest >= Duration::from_secs(3) { Ok(()) } else { Err(format!("{rest:?} of rest")) }
    })
    .await
    .unwrap();
}

/// Does that, and asks `/healthz` meanwhile. Returns the longest time without an answer.
async fn slowest_health(operator: &Operator, work: impl Future<Output = ()>) -> Duration {
    let mut slowest = Duration::ZERO;
    let mut often = tokio::time::interval(Duration::from_millis(50));
    tokio::pin!(work);
    loop {
        let asked = async {
            often.tick().await;
            let began = Instant::now();
            (operator.page("/healthz").await, began.elapsed())
        };
        tokio::select! {
            () = &mut work => return slowest,
            (answer, took) = asked => {
                // A process that has just started does not listen yet.
                if answer.is_ok_and(|page| page.code == 200) {
                    slowest = slowest.max(took);
                }
            }
        }
    }
}

fn assert_bounded(operator: &Operator, when: &str) {
    let peak = operator.peak_memory();
    println!("{peak} MiB {when}");
    assert!(peak < LIMIT_MIB, "{peak} MiB {when}, the limit is {LIMIT_MIB} MiB");
}

async fn prepare(server: &ApiServer, client: &Client) {
    install_tetragons_crds(server);
    create_node(server, "n1").await;
    let everything = json!({"require": {"tracingPolicies": {"matchLabels": {"tier": "enforce"}},
        "namespacedTracingPolicies": "Require"}, "tetragon": {}});
    apply_policy(client, "oldest", &json!({})).await;
    apply_policy(client, "everything", &everything).await;
}

/// All attacks together, each with few objects.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn floods_do_not_fill_the_operators_memory() {
    let turn = server::exclusive().await;
    let client = turn.server.client().await.unwrap();
    prepare(turn.server, &client).await;
    let operator = Operator::start(turn.server, None);
    works(&client, "Denied").await;
    assert_bounded(&operator, "before");
    let slowest = slowest_health(&operator, async {
        for attack in &ATTACKS {
            attack.write(&client, attack.few).await;
            println!("{} MiB with {} {}", operator.peak_memory(), attack.few, attack.what);
        }
        works(&client, "Attached").await;
        rests(&operator).await;
    });
    let slowest = slowest.await;
    assert_bounded(&operator, "after all floods");
    println!("/healthz answers within {slowest:?}");
    assert!(slowest < LIVENESS, "{slowest:?}");
    operator.terminate();
    let operator = Operator::start(turn.server, None);
    let slowest = slowest_health(&operator, async {
        works(&client, "Denied").await;
        rests(&operator).await;
    });
    let slowest = slowest.await;
    assert_bounded(&operator, "after a restart");
    assert!(slowest < LIVENESS, "{slowest:?}");
    operator.terminate();
    for attack in &ATTACKS {
        attack.undo(&client).await;
    }
    server::delete_tetragons_crds(turn.server);
}

fn nodes() -> usize {
    std::env::var("FLOOD_NODES").map_or(1_000, |nodes| nodes.parse().unwrap())
}

/// Creates the nodes of a cluster, with the hook profile of one kernel and a report of each.
async fn create_cluster(server: &ApiServer, client: &Client) {
    let hooks = (0..250).map(|hook| format!("kernel_hook_{hook:03}")).collect();
    let spec = LsmHookProfileSpec { kernel: "6.12 x86_64".into(), hooks, ..Default::default() };
    let digest = spec.digest();
    let profile = serde_json::to_value(LsmHookProfile::new(&digest, spec)).unwrap();
    done(client, "POST", PROFILES, &profile).await;
    let names: Vec<String> = (0..nodes()).map(|number| format!("node-{number:04}")).collect();
    stream::iter(&names)
        .for_each_concurrent(16, async |name| {
            create_node(server, name).await;
            let object = json!({"apiVersion": "lsmready.io/v1alpha1", "kind": "LsmNode"});
            done(client, "APPLY", &format!("{KINDS}/lsmnodes/{name}"), &object).await;
            let mut status = fixture::denied("1");
            status.checks.push(fixture::kernel_reads(State::Ready));
            status.hook_profile = Some(digest.clone());
            let path = format!("{KINDS}/lsmnodes/{name}/status");
            done(client, "MERGE", &path, &json!({ "status": status })).await;
        })
        .await;
}

/// Prints a row of the table for each attack. `FLOODS=3,4` measures only these.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement of many minutes"]
async fn each_attack_leaves_the_operators_memory_below_its_limit() {
    let server = server::start("memory").await;
    let client = server.client().await.unwrap();
    prepare(&server, &client).await;
    create_cluster(&server, &client).await;
    let usual = measure(&server, &client, async |_| ()).await;
    println!("| nothing | | {usual} |");
    let chosen = std::env::var("FLOODS").ok();
    let is_chosen = |number: usize| {
        chosen.as_ref().is_none_or(|all| all.split(',').any(|one| one == number.to_string()))
    };
    for (_, attack) in ATTACKS.iter().enumerate().filter(|(number, _)| is_chosen(*number)) {
        let Attack { what, many, .. } = attack;
        let row = measure(&server, &client, async |client| attack.write(client, *many).await);
        println!("| {what} | {many} | {} |", row.await);
        attack.undo(&client).await;
    }
    let row = measure(&server, &client, async |client| {
        stream::iter(0..nodes())
            .for_each_concurrent(16, async |number| {
                write_report(client.clone(), format!("node-{number:04}")).await;
            })
            .await;
    });
    println!("| reports of 190 kB, of all nodes | {} | {} |", nodes(), row.await);
}

/// The columns of one row: memory before, while the objects are written, and after a restart; the
/// slowest answer of `/healthz`; and the load of the machine.
async fn measure(server: &ApiServer, client: &Client, write: impl AsyncFnOnce(&Client)) -> String {
    let began = Instant::now();
    let operator = Operator::start(server, None);
    works(client, "Denied").await;
    rests(&operator).await;
    let before = operator.peak_memory();
    let health = slowest_health(&operator, async {
        write(client).await;
        works(client, "Attached").await;
        rests(&operator).await;
    });
    let health = health.await;
    let written = operator.peak_memory();
    operator.terminate();
    let operator = Operator::start(server, None);
    let restart = slowest_health(&operator, async {
        works(client, "Denied").await;
        rests(&operator).await;
    });
    let health = health.max(restart.await);
    let restarted = operator.peak_memory();
    operator.terminate();
    let load = std::fs::read_to_string("/proc/loadavg").unwrap();
    let load = load.split(' ').next().unwrap_or_default().to_owned();
    let (millis, seconds) = (health.as_millis(), began.elapsed().as_secs());
    format!("{before} | {written} | {restarted} | {millis} ms | {load} | {seconds} s")
}

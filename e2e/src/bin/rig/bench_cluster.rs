//! `rig bench`: latencies, writes at rest and memory of lsm-ready on a cluster of its own.
//!
//! Out: `target/bench/{check,demo,cluster,node}.json`. `bench report` prints them beside their
//! limits. A part that fails is named at the end, and the others are measured all the same.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Args;
use e2e::cluster::{Cluster, Wanted, node};
use e2e::{api, paths, request};
use kube::Client;
use serde_json::{Value, json};

use crate::bench_node::{self, spread};
use crate::{Failure, bench_check, bench_demo};

const NODE: &str = "/api/v1/nodes/host";
const REPORT: &str = "/apis/lsmready.io/v1alpha1/lsmnodes/host/status";
const POLICY: &str = "/apis/lsmready.io/v1alpha1/lsmpolicies/bench";
const DAEMON_SET: &str = "/apis/apps/v1/namespaces/default/daemonsets/bench";
/// How long nothing may be written.
const AT_REST: Duration = Duration::from_mins(1);
/// The longest time that a single change may take.
const GIVE_UP: Duration = Duration::from_secs(30);

#[derive(Args)]
pub struct Arguments {
    /// Image archives that every node is to have.
    #[arg(long, value_delimiter = ',')]
    images: Vec<PathBuf>,
}

/// Measures a check in a virtual machine, then a cluster, then the demonstration.
pub async fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let out = paths::target().join("bench");
    fs::create_dir_all(&out)?;
    for part in ["check", "cluster", "node", "demo"] {
        paths::remove_file(&out.join(format!("{part}.json")))?;
    }
    let parts = [
        ("a check", bench_check::run(&out)),
        ("the cluster", on_a_cluster(arguments, &out).await),
        ("the demonstration", bench_demo::run(&arguments.images, &out)),
    ];
    let mut code = ExitCode::SUCCESS;
    for (part, outcome) in parts {
        if let Err(error) = outcome {
            eprintln!("rig: {part} was not measured: {error}");
            code = ExitCode::FAILURE;
        }
    }
    Ok(code)
}

async fn on_a_cluster(arguments: &Arguments, out: &Path) -> Result<(), Failure> {
    eprintln!(
        "rig: a cluster, with the operator on this machine's node so that its memory can be read"
    );
    let cluster = Cluster::here();
    let nodes = node::parse(["host", "vm:lsm", "vm:nolsm"])?;
    cluster.up(&Wanted { nodes, images: arguments.images.clone() }).await?;
    cluster.enter()?;
    let measured = match install(&cluster) {
        Ok(()) => measure(&cluster, &arguments.images, out).await,
        Err(error) => Err(error),
    };
    cluster.down().await?;
    measured
}

/// Installs lsm-ready and waits for the report of every node.
fn install(cluster: &Cluster) -> Result<(), Failure> {
    let kubeconfig = cluster.kubeconfig();
    let kubectl = |line: &str| {
        let words: Vec<&str> = line.split(' ').collect();
        request::kubectl(&kubeconfig, &words).map(drop)
    };
    kubectl("cordon vm-lsm vm-nolsm")?;
    let manifests = paths::workspace().join("config/default").display().to_string();
    request::kubectl(&kubeconfig, &["apply", "-k", &manifests])?;
    kubectl(
        "-n lsm-ready-system rollout status deployment/lsm-ready-operator daemonset/lsm-ready-probe --timeout=120s",
    )?;
    for node in ["host", "vm-lsm", "vm-nolsm"] {
        kubectl(&format!("wait --for=create lsmnode/{node} --timeout=60s"))?;
        kubectl(&format!("wait --for=jsonpath={{.status.evidence}} lsmnode/{node} --timeout=60s"))?;
    }
    Ok(kubectl("uncordon vm-lsm vm-nolsm")?)
}

/// Measures the cluster, and what a node pays. The minute at rest serves both.
async fn measure(cluster: &Cluster, images: &[PathBuf], out: &Path) -> Result<(), Failure> {
    let client = api::client(&cluster.kubeconfig()).await?;
    let evidence_to_label = spread(evidence_to_label(&client, 20).await?);
    let policy_to_patch = spread(policy_to_patch(&client, 10).await?);
    let looks = bench_node::Looks::begin()?;
    let writes = writes_at_rest(cluster).await?;
    let node = bench_node::figures(cluster, images, &looks, out).await?;
    keep(&out.join("node.json"), &node)?;
    let cluster = json!({
        "evidence_to_label_ms": evidence_to_label,
        "policy_to_patch_ms": policy_to_patch,
        "writes_in_a_minute_at_rest": writes,
        "operator_resident_kib": bench_node::resident(bench_node::process("/operator")?)?,
    });
    keep(&out.join("cluster.json"), &cluster)
}

/// Prints the figures and writes them to a file.
fn keep(file: &Path, figures: &Value) -> Result<(), Failure> {
    println!("{figures}");
    Ok(fs::write(file, format!("{figures:#}\n"))?)
}

/// From the probe's report being stored to the Node's label, as a client that reads the Node sees
/// it.
async fn evidence_to_label(client: &Client, runs: usize) -> Result<Vec<u128>, Failure> {
    let before = request::done(client, "GET", REPORT, &Value::Null).await?["status"].take();
    let mut times = Vec::new();
    for run in 0..runs {
        let (evidence, reason, outcomes, label) = if run % 2 == 0 {
            ("Denied", "CanaryDenied", ["Pass", "Pass", "Pass", "Pass"], "true")
        } else {
            ("Attached", "Bench", ["Pass", "Pass", "Fail", "Unknown"], "false")
        };
        let names = ["Loaded", "Attached", "Fired", "Denied"].into_iter().zip(outcomes);
        let checks: Vec<Value> =
            names.map(|(name, outcome)| json!({"name": name, "outcome": outcome})).collect();
        let report = json!({"status": {"evidence": evidence, "reason": reason, "checks": checks}});
        let since = Instant::now();
        request::done(client, "MERGE", REPORT, &report).await?;
        let has = |node: &Value| {
            node["metadata"]["labels"]["lsmready.node-restriction.kubernetes.io/bpf"] == label
        };
        times.push(until(client, NODE, since, has).await?);
    }
    request::done(client, "MERGE", REPORT, &json!({"status": before})).await?;
    Ok(times)
}

/// From a policy being stored to the mount in the DaemonSet that it names. The DaemonSet runs
/// nowhere.
async fn policy_to_patch(client: &Client, runs: usize) -> Result<Vec<u128>, Failure> {
    request::done(client, "APPLY", DAEMON_SET, &daemon_set()).await?;
    let policy = json!({"apiVersion": "lsmready.io/v1alpha1", "kind": "LsmPolicy", "spec": {"minReady": 0,
        "tetragon": {"daemonSet": {"namespace": "default", "name": "bench"}}}});
    let volumes = |object: &Value| {
        object["spec"]["template"]["spec"]["volumes"].as_array().map_or(0, Vec::len)
    };
    let mut times = Vec::new();
    for _ in 0..runs {
        let since = Instant::now();
        request::done(client, "APPLY", POLICY, &policy).await?;
        times.push(until(client, DAEMON_SET, since, |object| volumes(object) == 1).await?);
        request::done(client, "DELETE", POLICY, &Value::Null).await?;
        until(client, DAEMON_SET, Instant::now(), |object| volumes(object) == 0).await?;
    }
    request::done(client, "DELETE", DAEMON_SET, &Value::Null).await?;
    Ok(times)
}

fn daemon_set() -> Value {
    // Only named DaemonSets, and those of Tetragon, may get the mount.
    let metadata = json!({"name": "bench", "annotations": {"lsmready.io/securityfs": "allow"}});
    json!({"apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": metadata, "spec": {
        "selector": {"matchLabels": {"app": "bench"}},
        "template": {"metadata": {"labels": {"app": "bench"}}, "spec": {
            "nodeSelector": {"example.com/no": "such-node"},
            "containers": [{"name": "tetragon", "image": "quay.io/cilium/tetragon:v1.3.0"}],
        }},
    }})
}

/// Milliseconds until the object is right. It is read again as soon as it was read.
async fn until(
    client: &Client,
    path: &str,
    since: Instant,
    is_right: impl Fn(&Value) -> bool,
) -> Result<u128, Failure> {
    while since.elapsed() < GIVE_UP {
        if is_right(&request::done(client, "GET", path, &Value::Null).await?) {
            return Ok(since.elapsed().as_millis());
        }
    }
    Err(format!("{path} did not become as it should be within {} s", GIVE_UP.as_secs()).into())
}

/// How often our two ServiceAccounts have written during a minute in which nothing changes, by the
/// API server's audit log. Renewals of the leader's Lease are left out: there are 30.
async fn writes_at_rest(cluster: &Cluster) -> Result<usize, Failure> {
    // The consequences of the measurements before are over after the debounce of a policy's status.
    wait_for(Duration::from_secs(3)).await;
    let before = fs::metadata(cluster.audit_log())?.len();
    eprintln!("rig: watching the audit log for {} s", AT_REST.as_secs());
    wait_for(AT_REST).await;
    let audit = fs::read_to_string(cluster.audit_log())?;
    let new = audit.get(usize::try_from(before)?..).unwrap_or_default().lines();
    let events = new.filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let events = events.filter(|event| event["objectRef"]["resource"] != "leases");
    let users = events.filter_map(|event| Some(event["user"]["username"].as_str()?.to_owned()));
    Ok(users.filter(|user| user.starts_with("system:serviceaccount:lsm-ready-system:")).count())
}

async fn wait_for(time: Duration) {
    // The first tick of an interval comes at once.
    let mut ticks = tokio::time::interval(time);
    ticks.tick().await;
    ticks.tick().await;
}

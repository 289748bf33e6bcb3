//! `rig bench`: latencies, writes at rest and memory of lsm-ready on a cluster of its own.
//!
//! Out: each figure beside its limit, and `target/bench/{check,cluster}.json`.

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Args;
use e2e::cluster::{Cluster, Wanted, cgroup, node};
use e2e::{api, paths, request};
use kube::Client;
use serde_json::{Value, json};

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

/// Measures a check in a virtual machine, then the demonstration, then a cluster.
pub async fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let out = paths::target().join("bench");
    fs::create_dir_all(&out)?;
    bench_check::run(&out)?;
    bench_demo::run(&arguments.images, &out)?;
    eprintln!(
        "rig: a cluster, with the operator on this machine's node so that its memory can be read"
    );
    let cluster = Cluster::here();
    let nodes = node::parse(["host", "vm:lsm", "vm:nolsm"])?;
    cluster.up(&Wanted { nodes, images: arguments.images.clone() }).await?;
    cluster.enter()?;
    let measured = match install(&cluster) {
        Ok(()) => measure(&cluster, &out.join("cluster.json")).await,
        Err(error) => Err(error),
    };
    cluster.down().await?;
    measured.map(|()| ExitCode::SUCCESS)
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

async fn measure(cluster: &Cluster, output: &PathBuf) -> Result<(), Failure> {
    let client = api::client(&cluster.kubeconfig()).await?;
    let figures = json!({
        "evidence_to_label_ms": spread(evidence_to_label(&client, 20).await?),
        "policy_to_patch_ms": spread(policy_to_patch(&client, 10).await?),
        "writes_in_a_minute_at_rest": writes_at_rest(cluster).await?,
        "probe_resident_kib": resident("/node-probe")?,
        "operator_resident_kib": resident("/operator")?,
    });
    let limits = [
        ("evidence_to_label_ms", "max", 1000),
        ("policy_to_patch_ms", "max", 1000),
        ("writes_in_a_minute_at_rest", "", 0),
        ("probe_resident_kib", "", 10 * 1024),
        ("operator_resident_kib", "", 40 * 1024),
    ];
    for (name, field, limit) in limits {
        let figure = if field.is_empty() { &figures[name] } else { &figures[name][field] };
        let verdict =
            if figure.as_u64().is_some_and(|figure| figure <= limit) { "ok" } else { "OVER" };
        println!("{name:<28} {:<40} limit {limit}: {verdict}", figures[name].to_string());
    }
    fs::write(output, format!("{figures:#}\n"))?;
    Ok(())
}

fn spread(mut times: Vec<u128>) -> Value {
    times.sort_unstable();
    json!({"min": times.first(), "median": times.get(times.len() / 2), "max": times.last(), "runs": times.len()})
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
    json!({"apiVersion": "apps/v1", "kind": "DaemonSet", "spec": {
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

/// VmRSS of the process on this machine that runs that program of one of the cluster's images, in
/// KiB.
fn resident(program: &str) -> Result<u64, Failure> {
    let runs = |pid: &u32| {
        fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|exe| exe.as_os_str() == program)
    };
    let pid = cgroup::members().into_iter().map(|process| process.pid).find(runs);
    let pid = pid.ok_or_else(|| format!("no process runs {program} on this machine"))?;
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}

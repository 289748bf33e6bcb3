//! Section probes: what thousands of probes ask of the API server.
//!
//! Each simulated probe is the daemon's own loop with a connection of its own; only the machine
//! that it checks is not there. All start at the same moment, as after an outage of everything:
//! first with the boot that their reports have, then with a new one. The client's user has a
//! ServiceAccount's place in the API server's flow control, which has its defaults.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use e2e::{api, wait};
use jiff::Timestamp;
use kube::Config;
use lsm_ready_crds::LsmNodeStatus;
use lsm_ready_crds::profile::LsmHookProfileSpec;
use node_probe::cli::{AgentArgs, LogFormat};
use node_probe::daemon::{self, machine::Machine};
use node_probe::facts::NodeInfo;
use node_probe::hooks::TrialError;
use serde::Serialize;
use tokio::sync::oneshot;
use tokio::task::LocalSet;

use crate::Failure;
use crate::fleet::{Proof, name, objects};
use crate::follow::{Follow, METADATA};
use crate::requests::Requests;
use crate::stats::{self, Quantiles, bytes, quantiles, rounded};
use crate::world::{LSM_NODES, World, say, wait_for};

/// How long the first round's last requests may take.
const SETTLE: Duration = Duration::from_secs(5);

/// What the probes of a fleet cost.
#[derive(Clone, Debug, Serialize)]
pub struct Load {
    pub probes: usize,
    /// What the API server has more of memory than before the probes came: a connection of each,
    /// and garbage of Go.
    pub api_server_kb_per_probe: f64,
    /// In a span without any change.
    pub rest: Rest,
    /// All nodes have booted, and all probes start, at the same moment.
    pub reboot: Reboot,
}

#[derive(Clone, Debug, Serialize)]
pub struct Rest {
    pub seconds: u64,
    pub requests: Requests,
    pub writes_per_second: f64,
    pub reads_per_second: f64,
    /// Watches that were begun. There must be none.
    pub watches: u64,
    /// Of one CPU.
    pub api_server_cpu_share: f64,
    pub api_server_rss_bytes: u64,
}

#[derive(Clone, Debug, Serialize)]
pub struct Reboot {
    /// From the start until the report of each node was seen.
    pub report_seconds: Quantiles,
    pub requests: Requests,
    /// Requests for each probe, until all reports were there.
    pub requests_per_probe: f64,
    pub api_server_cpu_seconds: f64,
}

const OURS: [&str; 3] = ["nodes", "lsmnodes", "lsmhookprofiles"];
const WRITES: [&str; 5] = ["POST", "PUT", "PATCH", "APPLY", "DELETE"];
const ALL_REPORT: Duration = Duration::from_mins(5);

/// Measures so many probes. No operator may run.
pub async fn measure(world: &World, count: usize, rest: Duration) -> Result<Load, Failure> {
    let kubeconfig = world.kubeconfig_of_an_account("bench-probe").await?;
    say(&format!("{count} probes start"));
    let before = Requests::read(&world.client, &OURS).await?;
    let memory = world.api_server().rss_bytes;
    let running = Running::start(&kubeconfig, count, 0)?;
    // Each gets its Node, its LsmNode and the profile, and sets the owner.
    wait::until(ALL_REPORT, "the first round of all probes", async || {
        let requests = Requests::read(&world.client, &OURS).await.map_err(text)?;
        let gets = requests.since(&before).of(&["GET"]);
        let all_checked = running.checks() >= count;
        let is_done = gets >= number_of(count) * 2 && all_checked;
        if is_done { Ok(()) } else { Err(format!("{gets} requests")) }
    })
    .await?;
    wait_for(SETTLE).await;
    say(&format!("{count} probes at rest for {} s", rest.as_secs()));
    let rest = at_rest(world, rest).await?;
    let more = rest.api_server_rss_bytes.saturating_sub(memory);
    let api_server_kb_per_probe = rounded(bytes(more) / 1000.0 / stats::count(count));
    running.stop();
    say("all nodes have booted, and all probes start at once");
    let reboot = reboot(world, &kubeconfig, count).await?;
    Ok(Load { probes: count, api_server_kb_per_probe, rest, reboot })
}

async fn at_rest(world: &World, rest: Duration) -> Result<Rest, Failure> {
    let before = Requests::read(&world.client, &OURS).await?;
    let cpu = world.api_server().cpu_seconds;
    wait_for(rest).await;
    let usage = world.api_server();
    let requests = Requests::read(&world.client, &OURS).await?.since(&before);
    let per_second = |count: u64| rounded(bytes(count) / rest.as_secs_f64());
    Ok(Rest {
        seconds: rest.as_secs(),
        writes_per_second: per_second(requests.of(&WRITES)),
        reads_per_second: per_second(requests.of(&["GET", "LIST"])),
        watches: requests.of(&["WATCH"]),
        requests,
        api_server_cpu_share: rounded((usage.cpu_seconds - cpu) / rest.as_secs_f64()),
        api_server_rss_bytes: usage.rss_bytes,
    })
}

async fn reboot(world: &World, kubeconfig: &Path, count: usize) -> Result<Reboot, Failure> {
    let reports = Follow::start(&world.client, LSM_NODES, METADATA).await?;
    reports.with(|seen| seen.firsts = Some(HashMap::new()));
    let before = Requests::read(&world.client, &OURS).await?;
    let (began, cpu) = (Instant::now(), world.api_server().cpu_seconds);
    let running = Running::start(kubeconfig, count, 1)?;
    wait::until(ALL_REPORT, "the reports of all probes", async || {
        let seen = reports.with(|seen| seen.firsts.as_ref().map_or(0, HashMap::len));
        if seen >= count { Ok(()) } else { Err(format!("{seen} reports")) }
    })
    .await?;
    let requests = Requests::read(&world.client, &OURS).await?.since(&before);
    let cpu = world.api_server().cpu_seconds - cpu;
    running.stop();
    let firsts = reports.with(|seen| seen.firsts.take()).unwrap_or_default();
    let seconds = firsts.values().map(|at| at.duration_since(began).as_secs_f64()).collect();
    let all: u64 = requests.by_verb.values().sum();
    Ok(Reboot {
        report_seconds: quantiles(seconds),
        requests_per_probe: rounded(bytes(all) / stats::count(count)),
        requests,
        api_server_cpu_seconds: rounded(cpu),
    })
}

fn number_of(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

#[expect(clippy::needless_pass_by_value, reason = "as map_err wants it")]
fn text(error: Failure) -> String {
    error.to_string()
}

/// Probes that run on a thread of their own.
struct Running {
    checks: Arc<AtomicUsize>,
    stop: oneshot::Sender<()>,
    thread: JoinHandle<Result<(), String>>,
}

impl Running {
    /// Starts them all at once. `boots` is how often each machine has booted.
    fn start(kubeconfig: &Path, count: usize, boots: usize) -> Result<Self, Failure> {
        let (stop, stopped) = oneshot::channel();
        let checks = Arc::new(AtomicUsize::new(0));
        let (kubeconfig, counted) = (kubeconfig.to_owned(), checks.clone());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let thread = std::thread::spawn(move || {
            let set = LocalSet::new();
            let run = async move {
                let config = api::config(&kubeconfig).await.map_err(|error| error.to_string())?;
                for node in 0..count {
                    let machine = FakeMachine { node, boots, checks: counted.clone() };
                    tokio::task::spawn_local(probe(config.clone(), machine));
                }
                // The sender is dropped if the measurement fails.
                let _ = stopped.await;
                Ok(())
            };
            // What still runs is dropped with the set.
            set.block_on(&runtime, run)
        });
        Ok(Self { checks, stop, thread })
    }

    /// How many checks were made.
    fn checks(&self) -> usize {
        self.checks.load(Ordering::Relaxed)
    }

    fn stop(self) {
        drop(self.stop);
        if let Ok(Err(error)) = self.thread.join() {
            say(&format!("the probes ended: {error}"));
        }
    }
}

async fn probe(config: Config, machine: FakeMachine) {
    let args = AgentArgs {
        node_name: name(machine.node),
        check_interval: Duration::from_mins(5),
        renew_interval: Duration::from_mins(30),
        look_interval: Duration::from_secs(9),
        deadline: Duration::from_secs(30),
        log_format: LogFormat::Text,
    };
    // Each has its own client, and so a connection of its own.
    match daemon::client(config) {
        Ok(client) => daemon::work(&client, &args, &machine).await,
        Err(error) => say(&format!("no client for {}: {error}", args.node_name)),
    }
}

/// A machine that can deny.
struct FakeMachine {
    node: usize,
    boots: usize,
    checks: Arc<AtomicUsize>,
}

impl Machine for FakeMachine {
    async fn check(&self, _node: NodeInfo) -> Option<LsmNodeStatus> {
        self.checks.fetch_add(1, Ordering::Relaxed);
        let mut report = objects::report(self.node, Proof::Denied, "", Timestamp::now());
        report.hook_profile = None;
        if self.boots > 0 {
            report.boot_id = format!("{}-{}", report.boot_id, self.boots);
        }
        Some(report)
    }

    async fn try_hooks(&self) -> Result<LsmHookProfileSpec, TrialError> {
        Ok(objects::profile().spec)
    }
}

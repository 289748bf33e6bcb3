//! `node-probe agent`: checks this node again and again, and keeps its LsmNode true.
//!
//! In: the node's name, intervals, the API server. Out: this node's LsmNode, and a log.
//!
//! # Flow
//! Each round looks at the Node and its LsmNode, checks this machine in a child process, and writes
//! what [`plan`] says: nothing at all while nothing but time has changed and the renewal is not
//! due. Once a boot, after the first check that shows that LSM programs load, it tries the kernel's
//! hooks in another child process, publishes what it found as an LsmHookProfile and names that in
//! the LsmNode.
//!
//! # Guarantees
//! Trouble with the API never ends it: it says what it waits for and tries again, ever more slowly.
//! SIGTERM ends it at once, and the canary's process with it. This process itself never reads BTF,
//! so it stays small.

pub mod hooks;
pub mod plan;
mod publish;
#[cfg(test)]
mod scenarios;
pub mod schedule;
mod write;

use std::io::IsTerminal;
use std::process::ExitCode;
use std::time::Duration;

use kube::Client;
use lsm_ready_crds::LsmNodeStatus;
use lsm_ready_crds::profile::LsmHookProfileSpec;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::{info, warn};

use crate::cli::{AgentArgs, LogFormat};
use crate::commands::check::check;
use crate::facts::NodeInfo;
use crate::hooks::{DEADLINE, TrialError, run as try_hooks};
use hooks::Hooks;
use write::{Error, Node};

/// Where the agent cannot even begin.
const CANNOT_START: u8 = 70;

/// Runs until a signal ends it.
pub fn main(args: &AgentArgs) -> ExitCode {
    log_to_stderr(args.log_format);
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!(%error, "cannot start");
            return ExitCode::from(CANNOT_START);
        }
    };
    let code = runtime.block_on(async {
        let (mut terminate, mut interrupt) = match signals() {
            Ok(signals) => signals,
            Err(error) => {
                tracing::error!(%error, "cannot listen for signals");
                return ExitCode::from(CANNOT_START);
            }
        };
        info!(node = args.node_name, version = env!("CARGO_PKG_VERSION"), "the probe starts");
        tokio::select! {
            () = rounds(args) => {}
            _ = terminate.recv() => info!("SIGTERM: the probe ends"),
            _ = interrupt.recv() => info!("SIGINT: the probe ends"),
        }
        ExitCode::SUCCESS
    });
    // A check that is under way is not waited for: its canary dies with the thread that started it.
    runtime.shutdown_background();
    code
}

fn signals() -> std::io::Result<(Signal, Signal)> {
    Ok((signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?))
}

fn log_to_stderr(format: LogFormat) {
    let log = tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_max_level(tracing::Level::INFO);
    match format {
        LogFormat::Text => log.with_target(false).init(),
        LogFormat::Json => log.json().flatten_event(true).with_target(false).init(),
    }
}

/// Checks and writes, for ever.
async fn rounds(args: &AgentArgs) {
    let client = until_it_works("the API server's address and this pod's token", async || {
        write::connect().await
    })
    .await;
    let (mut told, mut hooks) = (None, Hooks::default());
    loop {
        let node =
            until_it_works("the Node", async || write::node(&client, &args.node_name).await).await;
        let Some(status) = looked_at(args.deadline, node.info.clone()).await else {
            continue;
        };
        tell(&status, &mut told);
        if !written(&client, args, &node, &status, &mut hooks).await {
            continue;
        }
        // The evidence does not wait for the hooks, which take longer.
        if hooks.is_due(status.evidence) {
            hooks.learn(hooks_tried().await);
            if !written(&client, args, &node, &status, &mut hooks).await {
                continue;
            }
        }
        tokio::time::sleep(schedule::spread(args.check_interval, schedule::chance())).await;
    }
}

/// Writes what was found, for as long as it is news: after an interval the next check is made
/// rather than this written.
async fn written(
    client: &Client,
    args: &AgentArgs,
    node: &Node,
    status: &LsmNodeStatus,
    hooks: &mut Hooks,
) -> bool {
    let write = async || round(client, args, node, status, hooks).await;
    let written = tokio::time::timeout(args.check_interval, until_it_works("the LsmNode", write))
        .await
        .is_ok();
    if !written {
        warn!("the LsmNode could not be written for a whole interval; checking again");
    }
    written
}

/// One hook trial, on a thread of its own, which its process dies with.
async fn hooks_tried() -> Result<LsmHookProfileSpec, TrialError> {
    let tried = tokio::task::spawn_blocking(|| try_hooks(DEADLINE)).await;
    let trial = tried
        .unwrap_or_else(|error| Err(TrialError(format!("the hook trial itself failed: {error}"))));
    match &trial {
        Ok(profile) => info!(
            attachable = profile.hooks.len(),
            sleepable = profile.sleepable_hooks.len(),
            refused = profile.refused_hooks.len(),
            "the hooks were tried"
        ),
        Err(absence) => warn!(%absence, "the hooks could not be tried"),
    }
    trial
}

/// One check, on a thread of its own, which the canary's process dies with.
async fn looked_at(deadline: Duration, node: NodeInfo) -> Option<LsmNodeStatus> {
    match tokio::task::spawn_blocking(move || check(deadline, Some(&node))).await {
        Ok(report) => Some(report.into_status()),
        Err(error) => {
            warn!(%error, "the check itself failed; trying again");
            tokio::time::sleep(schedule::backoff(0, schedule::chance())).await;
            None
        }
    }
}

/// Logs a result that is not the one before.
fn tell(status: &LsmNodeStatus, told: &mut Option<String>) {
    let now = format!("{}/{}", status.evidence.as_str(), status.reason);
    if told.as_ref() != Some(&now) {
        info!(
            evidence = status.evidence.as_str(),
            reason = status.reason,
            message = status.message,
            "checked"
        );
        *told = Some(now);
    }
}

async fn round(
    client: &Client,
    args: &AgentArgs,
    node: &Node,
    found: &LsmNodeStatus,
    hooks: &mut Hooks,
) -> Result<(), Error> {
    // 1. What is there.
    let present = write::lsm_node(client, &args.node_name).await?;
    if let Some(digest) = hooks.adoptable(present.as_ref(), &found.boot_id)
        && publish::is_there(client, digest).await?
    {
        hooks.adopt(digest);
    }
    // 2. What it should say. A profile is looked for only when the report that names it is to be
    //    written.
    let (now, renew) =
        (jiff::Timestamp::now(), schedule::renewal(args.renew_interval, &args.node_name));
    let planned = |profile: Option<String>| {
        let status = LsmNodeStatus { hook_profile: profile, ..found.clone() };
        plan::plan(&node.identity, present.as_ref(), &status, now, renew)
    };
    let mut plan = planned(hooks.digest());
    if plan.status.is_some() && hooks.known().is_some() && !publish::stands(client, hooks).await? {
        plan = planned(None);
    }
    // 3. Write what differs.
    write::carry_out(client, &args.node_name, &plan).await?;
    if !plan.is_empty() {
        info!(writes = plan.describe(), "the LsmNode is written");
    }
    Ok(())
}

/// Tries until it works, ever more slowly, and says what it waits for.
async fn until_it_works<T>(what: &str, mut attempt: impl AsyncFnMut() -> Result<T, Error>) -> T {
    let mut failures = 0;
    loop {
        match attempt().await {
            Ok(value) => return value,
            Err(error) => {
                let pause = schedule::backoff(failures, schedule::chance());
                failures += 1;
                warn!(%error, again_in = ?pause, "waiting for {what}");
                tokio::time::sleep(pause).await;
            }
        }
    }
}

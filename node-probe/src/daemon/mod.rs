//! `node-probe agent`: the probe daemon, which checks this node again and again and keeps its
//! LsmNode up to date.
//!
//! In: the node's name, intervals, the API server. Out: this node's LsmNode, and a log.
//!
//! # Flow
//! Each round reads the Node and its LsmNode, checks this machine in a child process, and writes
//! what [`plan`] returns. While only the time differs and the renewal is not due, it writes
//! nothing. Once per boot, after the first check that shows that LSM programs load, the daemon
//! makes the hook trial in another child process, publishes the result as an LsmHookProfile, and
//! names that profile in the LsmNode.
//!
//! Between two rounds it [`look`]s whether both objects are still as it left them. If somebody has
//! changed or deleted one, the next round starts at once.
//!
//! # Guarantees
//! A report that was deleted or changed is back within a minute, and so is a profile. Errors of the
//! API server never end the daemon: it logs what it waits for and retries with growing pauses.
//! SIGTERM ends it at once, and the canary's process with it. This process never parses BTF, so it
//! stays small.

pub mod hooks;
mod look;
pub mod machine;
pub mod plan;
mod publish;
mod round;
#[cfg(test)]
mod scenarios;
pub mod schedule;
mod write;

use std::io::IsTerminal;

use kube::Client;
use lsm_ready_crds::{ExitCode, LsmNodeStatus};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::Instant;
use tracing::{error, info, warn};

use crate::cli::{AgentArgs, LogFormat};
use machine::{Machine, ThisMachine};
use round::{Memory, Round};
use schedule::{Failure, Looks};
use write::Error;
pub use write::client;

/// Runs until a signal ends it.
pub fn main(args: &AgentArgs) -> ExitCode {
    log_to_stderr(args.log_format);
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            error!(%error, "cannot start the async runtime");
            return ExitCode::CannotBeJudged;
        }
    };
    let code = match runtime.block_on(run(args)) {
        Ok(()) => ExitCode::Holds,
        Err(error) => {
            error!(%error, "cannot listen for signals");
            ExitCode::CannotBeJudged
        }
    };
    // A check that is still running is not awaited: its canary dies with the thread that started
    // it.
    runtime.shutdown_background();
    code
}

async fn run(args: &AgentArgs) -> std::io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    info!(node = args.node_name, version = env!("CARGO_PKG_VERSION"), "the probe starts");
    tokio::select! {
        () = rounds(args) => {}
        _ = terminate.recv() => info!("the probe ends: SIGTERM"),
        _ = interrupt.recv() => info!("the probe ends: SIGINT"),
    }
    Ok(())
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

/// Connects, and works for ever.
async fn rounds(args: &AgentArgs) {
    let client = retry("the API server's address and this pod's token", write::connect).await;
    work(&client, args, &ThisMachine { deadline: args.deadline }).await;
}

/// Checks that machine and writes what was found, for ever.
pub async fn work(client: &Client, args: &AgentArgs, machine: &impl Machine) {
    let (mut memory, mut looks, mut logged) = (Memory::default(), Looks::default(), None);
    loop {
        if one_round(client, args, machine, &mut memory, &mut logged).await {
            pause(client, args, &mut memory, &mut looks).await;
        }
    }
}

/// Returns whether the report was written. If not, the next round starts at once.
async fn one_round(
    client: &Client,
    args: &AgentArgs,
    machine: &impl Machine,
    memory: &mut Memory,
    logged: &mut Option<String>,
) -> bool {
    let node = retry("the Node", async || write::node(client, &args.node_name).await).await;
    let Some(found) = machine.check(node.info.clone()).await else {
        tokio::time::sleep(schedule::backoff(0, Failure::Other, schedule::chance())).await;
        return false;
    };
    log_change(&found, logged);
    let round = Round { client, args, node: &node, found: &found };
    // The evidence is written first, because the hook trial takes longer.
    if !write_in_time(&round, memory).await {
        return false;
    }
    if !memory.hooks.is_due(found.evidence) {
        return true;
    }
    memory.hooks.learn(machine.try_hooks().await);
    write_in_time(&round, memory).await
}

/// Writes the report, with retries for at most one interval. After that, a new check is more useful
/// than this report.
async fn write_in_time(round: &Round<'_>, memory: &mut Memory) -> bool {
    let write = retry("the LsmNode", async || round.write(memory).await);
    let is_written = tokio::time::timeout(round.args.check_interval, write).await.is_ok();
    if !is_written {
        warn!("the LsmNode could not be written within the check interval: checking again");
    }
    is_written
}

/// Waits for the time of the next check, or until somebody else has changed or deleted what this
/// daemon has written.
async fn pause(client: &Client, args: &AgentArgs, memory: &mut Memory, looks: &mut Looks) {
    let next_check = Instant::now() + schedule::spread(args.check_interval, schedule::chance());
    let mut profile_look = Instant::now() + schedule::PROFILE_LOOK;
    let mut is_answered = true;
    loop {
        let next_look = Instant::now() + looks.pause(args.look_interval, schedule::chance());
        tokio::time::sleep_until(next_look.min(next_check)).await;
        if next_check <= next_look {
            return;
        }
        let with_profile = profile_look <= Instant::now();
        if with_profile {
            profile_look = Instant::now() + schedule::PROFILE_LOOK;
        }
        match look(client, args, memory, with_profile).await {
            Ok(is_changed) => {
                looks.learn(is_changed);
                is_answered = true;
                if is_changed {
                    return;
                }
            }
            Err(error) => {
                if Failure::of(error.code()) == Failure::Throttled {
                    looks.learn(true);
                }
                // One line for an outage: the next look is soon.
                if is_answered {
                    warn!(%error, "the next looks will try again");
                }
                is_answered = false;
            }
        }
    }
}

/// Whether somebody else has changed or deleted the report, or the profile.
async fn look(
    client: &Client,
    args: &AgentArgs,
    memory: &mut Memory,
    with_profile: bool,
) -> Result<bool, Error> {
    let Some(left) = &memory.left else {
        return Ok(true);
    };
    if look::report_differs(client, &args.node_name, left).await? {
        warn!("somebody else has changed or deleted the LsmNode: checking again");
        // With the CRD of one kind, that of the other may be gone.
        memory.hooks.look_again();
        return Ok(true);
    }
    if with_profile && look::profile_differs(client, &memory.hooks).await? {
        warn!("the LsmHookProfile is missing or another one: publishing it again");
        memory.hooks.look_again();
        return Ok(true);
    }
    Ok(false)
}

/// Logs a result that differs from the last one.
fn log_change(status: &LsmNodeStatus, logged: &mut Option<String>) {
    let now = format!("{}/{}", status.evidence.as_str(), status.reason);
    if logged.as_ref() != Some(&now) {
        info!(
            evidence = status.evidence.as_str(),
            reason = status.reason,
            message = status.message,
            "checked"
        );
        *logged = Some(now);
    }
}

/// Repeats the attempt until it succeeds, with growing pauses, and logs what it waits for.
async fn retry<T>(what: &str, mut attempt: impl AsyncFnMut() -> Result<T, Error>) -> T {
    let mut failures = 0;
    loop {
        match attempt().await {
            Ok(value) => return value,
            Err(error) => {
                let failure = Failure::of(error.code());
                let pause = schedule::backoff(failures, failure, schedule::chance());
                failures += 1;
                warn!(%error, retry_in = ?pause, "waiting for {what}");
                tokio::time::sleep(pause).await;
            }
        }
    }
}

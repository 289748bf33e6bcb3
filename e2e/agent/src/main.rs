//! An agent that does for real what decides about Tetragon's LSM policies, for clusters where its image cannot be had.
//!
//! In: the release whose behaviour is wanted, its configuration, TracingPolicies. Out: LSM programs that really deny, or
//! the error that the release ends in; told by gRPC, by a metric and in the log, where Tetragon tells it. `README.md`
//! beside this crate has a row for each behaviour with its source. Called as `tetra` it is the client that asks an agent.

mod api;
mod btf;
mod config;
mod detect;
mod enforce;
mod metrics;
mod played;
mod policy;
mod serve;
mod shape;
mod table;
mod tetra;
mod try_open;
mod watch;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};

use config::{Flags, Settings};

/// An agent with the behaviour of a release of Tetragon, as far as its LSM policies go.
#[derive(Parser)]
#[command(name = "tetragon")]
struct Cli {
    #[command(flatten)]
    flags: Flags,
    #[command(subcommand)]
    action: Option<Action>,
}

#[derive(Subcommand)]
enum Action {
    /// Open a file for writing and for reading, and say what came of it. A refusal is an answer, and no failure.
    Open {
        /// The file.
        path: PathBuf,
    },
    /// Answer what a file lists, and look at no kernel and no cluster.
    Play {
        /// The policies, as `tetra tracingpolicy list -o json` prints them.
        path: PathBuf,
    },
    /// Do nothing until a signal comes.
    Wait,
}

#[tokio::main]
async fn main() -> ExitCode {
    let name = std::env::args_os().next().unwrap_or_default();
    let outcome = if Path::new(&name).file_name().is_some_and(|name| name == "tetra") {
        tetra::run(tetra::Cli::parse()).await
    } else {
        run(Cli::parse()).await
    };
    outcome.unwrap_or_else(|error| {
        println!("level=error msg=\"{error:#}\"");
        ExitCode::FAILURE
    })
}

async fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    match cli.action {
        Some(Action::Open { path }) => {
            println!("{}", try_open::report(&path));
            Ok(ExitCode::SUCCESS)
        }
        Some(Action::Play { path }) => {
            play(&Settings::read(cli.flags)?, &path).await.map(|()| ExitCode::SUCCESS)
        }
        Some(Action::Wait) => serve::ended()?.await.map(|()| ExitCode::SUCCESS),
        None => agent(&Settings::read(cli.flags)?).await.map(|()| ExitCode::SUCCESS),
    }
}

/// How long Tetragon loads its own programs before it knows a policy; about 7 s under emulation.
const BASE_PROGRAMS: Duration = Duration::from_secs(3);

/// Finds out once whether LSM policies can be loaded, then serves and watches until a signal comes.
///
/// Metrics are served at once. Everything else waits until the kinds of policies exist and the agent's own programs are
/// loaded; until then the metrics are all zero, whatever policies there are.
async fn agent(settings: &Settings) -> anyhow::Result<()> {
    // First of all, as the first process of a container ignores a signal that it does not handle.
    let ended = serve::ended()?;
    let detected = detect::detect(settings.release);
    println!("{}", detected.log);
    let policies = table::Policies::new(detected.lsm);
    let told = policies.clone();
    let source = shape::Source::new(settings.release, move || told.statuses());
    let started = async {
        let client = watch::client().await;
        watch::wait_for_kinds(client.as_ref()).await;
        tokio::time::sleep(BASE_PROGRAMS).await;
        tokio::try_join!(serve::serve(settings, &source), watch::watch(client, &policies)).map(drop)
    };
    tokio::select! {
        ended = ended => ended,
        served = serve::serve_metrics_where_set(settings, &source) => served,
        started = started => started,
    }
}

/// Serves what a file lists until a signal comes.
async fn play(settings: &Settings, path: &Path) -> anyhow::Result<()> {
    let ended = serve::ended()?;
    let policies = played::read(path)?;
    let source = shape::Source::new(settings.release, move || policies.clone());
    let served = async {
        tokio::try_join!(
            serve::serve(settings, &source),
            serve::serve_metrics_where_set(settings, &source)
        )
        .map(drop)
    };
    tokio::select! {
        ended = ended => ended,
        served = served => served,
    }
}

//! The test agent: it does for real what decides about Tetragon's LSM policies, where Tetragon's
//! image cannot be pulled.
//!
//! In: the release whose behaviour is wanted, its configuration, TracingPolicies. Out: LSM programs
//! that really deny, or the error of that release; by gRPC, as a metric and in the log, as Tetragon
//! does it. `README.md` beside this crate has a row for each behaviour with its source. Called as
//! `tetra` it is the client that asks an agent.

mod btf;
mod config;
mod detect;
mod enforce;
mod json;
mod messages;
mod metrics;
mod policies;
mod policy;
mod release;
mod scripted;
mod serve;
mod service;
mod states;
mod tetra;
mod try_open;
mod watch;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};

use config::{Flags, Settings};

/// The test agent: it handles LSM policies as a release of Tetragon does.
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
    /// Opens a file for writing and for reading, and prints both outcomes. A refusal is an outcome,
    /// not a failure.
    Open {
        /// The file.
        path: PathBuf,
    },
    /// Serves the policies of a file, without a kernel and without a cluster.
    Scripted {
        /// The policies, as `tetra tracingpolicy list -o json` prints them.
        path: PathBuf,
    },
    /// Does nothing until a signal comes.
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
        Some(Action::Scripted { path }) => {
            serve_file(&Settings::read(cli.flags)?, &path).await.map(|()| ExitCode::SUCCESS)
        }
        Some(Action::Wait) => serve::ended()?.await.map(|()| ExitCode::SUCCESS),
        None => agent(&Settings::read(cli.flags)?).await.map(|()| ExitCode::SUCCESS),
    }
}

/// How long the agent takes to load its own programs before it loads policies. Tetragon takes about
/// 7 s under emulation.
const BASE_PROGRAMS: Duration = Duration::from_secs(3);

/// Finds out once whether LSM policies can be loaded, then serves and watches until a signal comes.
///
/// Metrics are served at once. Everything else waits until the kinds of policies exist and the
/// agent's own programs are loaded. Until then all metrics are zero, whatever policies exist.
async fn agent(settings: &Settings) -> anyhow::Result<()> {
    // First of all: the first process of a container ignores every signal that it does not handle.
    let ended = serve::ended()?;
    let detected = detect::detect(settings.release);
    println!("{}", detected.log);
    let policies = policies::Policies::new(detected.lsm);
    let shared = policies.clone();
    let source = release::Source::new(settings.release, move || shared.statuses());
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
async fn serve_file(settings: &Settings, path: &Path) -> anyhow::Result<()> {
    let ended = serve::ended()?;
    let policies = scripted::read(path)?;
    let source = release::Source::new(settings.release, move || policies.clone());
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

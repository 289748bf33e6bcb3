//! `bench`: measures lsm-ready at scale, on a real API server and etcd of its own.
//!
//! In: how many nodes and policies, and which sections. Out: progress on standard error, a table on
//! standard output, and `target/bench/*.json`. docs/scale.md explains the figures.

mod arguments;
mod audit;
mod bad_input;
mod convergence;
mod course;
mod figures;
mod fleet;
mod follow;
mod growth;
mod joining;
mod latency;
mod markdown;
mod nfd;
mod operator;
mod probes;
mod raw;
mod report;
mod requests;
mod scale;
mod shared;
mod smoke;
mod start;
mod stats;
mod truth;
mod usage;
mod world;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// What a measurement fails with.
type Failure = Box<dyn std::error::Error>;

/// Measures lsm-ready at scale. OPERATOR=FILE measures another program than the release binary.
#[derive(Parser)]
#[command(name = "bench")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Measures thousands of nodes, section by section.
    Scale(arguments::Arguments),
    /// A thousand nodes within a minute: fails if a limit does not hold.
    Smoke,
    /// Prints the table of what has been measured, beside bench/baseline.json, and what got worse.
    Report(report::Arguments),
}

// Two threads, as the operator has.
#[tokio::main(worker_threads = 2)]
async fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Scale(arguments) => scale::run(&arguments).await,
        Command::Smoke => smoke::run().await,
        Command::Report(arguments) => report::run(&arguments),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}

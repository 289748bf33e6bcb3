//! `rig`: the machinery of tests and the demonstration, as one program.
//!
//! `make help` lists what people do with it; `rig help` lists its commands.

mod api;
mod bench_check;
mod bench_cluster;
mod bench_demo;
mod bench_node;
mod cluster;
mod image;
mod kernels;
mod vm;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// What a command fails with.
type Failure = Box<dyn std::error::Error>;

/// Real clusters, API servers, virtual machines and images on this machine.
#[derive(Parser)]
#[command(name = "rig")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// etcd and an API server alone, on loopback. No root needed.
    #[command(subcommand)]
    Api(api::Action),
    /// Measures what users wait for and pay; writes target/bench/*.json.
    Bench(bench_cluster::Arguments),
    /// A real Kubernetes cluster, inside a network namespace of its own. Needs root.
    #[command(subcommand)]
    Cluster(cluster::Action),
    /// Container images without Docker, as OCI archives.
    #[command(subcommand)]
    Image(image::Action),
    /// Stock kernels in virtual machines.
    #[command(subcommand)]
    Kernels(kernels::Action),
    /// Boots a kernel, runs a static program in it, and passes its output and exit code on.
    Vm(vm::Arguments),
}

// One thread, as the network namespace of a cluster belongs to a thread.
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Api(action) => api::run(action).await,
        Command::Bench(arguments) => bench_cluster::run(&arguments).await,
        Command::Cluster(action) => cluster::run(action).await,
        Command::Image(action) => image::run(action),
        Command::Kernels(action) => kernels::run(action),
        Command::Vm(arguments) => Ok(vm::run(arguments)),
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("rig: {error}");
        ExitCode::FAILURE
    })
}

//! `api up|down`: etcd and kube-apiserver alone, on loopback, with their state in `target/e2e/api/`.
//!
//! `up` prints the kubeconfig's path as the last line of its output and does nothing else when it already runs.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use e2e::{api, paths};

/// A real API server on loopback; no root needed.
#[derive(Parser)]
struct Cli {
    #[command(subcommand)]
    command: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Start it unless it runs, and print its kubeconfig's path.
    Up,
    /// End it and remove its state.
    Down,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let dir = paths::state().join("api");
    let outcome = match Cli::parse().command {
        Action::Up => api::up(&dir).await.map(|kubeconfig| println!("{}", kubeconfig.display())),
        Action::Down => api::down(&dir).await,
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("api: {error}");
            ExitCode::FAILURE
        }
    }
}

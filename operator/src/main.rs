//! The operator's process: see [`lsm_ready_operator::run`].

use std::process::ExitCode;

use clap::Parser;
use lsm_ready_operator::run::{self, cli::Cli, telemetry};
use tracing::error;

#[tokio::main(worker_threads = 2)]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    if let Err(error) = telemetry::start(&cli.log, cli.log_format) {
        eprintln!("operator: --log {:?} names no log level: {error}", cli.log);
        return ExitCode::from(64);
    }
    match run::run(cli).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            error!(%error, "ended");
            ExitCode::FAILURE
        }
    }
}

//! The operator's process: see [`lsm_ready_operator::run`].

use std::process::ExitCode;

use lsm_ready_crds::ExitCode::WrongUse;
use lsm_ready_operator::run::{self, cli::Cli, telemetry};
use tracing::error;

fn main() -> ExitCode {
    run::memory::set_up();
    operate()
}

#[tokio::main(worker_threads = 2)]
async fn operate() -> ExitCode {
    let cli = match Cli::parse_or_exit_code(std::env::args_os()) {
        Ok(cli) => cli,
        Err(exit_code) => return exit_code,
    };
    if let Err(error) = telemetry::start(&cli.log, cli.log_format) {
        eprintln!("operator: {error}");
        return WrongUse.into();
    }
    match run::run(cli).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            error!(%error, "stopped");
            ExitCode::FAILURE
        }
    }
}

//! The operator's process: from its command line to its exit code.
//!
//! It is in the library, and not in the program, because the compiler translates a future where it
//! is awaited: a program that awaited [`super::run`] would translate the whole operator again.

use std::process::ExitCode;

use lsm_ready_crds::ExitCode::WrongUse;
use tracing::error;

use super::cli::Cli;
use super::{memory, run, telemetry};

/// Does what the command line says.
pub fn main() -> ExitCode {
    memory::set_up();
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
    match run(cli).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            error!(%error, "stopped");
            ExitCode::FAILURE
        }
    }
}

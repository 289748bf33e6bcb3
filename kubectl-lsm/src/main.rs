//! The `kubectl-lsm_ready` command, which kubectl runs as `kubectl lsm-ready`.

use std::process::ExitCode;

use clap::Parser;
use clap::error::ErrorKind;
use kubectl_lsm::{cli::Cli, exit, run};

fn main() -> ExitCode {
    match Cli::try_parse() {
        Ok(cli) => run(&cli),
        Err(error) => {
            // Nothing can be done where even this cannot be printed.
            error.print().ok();
            match error.kind() {
                ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => ExitCode::SUCCESS,
                _ => ExitCode::from(exit::USAGE),
            }
        }
    }
}

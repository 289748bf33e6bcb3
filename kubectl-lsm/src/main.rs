//! The command `kubectl-lsm_ready`, which kubectl runs as `kubectl lsm-ready`.

use std::process::ExitCode;

use clap::Parser;
use clap::error::ErrorKind;
use kubectl_lsm::cli::Cli;
use kubectl_lsm::run;
use lsm_ready_crds::ExitCode as Code;

fn main() -> ExitCode {
    match Cli::try_parse() {
        Ok(cli) => run(&cli),
        Err(error) => {
            // Where printing fails, the exit code still says what happened.
            error.print().ok();
            match error.kind() {
                ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => ExitCode::SUCCESS,
                _ => Code::WrongUse.into(),
            }
        }
    }
}

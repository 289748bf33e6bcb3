//! The `node-probe` command.

use std::process::ExitCode;

use clap::Parser;
use clap::error::ErrorKind;
use node_probe::{cli::Cli, exit, run};

fn main() -> ExitCode {
    match Cli::try_parse() {
        Ok(cli) => run(cli),
        Err(error) => {
            // If even this cannot be printed, there is nobody to tell.
            error.print().ok();
            match error.kind() {
                ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => ExitCode::SUCCESS,
                _ => ExitCode::from(exit::WRONG_USE),
            }
        }
    }
}

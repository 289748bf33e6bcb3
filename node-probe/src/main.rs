//! The `node-probe` command.

use clap::Parser;
use clap::error::ErrorKind;
use lsm_ready_crds::ExitCode;
use node_probe::cli::Cli;
use node_probe::run;

fn main() -> std::process::ExitCode {
    let code = match Cli::try_parse() {
        Ok(cli) => run(cli),
        Err(error) => {
            // If even this cannot be printed, there is nobody to tell.
            error.print().ok();
            match error.kind() {
                ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => ExitCode::Holds,
                _ => ExitCode::WrongUse,
            }
        }
    };
    code.into()
}

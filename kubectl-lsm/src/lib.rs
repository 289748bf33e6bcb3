//! `kubectl lsm-ready`: says what the operator would do about a manifest of Tetragon's DaemonSet,
//! whether Tetragon's policies will load and deny, and removes lsm-ready from a cluster.
//!
//! In: the command line and files. Out: text on standard output, and an exit code.
//! The answers come from [`lsm_ready_tetragon`], which the operator uses too, so both always agree.
//!
//! ## Guarantees
//! Only `cleanup` changes anything, and only after a question. The others ask a cluster only for
//! `preflight` without `--nodes`, and for `--server`, so they also run in the checks of a
//! repository. Only [`run`], [`read`], [`kubectl`] and [`cleanup`] do input and output.

pub mod cleanup;
pub mod cli;

pub mod commands;
pub mod documents;
pub mod error;
pub mod find;
pub mod fleet;
pub mod helm;
pub mod kubectl;
pub mod mount;
pub mod preflight;
pub mod read;
pub mod render;
pub mod report;
pub mod values;

use std::io::Write;
use std::process::ExitCode;

use lsm_ready_crds::ExitCode as Code;
use lsm_ready_crds::text::printable_lines;

use cli::Cli;
use commands::Answer;
use error::Error;

/// Runs the command, prints its answer, and returns the exit code.
pub fn run(cli: &Cli) -> ExitCode {
    match commands::answer(cli) {
        Ok(Answer { text, unread, code }) => match print(&text) {
            Ok(()) if unread.is_empty() => code.into(),
            Ok(()) => fail(&unread.join("\n"), code),
            Err(error) => fail(&error.to_string(), error.code()),
        },
        Err(error) => fail(&error.to_string(), error.code()),
    }
}

fn print(text: &str) -> Result<(), Error> {
    std::io::stdout().lock().write_all(text.as_bytes()).map_err(Error::Output)
}

fn fail(message: &str, code: Code) -> ExitCode {
    // The message can quote a file or the cluster's answer.
    eprintln!("kubectl lsm-ready: {}", printable_lines(message, usize::MAX));
    code.into()
}

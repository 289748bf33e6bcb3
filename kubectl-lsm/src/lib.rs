//! `kubectl lsm-ready`: says which nodes can deny through LSM BPF and why others cannot, what the
//! operator would do about a manifest of Tetragon's DaemonSet, whether Tetragon's policies will
//! load and deny, and removes lsm-ready from a cluster.
//!
//! In: the command line, files, and the objects of a cluster. Out: text on standard output, and an
//! exit code. The verdicts come from [`lsm_ready_crds`] and [`lsm_ready_tetragon`], which the
//! operator uses too, so both always agree.
//!
//! ## Guarantees
//! Only `cleanup` changes anything, and only after a question. `mount`, `helm-values`, `explain`,
//! and `preflight` with `--nodes` ask no cluster, so they also run in the checks of a repository.
//! Only [`run`], [`read`], [`cluster`], [`cleanup`] and [`completion`] do input and output.

pub mod answer;
pub mod ask;
pub mod cleanup;
pub mod cli;
pub mod cluster;
pub mod commands;
pub mod completion;
pub mod documents;
pub mod error;
pub mod explain;
pub mod find;
pub mod fleet;
pub mod helm;
pub mod mount;
pub mod output;
pub mod preflight;
pub mod read;
pub mod render;
pub mod report;
pub mod values;

use std::io::{ErrorKind, Write};
use std::process::ExitCode;

use lsm_ready_crds::ExitCode as Code;
use lsm_ready_crds::text::printable_lines;

use answer::Answer;
use cli::Cli;
use error::Error;

/// Runs the command, prints its answer, and returns the exit code.
pub fn run(cli: &Cli) -> ExitCode {
    match answer(cli) {
        Ok(Answer { text, unread, code }) => match print(&text) {
            Ok(()) if unread.is_empty() => code.into(),
            Ok(()) => fail(&unread.join("\n"), code),
            // Who reads the answer has read enough, as `head` does.
            Err(error) if error.kind() == ErrorKind::BrokenPipe => code.into(),
            Err(error) => {
                let error = Error::Output(error);
                fail(&error.to_string(), error.code())
            }
        },
        Err(error) => fail(&error.to_string(), error.code()),
    }
}

fn answer(cli: &Cli) -> Result<Answer, Error> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(Error::Runtime)?.block_on(commands::answer(cli))
}

/// Writes the answer, with its colours where standard output is a terminal and NO_COLOR is not set.
fn print(text: &str) -> std::io::Result<()> {
    let mut output = anstream::AutoStream::auto(std::io::stdout().lock());
    output.write_all(text.as_bytes())?;
    output.flush()
}

fn fail(message: &str, code: Code) -> ExitCode {
    // The message can quote a file or the cluster's answer. Where standard error is closed, the
    // exit code still says what happened.
    let message = printable_lines(message, usize::MAX);
    writeln!(std::io::stderr(), "kubectl lsm-ready: {message}").ok();
    code.into()
}

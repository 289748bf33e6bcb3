//! Running programs to their end. An error has the command, the reason, and what was printed.

use std::ffi::OsStr;
use std::io;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

/// A program that cannot be run, or that failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It is missing, or may not be run.
    #[error("cannot run `{line}`: {source}; install what is missing with e2e/prerequisites.sh")]
    Start {
        /// The program and its arguments.
        line: String,
        source: io::Error,
    },
    /// It failed.
    #[error("`{line}` failed ({status}): {output}")]
    Failed {
        /// The program and its arguments.
        line: String,
        /// Its exit status.
        status: std::process::ExitStatus,
        /// What it printed.
        output: String,
    },
}

fn line(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(OsStr::to_string_lossy).collect::<Vec<_>>().join(" ")
}

fn checked(command: &Command, output: io::Result<Output>) -> Result<String, Error> {
    let output = output.map_err(|source| Error::Start { line: line(command), source })?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    if output.status.success() {
        return Ok(text(&output.stdout));
    }
    let output_text =
        format!("{} {}", text(&output.stdout), text(&output.stderr)).trim().to_owned();
    Err(Error::Failed { line: line(command), status: output.status, output: output_text })
}

/// Runs a program whose messages people see while it works. It is killed when the future is
/// dropped.
pub async fn run_visibly(command: Command) -> Result<(), Error> {
    let mut command = tokio::process::Command::from(command);
    command.stdin(Stdio::null()).stdout(Stdio::null()).kill_on_drop(true);
    let status = command.status().await;
    let output =
        status.map(|status| Output { status, stdout: Vec::new(), stderr: b"see above".to_vec() });
    checked(command.as_std(), output).map(drop)
}

/// Runs a program that takes milliseconds, and returns what it printed.
pub fn run(command: &mut Command) -> Result<String, Error> {
    let output = command.stdin(Stdio::null()).output();
    checked(command, output)
}

/// Runs a program and returns the bytes that it printed.
pub fn output(command: &mut Command) -> Result<Vec<u8>, Error> {
    let output = command.stdin(Stdio::null()).output();
    let bytes = output.as_ref().map_or_else(|_| Vec::new(), |output| output.stdout.clone());
    checked(command, output)?;
    Ok(bytes)
}

/// The path of a program, also of one that only root has on its PATH.
pub fn find_program(name: &str) -> Result<PathBuf, Error> {
    let path = std::env::var("PATH").unwrap_or_default() + ":/usr/sbin:/sbin";
    let found = std::env::split_paths(&path).map(|dir| dir.join(name)).find(|file| file.is_file());
    found.ok_or_else(|| Error::Start {
        line: name.to_owned(),
        source: io::Error::from(io::ErrorKind::NotFound),
    })
}

/// Runs `PROGRAM ARGUMENT…`, a fixed command with blanks between its words.
pub fn run_line(line: &str) -> Result<String, Error> {
    let mut words = line.split_whitespace();
    run(Command::new(words.next().unwrap_or_default()).args(words))
}

/// Runs a program that may take long, and returns what it printed. It is killed when the future is
/// dropped.
pub async fn run_long(command: Command, input: Option<std::fs::File>) -> Result<String, Error> {
    let mut command = tokio::process::Command::from(command);
    command.stdin(input.map_or_else(Stdio::null, Stdio::from)).kill_on_drop(true);
    let output = command.output().await;
    checked(command.as_std(), output)
}

//! A child process of this very program that does one thing and dies: the canary's, and the hook trial's.
//!
//! In: a hidden subcommand and a deadline. Out: the lines of JSON that the child writes, as they come, and how it
//! [`End`]ed. What a child has said before it hangs or crashes is not lost.
//!
//! # Guarantees
//! The child dies with the thread that started it, also when that is killed, and at the deadline.

use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::sys;

/// How long a killed child may take to go: it can sit in an uninterruptible call of the kernel.
const REAP: Duration = Duration::from_secs(5);

/// How a child process ended.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum End {
    /// By itself, with everything said.
    Finished,
    /// It was killed at its deadline, of that many milliseconds.
    TimedOut(u64),
    /// A signal ended it.
    Signal(i32),
    /// It ended by itself before it had finished, with that code.
    Exit(i32),
    /// It could not be started.
    NotStarted(String),
}

/// Runs the subcommand in a child and hands each of its lines on. The child dies with the calling thread.
pub fn run<T: DeserializeOwned + Send + 'static>(
    subcommand: &str,
    deadline: Duration,
    mut take: impl FnMut(T),
) -> End {
    let started = Instant::now();
    match spawn(subcommand) {
        Ok((child, lines)) => watch(child, &lines, started, deadline, &mut take),
        Err(error) => End::NotStarted(error.to_string()),
    }
}

fn spawn<T: DeserializeOwned + Send + 'static>(
    subcommand: &str,
) -> io::Result<(Child, Receiver<T>)> {
    // Not current_exe(), which is a name that may meanwhile belong to another version or to nothing.
    let mut child = Command::new("/proc/self/exe")
        .args([subcommand, "--parent", &std::process::id().to_string()])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()?;
    let stdout = child.stdout.take().ok_or_else(|| io::Error::other("the child has no pipe"))?;
    Ok((child, said(stdout)))
}

/// What the child writes, a line each, until it closes the pipe.
fn said<T: DeserializeOwned + Send + 'static>(stdout: ChildStdout) -> Receiver<T> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let lines = BufReader::new(stdout).lines().map_while(Result::ok);
        for line in lines.filter_map(|line| serde_json::from_str(&line).ok()) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    receiver
}

fn watch<T>(
    mut child: Child,
    lines: &Receiver<T>,
    started: Instant,
    deadline: Duration,
    take: &mut dyn FnMut(T),
) -> End {
    loop {
        match lines.recv_timeout(deadline.saturating_sub(started.elapsed())) {
            Ok(line) => take(line),
            Err(RecvTimeoutError::Timeout) => {
                // It fails only where the child is gone already.
                child.kill().ok();
                reap(&mut child, REAP);
                return timed_out(deadline);
            }
            Err(RecvTimeoutError::Disconnected) => break,
        }
    }
    // The pipe is closed, so the child is at its end, or has closed it and hangs.
    reap(&mut child, deadline.saturating_sub(started.elapsed()).max(REAP)).map_or_else(
        || {
            child.kill().ok();
            reap(&mut child, REAP);
            timed_out(deadline)
        },
        ended,
    )
}

/// With the deadline and not the time that passed, which would make each time look like another finding.
fn timed_out(deadline: Duration) -> End {
    End::TimedOut(u64::try_from(deadline.as_millis()).unwrap_or(u64::MAX))
}

/// Waits for the child to go, at most so long.
fn reap(child: &mut Child, patience: Duration) -> Option<ExitStatus> {
    let give_up = Instant::now() + patience;
    let (_keep, never) = mpsc::channel::<()>();
    loop {
        if let Ok(Some(status)) = child.try_wait() {
            return Some(status);
        }
        if Instant::now() >= give_up {
            return None;
        }
        // The pause between two looks.
        never.recv_timeout(Duration::from_millis(2)).ok();
    }
}

fn ended(status: ExitStatus) -> End {
    match (status.signal(), status.code()) {
        (Some(signal), _) => End::Signal(signal),
        (None, Some(0)) => End::Finished,
        (None, code) => End::Exit(code.unwrap_or(-1)),
    }
}

/// The child's side: binds itself to its parent, works, and writes what the work says, a line each.
///
/// # Errors
/// Where the parent is gone or does not read.
pub fn report<T: Serialize>(parent: u32, work: impl FnOnce(&mut dyn FnMut(&T))) -> io::Result<()> {
    let bound = sys::die_with_parent();
    if bound != sys::Answer(0) {
        return Err(io::Error::from_raw_os_error(bound.0));
    }
    // The parent may have died before the line above took hold.
    if std::os::unix::process::parent_id() != parent {
        return Err(io::Error::other(format!(
            "the parent is not process {parent}: this command is not for people"
        )));
    }
    let mut stdout = io::stdout().lock();
    let mut failed = None;
    work(&mut |line| {
        let written = serde_json::to_string(line)
            .map_err(io::Error::other)
            .and_then(|line| writeln!(stdout, "{line}").and_then(|()| stdout.flush()));
        failed = failed.take().or(written.err());
    });
    failed.map_or(Ok(()), Err)
}

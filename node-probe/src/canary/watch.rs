//! The parent's side: runs the canary in a child process with a deadline, and reads what it leaves.
//!
//! In: a deadline. Out: the trial as far as the child got, and how it ended.

use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use super::climb;
use super::trial::{End, Trial};
use crate::sys;

/// The hidden subcommand under which the child is started.
pub const SUBCOMMAND: &str = "canary-child";

/// How long a killed child may take to go: it can sit in an uninterruptible call of the kernel.
const REAP: Duration = Duration::from_secs(5);

/// What was seen of one run of the canary.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Observed {
    /// As far as the child got.
    pub trial: Trial,
    /// How it ended.
    pub end: End,
}

/// Runs the canary in a child. The child dies with the calling thread.
#[must_use]
pub fn run(deadline: Duration) -> Observed {
    let started = Instant::now();
    match spawn() {
        Ok((child, lines)) => watch(child, &lines, started, deadline),
        Err(error) => Observed { trial: Trial::default(), end: End::NotStarted(error.to_string()) },
    }
}

fn spawn() -> io::Result<(Child, Receiver<Trial>)> {
    // Not current_exe(), which is a name that may meanwhile belong to another version or to nothing.
    let mut child = Command::new("/proc/self/exe")
        .args([SUBCOMMAND, "--parent", &std::process::id().to_string()])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()?;
    let stdout = child.stdout.take().ok_or_else(|| io::Error::other("the child has no pipe"))?;
    Ok((child, trials(stdout)))
}

/// The trials that the child writes, one a line, until it closes the pipe.
fn trials(stdout: ChildStdout) -> Receiver<Trial> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let lines = BufReader::new(stdout).lines().map_while(Result::ok);
        for trial in lines.filter_map(|line| serde_json::from_str(&line).ok()) {
            if sender.send(trial).is_err() {
                return;
            }
        }
    });
    receiver
}

fn watch(mut child: Child, lines: &Receiver<Trial>, started: Instant, deadline: Duration) -> Observed {
    let mut trial = Trial::default();
    loop {
        match lines.recv_timeout(deadline.saturating_sub(started.elapsed())) {
            Ok(newer) => trial = newer,
            Err(RecvTimeoutError::Timeout) => {
                // It fails only where the child is gone already.
                child.kill().ok();
                reap(&mut child, REAP);
                return Observed { trial, end: timed_out(deadline) };
            }
            Err(RecvTimeoutError::Disconnected) => break,
        }
    }
    // The pipe is closed, so the child is at its end, or has closed it and hangs.
    let end = reap(&mut child, deadline.saturating_sub(started.elapsed()).max(REAP)).map_or_else(
        || {
            child.kill().ok();
            reap(&mut child, REAP);
            timed_out(deadline)
        },
        |status| ended(status, trial.finished),
    );
    Observed { trial, end }
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

fn ended(status: ExitStatus, finished: bool) -> End {
    match (status.signal(), status.code()) {
        (Some(signal), _) => End::Signal(signal),
        (None, Some(0)) if finished => End::Finished,
        (None, code) => End::Exit(code.unwrap_or(-1)),
    }
}

/// The child's `main`: climbs and writes each state of the trial as a line.
///
/// # Errors
/// Where the parent is gone or does not read.
pub fn child(parent: u32) -> io::Result<()> {
    let bound = sys::die_with_parent();
    if bound != sys::Answer(0) {
        return Err(io::Error::from_raw_os_error(bound.0));
    }
    // The parent may have died before the line above took hold.
    if std::os::unix::process::parent_id() != parent {
        return Err(io::Error::other(format!("the parent is not process {parent}: this command is not for people")));
    }
    let mut stdout = io::stdout().lock();
    let mut failed = None;
    climb::run(&mut |trial| {
        let written = serde_json::to_string(trial)
            .map_err(io::Error::other)
            .and_then(|line| writeln!(stdout, "{line}").and_then(|()| stdout.flush()));
        failed = failed.take().or(written.err());
    });
    failed.map_or(Ok(()), Err)
}

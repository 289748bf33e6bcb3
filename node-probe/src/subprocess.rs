//! Runs one of this program's hidden subcommands in a child process: the canary, or the hook trial.
//!
//! In: the subcommand and a deadline. Out: the lines of JSON that the child writes, as they arrive,
//! and how the child [`End`]ed. Lines that arrive before the child hangs or crashes are kept.
//!
//! # Guarantees
//! The child dies at the deadline. It also dies when the thread that started it ends, even if that
//! thread is killed.

use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::io::retry_on_intr;
use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::sys;

/// How long to wait for a child to exit after it was killed or closed its pipe: it can sit in an
/// uninterruptible call.
const EXIT_TIMEOUT: Duration = Duration::from_secs(5);

/// How a child process ended.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum End {
    /// The child finished and exited with code 0.
    Finished,
    /// The child was killed at its deadline, given here in milliseconds.
    TimedOut(u64),
    /// A signal ended the child.
    Signal(i32),
    /// The child exited with this code before it had finished.
    Exit(i32),
    /// The child could not be started.
    NotStarted(String),
}

/// Runs the subcommand in a child and passes each of its lines to `take`. The child dies with the
/// calling thread.
pub fn run<T: DeserializeOwned + Send + 'static>(
    subcommand: &str,
    deadline: Duration,
    mut take: impl FnMut(T),
) -> End {
    let started = Instant::now();
    match Running::spawn(subcommand) {
        Ok(mut running) => running.watch(started, deadline, &mut take),
        Err(error) => End::NotStarted(error.to_string()),
    }
}

struct Running<T> {
    child: Child,
    /// The child's lines. The channel closes when the child closes its pipe.
    lines: Receiver<T>,
    /// Carries nothing. The channel closes when the child has exited.
    exit: Receiver<()>,
}

impl<T: DeserializeOwned + Send + 'static> Running<T> {
    fn spawn(subcommand: &str) -> io::Result<Self> {
        // Not current_exe(): by now that path may belong to another version of this program, or to
        // no file.
        let mut child = Command::new("/proc/self/exe")
            .args([subcommand, "--parent", &std::process::id().to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()?;
        let stdout =
            child.stdout.take().ok_or_else(|| io::Error::other("the child has no pipe"))?;
        let pid = Pid::from_child(&child);
        let (send_line, lines) = mpsc::channel();
        let (send_exit, exit) = mpsc::channel();
        thread::spawn(move || {
            read_lines(stdout, |line| send_line.send(line).is_ok());
            drop(send_line);
            // NOWAIT leaves the child a zombie, so its process id cannot be reused before
            // `try_wait` or `kill`.
            let exited = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
            retry_on_intr(|| waitid(WaitId::Pid(pid), exited)).ok();
            drop(send_exit);
        });
        Ok(Self { child, lines, exit })
    }

    fn watch(&mut self, started: Instant, deadline: Duration, take: &mut dyn FnMut(T)) -> End {
        loop {
            match self.lines.recv_timeout(deadline.saturating_sub(started.elapsed())) {
                Ok(line) => take(line),
                Err(RecvTimeoutError::Timeout) => return self.kill(deadline),
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        // The pipe is closed: the child is about to exit, or it hangs in its last steps.
        let patience = deadline.saturating_sub(started.elapsed()).max(EXIT_TIMEOUT);
        match self.exit_within(patience) {
            Some(status) => end_of(status),
            None => self.kill(deadline),
        }
    }

    fn exit_within(&mut self, patience: Duration) -> Option<ExitStatus> {
        // Nothing is ever sent, so this returns when the child has exited or when the time is over.
        self.exit.recv_timeout(patience).ok();
        self.child.try_wait().ok().flatten()
    }

    fn kill(&mut self, deadline: Duration) -> End {
        // This fails only if the child has exited already.
        self.child.kill().ok();
        self.exit_within(EXIT_TIMEOUT);
        // The deadline and not the time that passed, which would make each report differ from the
        // one before.
        End::TimedOut(u64::try_from(deadline.as_millis()).unwrap_or(u64::MAX))
    }
}

/// Passes each line that is valid JSON to `send` until the child closes the pipe or `send` returns
/// false.
fn read_lines<T: DeserializeOwned>(stdout: ChildStdout, mut send: impl FnMut(T) -> bool) {
    for line in BufReader::new(stdout).lines().map_while(Result::ok) {
        if let Ok(line) = serde_json::from_str(&line)
            && !send(line)
        {
            return;
        }
    }
}

fn end_of(status: ExitStatus) -> End {
    match (status.signal(), status.code()) {
        (Some(signal), _) => End::Signal(signal),
        (None, Some(0)) => End::Finished,
        (None, code) => End::Exit(code.unwrap_or(-1)),
    }
}

/// The child's side: binds this process to its parent, runs `work`, and writes each value that
/// `work` reports as a line.
///
/// # Errors
/// The parent is gone or does not read.
pub fn report<T: Serialize>(parent: u32, work: impl FnOnce(&mut dyn FnMut(&T))) -> io::Result<()> {
    sys::die_with_parent()?;
    // The parent may have died before the line above took effect.
    if std::os::unix::process::parent_id() != parent {
        return Err(io::Error::other(format!(
            "the parent is not process {parent}: only node-probe itself runs this command"
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

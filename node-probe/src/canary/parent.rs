//! The parent's side: runs the canary in a child process with a deadline, and reads what it leaves.
//!
//! In: a deadline. Out: the trial as far as the child got, and how it ended.

use std::io;
use std::time::Duration;

use super::child as steps;
use super::result::CanaryResult;
use crate::subprocess::{self, End};

/// The hidden subcommand under which the child is started.
pub const SUBCOMMAND: &str = "canary-child";

/// What was seen of one run of the canary.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Observed {
    /// As far as the child got.
    pub trial: CanaryResult,
    /// How it ended.
    pub end: End,
}

/// Runs the canary in a child. The child dies with the calling thread.
pub fn run(deadline: Duration) -> Observed {
    let mut trial = CanaryResult::default();
    let end = subprocess::run(SUBCOMMAND, deadline, |newer| trial = newer);
    let end = if end == End::Finished && !trial.finished { End::Exit(0) } else { end };
    Observed { trial, end }
}

/// The child's `main`: climbs and writes each state of the trial as a line.
///
/// # Errors
/// Where the parent is gone or does not read.
pub fn child(parent: u32) -> io::Result<()> {
    subprocess::report(parent, steps::run)
}

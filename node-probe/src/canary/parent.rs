//! The parent's side: runs the canary in a child process with a deadline, and reads what the child
//! leaves.
//!
//! In: a deadline. Out: the result as far as the child got, and how the child ended.

use std::io;
use std::time::Duration;

use super::child as canary_child;
use super::result::CanaryResult;
use crate::subprocess::{self, End};

/// The hidden subcommand that starts the child.
pub const SUBCOMMAND: &str = "canary-child";

/// What the parent saw of one run of the canary.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Observed {
    /// The result as far as the child got.
    pub result: CanaryResult,
    /// How the child ended.
    pub end: End,
}

/// Runs the canary in a child. The child dies with the calling thread.
pub fn run(deadline: Duration) -> Observed {
    let mut result = CanaryResult::default();
    let end = subprocess::run(SUBCOMMAND, deadline, |newer| result = newer);
    // An exit with code 0 before the last step is a crash too.
    let end = if end == End::Finished && !result.finished { End::Exit(0) } else { end };
    Observed { result, end }
}

/// The child's `main`. It fails if the parent is gone or does not read.
pub fn child(parent: u32) -> io::Result<()> {
    subprocess::report(parent, canary_child::run)
}

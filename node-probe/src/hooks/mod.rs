//! The hook trial: on which of this kernel's LSM hooks it takes a program, and on which a sleepable one.
//!
//! In: a deadline. Out: an [`LsmHookProfileSpec`], or the [`TrialError`] of one in words.
//!
//! # Flow
//! [`run`] starts this very executable again as a child, which reads the list of hooks from the kernel's BTF and
//! [`trial`]s to load two instructions (`return 0`) for each, once more as sleepable where the first went well. It
//! writes each hook's answers as a line of JSON. [`profile`], a pure function, makes a profile of them.
//!
//! # Guarantees
//! Nothing is ever attached, and each program is closed before the next one is loaded, so no call on this machine can
//! run one. The child has the lowest priority and an upper bound on its memory, and dies with the thread that started
//! it or at its deadline. A profile is only made of answers about the hooks: shortage of memory, a seccomp filter or a
//! policy that refuses every program leads to no profile, never to a false one.
//!
//! # What others see
//! Where the audit subsystem is on, the kernel writes a record (type BPF) for each load and each unload.

pub mod profile;
pub mod trial;

use std::io;
use std::time::Duration;

use lsm_ready_crds::node::Kernel;
use lsm_ready_crds::profile::LsmHookProfileSpec;

use crate::subprocess::{self, End};
use crate::sys;
pub use profile::TrialError;

/// The hidden subcommand under which the child is started.
pub const SUBCOMMAND: &str = "hooks-child";

/// How long the trial may take where nobody says otherwise. On an idle machine it takes less than a second; at the
/// lowest priority on a busy one much longer.
pub const DEADLINE: Duration = Duration::from_mins(2);

/// What was seen of one trial.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Observed {
    /// What the child said, in its order.
    pub lines: Vec<trial::Line>,
    /// How it ended.
    pub end: End,
}

/// Makes the trial in a child, which dies with the calling thread.
///
/// # Errors
/// Where it leads to no profile: why.
pub fn run(deadline: Duration) -> Result<LsmHookProfileSpec, TrialError> {
    let mut lines = Vec::new();
    let end = subprocess::run(SUBCOMMAND, deadline, |line| lines.push(line));
    let (release, machine) = sys::uname();
    profile::profile(&Observed { lines, end }, &Kernel { release, machine })
}

/// The child's `main`.
///
/// # Errors
/// Where the parent is gone or does not read.
pub fn child(parent: u32) -> io::Result<()> {
    subprocess::report(parent, trial::run)
}

//! The hook trial: finds out which of this kernel's LSM hooks accept a BPF program, and which a
//! sleepable one.
//!
//! In: a deadline. Out: an [`LsmHookProfileSpec`], or the [`TrialError`] that says why there is
//! none.
//!
//! # Flow
//! [`run`] starts this executable again as a child. The child ([`trial`]) reads the list of hooks
//! from the kernel's BTF. For each hook it loads a program of two instructions (`return 0`), and
//! loads it again as sleepable if the kernel accepted the first. It writes the answers about each
//! hook as a line of JSON. [`profile`], a pure function, makes a profile of the lines.
//!
//! # Guarantees
//! Nothing is ever attached, and each program is closed before the next one is loaded, so no call
//! on this machine can run a program. The child has the lowest priority and a limit on its memory.
//! It dies at its deadline, and with the thread that started it. Only answers about the hooks make
//! a profile: a shortage of memory, a seccomp filter or a policy that refuses every program leads
//! to an error, never to a false profile.
//!
//! # Side effect
//! If the audit subsystem is on, the kernel writes a record (type BPF) for each load and each
//! unload.

pub mod profile;
pub mod trial;

use std::io;
use std::time::Duration;

use lsm_ready_crds::profile::LsmHookProfileSpec;

use crate::subprocess;
use crate::sys;
pub use profile::TrialError;

/// The hidden subcommand that starts the child.
pub const SUBCOMMAND: &str = "hooks-child";

/// The deadline of the daemon's trials. On an idle machine a trial takes less than a second, but at
/// the lowest priority on a busy machine it takes much longer.
pub const DEADLINE: Duration = Duration::from_mins(2);

/// Makes the trial in a child, which dies with the calling thread.
pub fn run(deadline: Duration) -> Result<LsmHookProfileSpec, TrialError> {
    let mut lines = Vec::new();
    let end = subprocess::run(SUBCOMMAND, deadline, |line| lines.push(line));
    profile::profile(&profile::TrialOutput { lines, end }, &sys::kernel())
}

/// The child's `main`. It fails if the parent is gone or does not read.
pub fn child(parent: u32) -> io::Result<()> {
    subprocess::report(parent, trial::run)
}

//! Where and why the canary stopped. In: how a step or the child ended. Out: a [`Stop`].

use lsm_ready_crds::{Reason, State};

use super::failure::describe;
use crate::canary::{End, Failure};

/// The rung at which the canary stopped.
pub(super) struct Stop {
    /// `NotReady` if the rung was tried and does not hold, `Unknown` if it could not be tried.
    pub outcome: State,
    pub reason: Reason,
    pub detail: String,
}

impl Stop {
    pub fn failed(reason: Reason, detail: impl Into<String>) -> Self {
        Self { outcome: State::NotReady, reason, detail: detail.into() }
    }

    pub fn untried(reason: Reason, detail: impl Into<String>) -> Self {
        Self { outcome: State::Unknown, reason, detail: detail.into() }
    }
}

/// The stop for a failure that only shows that the machine ran out of something.
pub(super) fn shortage(failure: &Failure) -> Option<Stop> {
    let reason = match failure.errno? {
        libc::ENOMEM => Reason::NoMemory,
        libc::ENOSPC => Reason::NoSpace,
        libc::EMFILE | libc::ENFILE => Reason::TooManyFiles,
        _ => return None,
    };
    Some(Stop::untried(reason, describe(failure)))
}

/// The stop for a child that ended before it reported the next answer. `doing` says what it was
/// doing.
pub(super) fn unfinished(end: &End, doing: &str) -> Stop {
    match end {
        End::TimedOut(ms) => Stop::untried(
            Reason::CanaryTimedOut,
            format!("the canary hung while {doing} and was killed after {ms} ms"),
        ),
        End::Signal(libc::SIGSYS) => Stop::untried(
            Reason::SeccompRefusesBpf,
            format!("a seccomp filter killed the canary (SIGSYS) while {doing}"),
        ),
        End::Signal(signal) => Stop::untried(
            Reason::CanaryCrashed,
            format!("{} ended the canary while {doing}", signal_name(*signal)),
        ),
        End::NotStarted(error) => Stop::untried(
            Reason::CanaryNotStarted,
            format!("the canary's process could not be started: {error}"),
        ),
        End::Exit(code) => Stop::untried(
            Reason::CanaryCrashed,
            format!("the canary exited with code {code} while {doing}"),
        ),
        End::Finished => Stop::untried(
            Reason::CanaryCrashed,
            format!("the canary exited without a result of {doing}"),
        ),
    }
}

fn signal_name(signal: i32) -> String {
    let name = match signal {
        libc::SIGKILL => "SIGKILL, perhaps because memory ran out",
        libc::SIGSEGV => "SIGSEGV",
        libc::SIGABRT => "SIGABRT",
        libc::SIGBUS => "SIGBUS",
        libc::SIGILL => "SIGILL",
        libc::SIGTERM => "SIGTERM",
        _ => return format!("signal {signal}"),
    };
    format!("signal {signal} ({name})")
}

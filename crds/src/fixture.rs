//! Reports for the tests of all crates: consistent ones, as our probe writes them.
//!
//! In: a boot, the evidence and a reason. Out: a status that agrees with itself. No product code
//! uses this module. It is a module and not a Cargo feature, so that tests and programs share one
//! build of this crate.

use crate::evidence::Evidence;
use crate::node::{Check, KERNEL_READS_CHECK, LsmNodeStatus};
use crate::reason::Reason;
use crate::state::State;

/// The report of a node that can deny.
#[must_use]
pub fn denied(boot_id: &str) -> LsmNodeStatus {
    report(boot_id, Evidence::Denied, Reason::CanaryDenied.code())
}

/// The report of a node with that evidence, which is no higher for that reason. The check of the
/// first missing rung is `Unknown` where the reason says that nothing could be tried, and `Fail`
/// otherwise.
#[must_use]
pub fn report(boot_id: &str, evidence: Evidence, reason: &str) -> LsmNodeStatus {
    LsmNodeStatus {
        boot_id: boot_id.to_owned(),
        probe_version: env!("CARGO_PKG_VERSION").to_owned(),
        evidence,
        reason: reason.to_owned(),
        checks: rungs(evidence, reason),
        ..LsmNodeStatus::default()
    }
}

/// The evidence with that name, for tests that have it as a text. A name of no rung is `None`.
#[must_use]
pub fn evidence(name: &str) -> Evidence {
    Evidence::RUNGS.into_iter().find(|rung| rung.as_str() == name).unwrap_or_default()
}

/// The check whether programs may read kernel memory.
#[must_use]
pub fn kernel_reads(outcome: State) -> Check {
    check(KERNEL_READS_CHECK, outcome, "")
}

fn check(name: &str, outcome: State, reason: &str) -> Check {
    let (name, reason) = (name.to_owned(), reason.to_owned());
    Check { name, outcome, reason, detail: String::new(), fix: String::new() }
}

/// The checks of the four rungs.
#[must_use]
pub fn rungs(evidence: Evidence, reason: &str) -> Vec<Check> {
    let states = Reason::from_code(reason).map_or(&[State::NotReady][..], Reason::states);
    let stopped = states.iter().copied().find(|state| *state != State::Ready);
    let mut stopped = Some(stopped.unwrap_or(State::NotReady));
    let rung = |rung: Evidence| {
        if rung <= evidence {
            return check(rung.as_str(), State::Ready, "");
        }
        let stop = stopped.take().map_or((State::Unknown, ""), |outcome| (outcome, reason));
        check(rung.as_str(), stop.0, stop.1)
    };
    Evidence::RUNGS.into_iter().map(rung).collect()
}

//! Whether a report agrees with itself: its evidence, its reason and the checks of its rungs.
//!
//! In: a report. Out: what disagrees, in a sentence of our own words. The API server takes any
//! report that fits the schema, so a report may claim what its own checks deny. Such a report
//! proves nothing. docs/adr/0030-consistent-evidence.md has the whole table.

use crate::evidence::Evidence;
use crate::node::{Check, KERNEL_READS_CHECK, LsmNodeStatus};
use crate::reason::Reason;
use crate::state::State;

/// Whether the proved evidence is enough. Where it is not, the check of the first missing rung
/// tells a failed trial (`NotReady`) from one that could not be made (`Unknown`). Evidence that the
/// checks of the rungs do not confirm is `Unknown`.
#[must_use]
pub fn evidence_state(proved: Evidence, checks: &[Check], required: Evidence) -> State {
    if contradiction_of_rungs(proved, checks).is_some() {
        return State::Unknown;
    }
    if proved >= required {
        let is_complete = missing_rung(proved, checks).is_none();
        return if is_complete { State::Ready } else { State::Unknown };
    }
    let missing = Evidence::RUNGS.into_iter().find(|rung| *rung > proved).map(Evidence::as_str);
    let check = checks.iter().find(|check| Some(check.name.as_str()) == missing);
    // A report without the check was not written by our probe. Its evidence is too low all the
    // same.
    match check.map_or(State::NotReady, |check| check.outcome) {
        State::Ready | State::NotReady => State::NotReady,
        State::Unknown => State::Unknown,
    }
}

/// Two statements of the report that cannot both be true. Neither of them counts then, also where
/// the evidence is too low: the report may hide that the node can deny.
#[must_use]
pub fn contradiction(report: &LsmNodeStatus) -> Option<String> {
    let LsmNodeStatus { evidence, reason, checks, .. } = report;
    contradiction_of_rungs(*evidence, checks).or_else(|| contradiction_of_reason(*evidence, reason))
}

/// What the report does not say, although a report with its evidence says it. The evidence is not
/// enough for any requirement then.
#[must_use]
pub fn gap(report: &LsmNodeStatus) -> Option<String> {
    let evidence = report.evidence.as_str();
    if let Some(rung) = missing_rung(report.evidence, &report.checks) {
        let rung = rung.as_str();
        return Some(format!("the report has the evidence {evidence}, but no check {rung}"));
    }
    report
        .reason
        .is_empty()
        .then(|| format!("the report has the evidence {evidence}, but no reason"))
}

fn contradiction_of_rungs(proved: Evidence, checks: &[Check]) -> Option<String> {
    let names = Evidence::RUNGS.map(Evidence::as_str).into_iter().chain([KERNEL_READS_CHECK]);
    let mut several = names.filter(|name| outcomes(checks, name).count() > 1);
    if let Some(name) = several.next() {
        return Some(format!("the report has more than one check {name}"));
    }
    let evidence = proved.as_str();
    Evidence::RUNGS.into_iter().find_map(|rung| {
        let outcome = outcomes(checks, rung.as_str()).next()?;
        let agrees = (outcome == State::Ready) == (rung <= proved);
        let (rung, outcome) = (rung.as_str(), outcome.check_outcome());
        (!agrees).then(|| {
            format!("the report has the evidence {evidence}, but its check {rung} says {outcome}")
        })
    })
}

fn contradiction_of_reason(proved: Evidence, reason: &str) -> Option<String> {
    let is_denied = proved == Evidence::Denied;
    let says_denied = reason == Reason::CanaryDenied.code();
    if is_denied == says_denied {
        return None;
    }
    let evidence = proved.as_str();
    let but = if says_denied { "its reason is" } else { "its reason is not" };
    Some(format!("the report has the evidence {evidence}, but {but} CanaryDenied"))
}

/// The lowest rung up to the evidence that has no check.
fn missing_rung(proved: Evidence, checks: &[Check]) -> Option<Evidence> {
    let claimed = Evidence::RUNGS.into_iter().filter(|rung| *rung <= proved);
    claimed.into_iter().find(|rung| outcomes(checks, rung.as_str()).next().is_none())
}

fn outcomes<'a>(checks: &'a [Check], name: &'a str) -> impl Iterator<Item = State> + 'a {
    checks.iter().filter(move |check| check.name == name).map(|check| check.outcome)
}

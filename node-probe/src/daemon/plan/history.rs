//! When this boot could deny and when it could not, over several reports.
//!
//! In: the status that is written, and what was found now. Out: the fields `deniedSince`,
//! `refusedSince` and `deniedBefore` of the new status. Reports of earlier boots do not count.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use lsm_ready_crds::node::{SPANS, Span};
use lsm_ready_crds::policy::Require;
use lsm_ready_crds::verdict::Facts;
use lsm_ready_crds::{Evidence, LsmNodeStatus, State, verdict};

/// The time of the last repair: since then this boot can deny, after reports that showed that it
/// could not. A report that is not a repair keeps the time.
pub(super) fn denied_since(
    written: Option<&LsmNodeStatus>,
    found: &LsmNodeStatus,
    now: Timestamp,
) -> Option<Time> {
    let written = of_this_boot(written, found)?;
    let was_refused = || written.refused_since.is_some() || is_shown_not_ready(written);
    let is_repair = found.evidence == Evidence::Denied && was_refused();
    if is_repair { Some(Time(now)) } else { written.denied_since.clone() }
}

/// Since when the reports of this boot show that it cannot deny. An unknown report keeps the time.
pub(super) fn refused_since(
    written: Option<&LsmNodeStatus>,
    found: &LsmNodeStatus,
    now: Timestamp,
) -> Option<Time> {
    if found.evidence == Evidence::Denied {
        return None;
    }
    let before = of_this_boot(written, found).and_then(|written| written.refused_since.clone());
    before.or_else(|| is_shown_not_ready(found).then_some(Time(now)))
}

fn is_shown_not_ready(report: &LsmNodeStatus) -> bool {
    let facts = Facts { boot_id: &report.boot_id, report: Some(report), profile: None };
    verdict(&Require::default(), facts).state == State::NotReady
}

/// The spans of this boot in which it could deny. A span ends with the last report of Denied. If
/// Denied comes back without a repair, the same span goes on, and its later end replaces the
/// earlier one.
pub(super) fn denied_before(written: Option<&LsmNodeStatus>, found: &LsmNodeStatus) -> Vec<Span> {
    let Some(written) = of_this_boot(written, found) else {
        return Vec::new();
    };
    let mut spans = written.denied_before.clone();
    let ends = written.evidence == Evidence::Denied && found.evidence != Evidence::Denied;
    let Some(until) = written.observed_time.clone().filter(|_| ends) else {
        return spans;
    };
    let from = written.denied_since.clone();
    spans.retain(|span| span.from != from);
    spans.push(Span { from, until });
    let surplus = spans.len().saturating_sub(SPANS);
    spans.drain(..surplus);
    spans
}

fn of_this_boot<'a>(
    written: Option<&'a LsmNodeStatus>,
    found: &LsmNodeStatus,
) -> Option<&'a LsmNodeStatus> {
    written.filter(|written| written.boot_id == found.boot_id)
}

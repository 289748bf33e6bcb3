//! The clocks of a history. Virtual time runs only while everybody waits.

use std::cell::Cell;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

/// 2026-01-01T00:00:00Z.
const BEGIN_SECONDS: i64 = 1_767_225_600;

thread_local! {
    static BEGIN: Cell<Option<Instant>> = const { Cell::new(None) };
    static JUMPED: Cell<Option<Duration>> = const { Cell::new(None) };
    static FORWARD: Cell<i64> = const { Cell::new(0) };
    static OPERATORS_LEAD: Cell<i64> = const { Cell::new(0) };
}

/// Starts the history's clock.
pub fn begin() {
    BEGIN.set(Some(Instant::now()));
    OPERATORS_LEAD.set(0);
    JUMPED.set(None);
    FORWARD.set(0);
}

/// Time since the history began.
#[must_use]
pub fn elapsed() -> Duration {
    BEGIN.get().map_or(Duration::ZERO, |begin| begin.elapsed())
}

/// The true time of day: the clock of the nodes and of the API server.
#[must_use]
pub fn true_time() -> Timestamp {
    let begin = Timestamp::from_second(BEGIN_SECONDS).unwrap_or_default();
    begin.saturating_add(elapsed()).unwrap_or(begin)
}

/// The time of day as the operator's machine has it.
#[must_use]
pub fn operator_time() -> Timestamp {
    let lead = SignedDuration::from_secs(OPERATORS_LEAD.get());
    true_time().saturating_add(lead).unwrap_or_default()
}

/// Whether the operators' clock was set.
#[must_use]
pub fn has_jumped() -> bool {
    JUMPED.get().is_some()
}

/// Whether it was set in the last seconds.
#[must_use]
pub fn has_jumped_within(span: Duration) -> bool {
    JUMPED.get().is_some_and(|jumped| jumped + span >= elapsed())
}

/// The most time that can have passed since that moment, as the operators' clock has it: each jump
/// forward is time to them.
#[must_use]
pub fn longest_since(moment: Timestamp) -> SignedDuration {
    true_time().duration_since(moment) + SignedDuration::from_secs(FORWARD.get())
}

/// Sets the clock of the operator's machine forward, or back.
pub fn jump(seconds: i64) {
    JUMPED.set(Some(elapsed()));
    FORWARD.set(FORWARD.get().saturating_add(seconds.max(0)));
    OPERATORS_LEAD.set(OPERATORS_LEAD.get().saturating_add(seconds));
}

//! How long to wait when another manager keeps removing our mount. A state machine; the time is a
//! parameter.
//!
//! ## Flow
//! we apply → the mount is missing again: a revert → we apply again, up to three reverts within ten
//! minutes → the mount is contested: nothing is applied for ten minutes → one trial. A trial that
//! stands for ten minutes ends the contest. A trial that is reverted starts the next pause, twice
//! as long as the last, up to 160 minutes.
//!
//! ## Guarantees
//! - Every revert restarts agents, and so does every apply. While the reverts go on there are three
//!   applies, then one for each trial, ever more rarely. The contest ends without help once the
//!   reverts end.
//! - Only the monotonic clock counts: a wall clock that is set makes no pause longer or shorter.
//!
//! ## Assumptions
//! The history is kept in memory only. After a restart of the operator the count starts again.

use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use crate::context::moment::Moment;

/// This many reverts within [`WINDOW`] make a contest.
pub const LIMIT: usize = 3;

/// How long a revert counts, how long the first pause is, and how long an apply must stand to end
/// the contest.
pub const WINDOW: Duration = Duration::from_mins(10);

/// The pause is doubled at most this often.
const MAX_DOUBLINGS: u32 = 4;

/// The history of our applies and their reverts.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct RevertBackoff {
    /// When we last applied. None once that apply was reverted.
    applied: Option<Instant>,
    /// When recent applies were reverted.
    reverts: Vec<Instant>,
    /// Nothing is applied before its end.
    pause: Option<Pause>,
    /// Pauses since the last contest ended.
    pauses: u32,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Pause {
    end: Instant,
    /// The end by the wall clock as it was when the pause began, for people.
    shown: Timestamp,
}

/// Whether the mount may be applied.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Turn {
    /// Apply it now.
    Apply,
    /// The mount is contested. Do not apply it before this time.
    Wait(Timestamp),
}

impl RevertBackoff {
    /// Notes that our mount is wanted and missing. Returns whether it may be applied.
    pub fn missing(&mut self, now: Moment) -> Turn {
        if let Some(pause) = self.pause {
            return self.paused(pause, now);
        }
        // An apply that failed cannot be reverted, so a missing mount counts only after an apply
        // that succeeded.
        let Some(applied) = self.applied.take() else {
            return Turn::Apply;
        };
        if now.since(applied) >= WINDOW {
            self.pauses = 0;
        }
        self.reverts.retain(|revert| now.since(*revert) < WINDOW);
        self.reverts.push(now.instant);
        // After a pause, a single revert of the trial starts the next pause.
        let limit = if self.pauses == 0 { LIMIT } else { 1 };
        if self.reverts.len() < limit {
            return Turn::Apply;
        }
        let length = length(self.pauses);
        let shown = now.time.saturating_add(length).unwrap_or(Timestamp::MAX);
        self.pauses = self.pauses.saturating_add(1);
        self.pause = Some(Pause { end: now.instant + length, shown });
        Turn::Wait(shown)
    }

    fn paused(&mut self, pause: Pause, now: Moment) -> Turn {
        if let Some(until) = now.until(pause.end) {
            return Turn::Wait(until);
        }
        self.pause = None;
        self.reverts.clear();
        Turn::Apply
    }

    /// Notes that our mount was applied.
    pub const fn applied(&mut self, now: Moment) {
        self.applied = Some(now.instant);
    }

    /// The time of the next trial, while the mount is contested. It stays the same also when the
    /// wall clock is set meanwhile, so that no status is written for that.
    pub fn paused_until(&self) -> Option<Timestamp> {
        self.pause.map(|pause| pause.shown)
    }
}

/// How long the pause is after that many earlier ones.
fn length(earlier: u32) -> Duration {
    WINDOW * 2_u32.pow(earlier.min(MAX_DOUBLINGS))
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;
    use proptest::prelude::*;

    use super::*;

    /// The test's clocks.
    #[derive(Clone, Copy)]
    struct Clocks {
        begin: Instant,
        /// How far the wall clock was set forward or back.
        set_by: SignedDuration,
    }

    impl Clocks {
        fn new() -> Self {
            Self { begin: Instant::now(), set_by: SignedDuration::ZERO }
        }

        fn minute(self, minutes: u64) -> Moment {
            let passed = Duration::from_mins(minutes);
            let time = Timestamp::from_second(1_000_000).unwrap() + passed + self.set_by;
            Moment { time, instant: self.begin + passed }
        }
    }

    /// Finds the mount missing at each of those minutes and applies it where that is allowed.
    /// Returns the minutes of the applies.
    fn applies(
        backoff: &mut RevertBackoff,
        clocks: Clocks,
        minutes: impl IntoIterator<Item = u64>,
    ) -> Vec<u64> {
        let mut applied = Vec::new();
        for at in minutes {
            if backoff.missing(clocks.minute(at)) == Turn::Apply {
                backoff.applied(clocks.minute(at));
                applied.push(at);
            }
        }
        applied
    }

    #[test]
    fn three_reverts_within_ten_minutes_start_a_pause() {
        let (mut backoff, clocks) = (RevertBackoff::default(), Clocks::new());
        assert_eq!(applies(&mut backoff, clocks, 0..=9), [0, 1, 2]);
        assert_eq!(backoff.paused_until(), Some(clocks.minute(13).time));
    }

    #[test]
    fn slow_reverts_never_start_a_pause() {
        let minutes = || (0..50).map(|n| n * 5);
        let applied = applies(&mut RevertBackoff::default(), Clocks::new(), minutes());
        assert_eq!(applied, minutes().collect::<Vec<_>>());
    }

    #[test]
    fn endless_reverts_are_tried_ever_more_rarely() {
        let mut backoff = RevertBackoff::default();
        // Pauses of 10, 20, 40, 80, 160, 160 … minutes, each with the minute that a trial stands.
        let applied = applies(&mut backoff, Clocks::new(), 0..700);
        assert_eq!(applied, [0, 1, 2, 13, 34, 75, 156, 317, 478, 639]);
    }

    #[test]
    fn the_contest_ends_when_the_reverts_end() {
        let (mut backoff, clocks) = (RevertBackoff::default(), Clocks::new());
        assert_eq!(applies(&mut backoff, clocks, [0, 1, 2, 3]), [0, 1, 2]);
        assert_eq!(applies(&mut backoff, clocks, [13]), [13], "the trial");
        assert_eq!(backoff.paused_until(), None);
        // The trial stood for ten minutes: three reverts are needed again.
        assert_eq!(applies(&mut backoff, clocks, [23, 24, 25]), [23, 24]);
    }

    #[test]
    fn a_missing_mount_without_a_successful_apply_is_not_a_revert() {
        let (mut backoff, clocks) = (RevertBackoff::default(), Clocks::new());
        assert_eq!(backoff.missing(clocks.minute(0)), Turn::Apply);
        assert_eq!(backoff.missing(clocks.minute(1)), Turn::Apply, "an apply that failed");
    }

    #[test]
    fn a_wall_clock_that_is_set_changes_no_pause() {
        for hours in [-2, 2] {
            let (mut backoff, mut clocks) = (RevertBackoff::default(), Clocks::new());
            applies(&mut backoff, clocks, [0, 1, 2, 3]);
            let shown = backoff.paused_until();
            clocks.set_by = SignedDuration::from_hours(hours);
            let wait = Turn::Wait(clocks.minute(13).time);
            assert_eq!(backoff.missing(clocks.minute(12)), wait, "a minute is left");
            assert_eq!(backoff.paused_until(), shown, "no status is written for the clock");
            assert_eq!(backoff.missing(clocks.minute(13)), Turn::Apply);
        }
    }

    proptest! {
        #[test]
        fn never_four_applies_within_ten_minutes(gaps in prop::collection::vec(0u64..30, 1..200)) {
            let minutes = gaps.iter().scan(0, |now, gap| {
                *now += gap;
                Some(*now)
            });
            let applied = applies(&mut RevertBackoff::default(), Clocks::new(), minutes);
            for four in applied.windows(4) {
                prop_assert!(four[3] - four[0] >= 10, "{applied:?}");
            }
        }

        #[test]
        fn after_the_pause_there_is_always_a_trial(gaps in prop::collection::vec(0u64..30, 1..50)) {
            let (mut backoff, clocks) = (RevertBackoff::default(), Clocks::new());
            let mut now = 0;
            for gap in gaps {
                now += gap;
                applies(&mut backoff, clocks, [now]);
                if let Some(until) = backoff.paused_until() {
                    let earliest = clocks.minute(now);
                    prop_assert!(until > earliest.time && until <= clocks.minute(now + 160).time);
                    let left = Duration::try_from(until - earliest.time).unwrap();
                    let end = Moment { time: until, instant: earliest.instant + left };
                    prop_assert_eq!(backoff.clone().missing(end), Turn::Apply);
                }
            }
        }
    }
}

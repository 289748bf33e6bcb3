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
//! Every revert restarts agents, and so does every apply. While the reverts go on there are three
//! applies, then one for each trial, ever more rarely. The contest ends without help once the
//! reverts end.
//!
//! ## Assumptions
//! The history is kept in memory only. After a restart of the operator the count starts again.

use jiff::{SignedDuration, Timestamp};

/// This many reverts within [`WINDOW`] make a contest.
pub const LIMIT: usize = 3;

/// How long a revert counts, how long the first pause is, and how long an apply must stand to end
/// the contest.
pub const WINDOW: SignedDuration = SignedDuration::from_mins(10);

/// The pause is doubled at most this often.
const MAX_DOUBLINGS: u32 = 4;

/// The history of our applies and their reverts.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct RevertBackoff {
    /// When we last applied. None once that apply was reverted.
    applied: Option<Timestamp>,
    /// When recent applies were reverted.
    reverts: Vec<Timestamp>,
    /// Nothing is applied before this time.
    paused_until: Option<Timestamp>,
    /// Pauses since the last contest ended.
    pauses: u32,
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
    pub fn missing(&mut self, now: Timestamp) -> Turn {
        if let Some(until) = self.paused_until {
            return self.paused(until, now);
        }
        // An apply that failed cannot be reverted, so a missing mount counts only after an apply
        // that succeeded.
        let Some(applied) = self.applied.take() else {
            return Turn::Apply;
        };
        if now.duration_since(applied) >= WINDOW {
            self.pauses = 0;
        }
        self.reverts.retain(|revert| now.duration_since(*revert) < WINDOW);
        self.reverts.push(now);
        // After a pause, a single revert of the trial starts the next pause.
        let limit = if self.pauses == 0 { LIMIT } else { 1 };
        if self.reverts.len() < limit {
            return Turn::Apply;
        }
        let until = now.checked_add(pause(self.pauses)).unwrap_or(Timestamp::MAX);
        self.pauses = self.pauses.saturating_add(1);
        self.paused_until = Some(until);
        Turn::Wait(until)
    }

    fn paused(&mut self, until: Timestamp, now: Timestamp) -> Turn {
        if now < until {
            return Turn::Wait(until);
        }
        self.paused_until = None;
        self.reverts.clear();
        Turn::Apply
    }

    /// Notes that our mount was applied.
    pub const fn applied(&mut self, now: Timestamp) {
        self.applied = Some(now);
    }

    /// The time of the next trial, while the mount is contested.
    pub const fn paused_until(&self) -> Option<Timestamp> {
        self.paused_until
    }
}

/// How long the pause is after that many earlier ones.
fn pause(earlier: u32) -> SignedDuration {
    WINDOW * 2_i32.pow(earlier.min(MAX_DOUBLINGS))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn minute(minutes: i64) -> Timestamp {
        Timestamp::from_second(minutes * 60).unwrap()
    }

    /// Finds the mount missing at each of those minutes and applies it where that is allowed.
    /// Returns the minutes of the applies.
    fn applies(backoff: &mut RevertBackoff, minutes: impl IntoIterator<Item = i64>) -> Vec<i64> {
        let mut applied = Vec::new();
        for at in minutes {
            if backoff.missing(minute(at)) == Turn::Apply {
                backoff.applied(minute(at));
                applied.push(at);
            }
        }
        applied
    }

    #[test]
    fn three_reverts_within_ten_minutes_start_a_pause() {
        let mut backoff = RevertBackoff::default();
        assert_eq!(applies(&mut backoff, 0..=9), [0, 1, 2]);
        assert_eq!(backoff.paused_until(), Some(minute(13)));
    }

    #[test]
    fn slow_reverts_never_start_a_pause() {
        let minutes = || (0..50).map(|n| n * 5);
        let applied = applies(&mut RevertBackoff::default(), minutes());
        assert_eq!(applied, minutes().collect::<Vec<_>>());
    }

    #[test]
    fn endless_reverts_are_tried_ever_more_rarely() {
        let mut backoff = RevertBackoff::default();
        // Pauses of 10, 20, 40, 80, 160, 160 … minutes, each with the minute that a trial stands.
        assert_eq!(applies(&mut backoff, 0..700), [0, 1, 2, 13, 34, 75, 156, 317, 478, 639]);
    }

    #[test]
    fn the_contest_ends_when_the_reverts_end() {
        let mut backoff = RevertBackoff::default();
        assert_eq!(applies(&mut backoff, [0, 1, 2, 3]), [0, 1, 2]);
        assert_eq!(applies(&mut backoff, [13]), [13], "the trial");
        assert_eq!(backoff.paused_until(), None);
        // The trial stood for ten minutes: three reverts are needed again.
        assert_eq!(applies(&mut backoff, [23, 24, 25]), [23, 24]);
    }

    #[test]
    fn a_missing_mount_without_a_successful_apply_is_not_a_revert() {
        let mut backoff = RevertBackoff::default();
        assert_eq!(backoff.missing(minute(0)), Turn::Apply);
        assert_eq!(backoff.missing(minute(1)), Turn::Apply, "an apply that failed");
    }

    proptest! {
        #[test]
        fn never_four_applies_within_ten_minutes(gaps in prop::collection::vec(0i64..30, 1..200)) {
            let minutes = gaps.iter().scan(0, |now, gap| {
                *now += gap;
                Some(*now)
            });
            let applied = applies(&mut RevertBackoff::default(), minutes);
            for four in applied.windows(4) {
                prop_assert!(four[3] - four[0] >= 10, "{applied:?}");
            }
        }

        #[test]
        fn after_the_pause_there_is_always_a_trial(gaps in prop::collection::vec(0i64..30, 1..50)) {
            let mut backoff = RevertBackoff::default();
            let mut now = 0;
            for gap in gaps {
                now += gap;
                applies(&mut backoff, [now]);
                if let Some(until) = backoff.paused_until() {
                    prop_assert!(until > minute(now) && until <= minute(now + 160));
                    prop_assert_eq!(backoff.clone().missing(until), Turn::Apply);
                }
            }
        }
    }
}

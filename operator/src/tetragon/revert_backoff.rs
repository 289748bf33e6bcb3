//! When to stop putting back what another manager keeps taking out: a state machine with time as a parameter.
//!
//! ## Flow
//! we apply → the mount is missing again: a revert → we apply again, up to three reverts within ten minutes → contested:
//! nothing is applied for ten minutes → one trial → it stands for ten minutes: peace, or it is reverted: contested
//! again, for twice as long, up to 160 minutes.
//!
//! ## Guarantees
//! Every revert restarts agents, and so does every apply: in a fight that never ends there are three applies and then
//! one at each ever rarer trial. The contest ends without anybody's help once the reverts end.
//!
//! ## Assumptions
//! The history lives in memory alone. After a restart of the operator the count begins anew.

use jiff::{SignedDuration, Timestamp};

/// Reverts within [`WINDOW`] that make a contest.
pub const LIMIT: usize = 3;

/// How long reverts count, how long the first pause is, and how long an apply must stand to be at peace again.
pub const WINDOW: SignedDuration = SignedDuration::from_mins(10);

/// Doublings of the pause at most.
const MAX_DOUBLINGS: u32 = 4;

/// What happened to our applies.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Contest {
    /// When we applied last, until that was reverted.
    applied: Option<Timestamp>,
    /// Recent reverts.
    reverts: Vec<Timestamp>,
    /// Nothing is applied before.
    paused_until: Option<Timestamp>,
    /// Pauses since the last peace.
    pauses: u32,
}

/// What may be done.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Turn {
    /// Apply.
    Apply,
    /// Contested: not before then.
    Wait(Timestamp),
}

impl Contest {
    /// Our mount is wanted and missing. Says what may be done, and the history with this moment in it.
    pub fn missing(mut self, now: Timestamp) -> (Self, Turn) {
        if let Some(until) = self.paused_until {
            if now < until {
                return (self, Turn::Wait(until));
            }
            self.paused_until = None;
            self.reverts.clear();
            return (self, Turn::Apply);
        }
        let Some(applied) = self.applied.take() else {
            return (self, Turn::Apply);
        };
        if now.duration_since(applied) >= WINDOW {
            self.pauses = 0;
        }
        self.reverts.retain(|revert| now.duration_since(*revert) < WINDOW);
        self.reverts.push(now);
        // A trial after a pause has one revert to lose.
        let limit = if self.pauses == 0 { LIMIT } else { 1 };
        if self.reverts.len() < limit {
            return (self, Turn::Apply);
        }
        let until = now.checked_add(pause(self.pauses)).unwrap_or(Timestamp::MAX);
        self.pauses = self.pauses.saturating_add(1);
        self.paused_until = Some(until);
        (self, Turn::Wait(until))
    }

    /// Our mount was applied.
    pub fn applied(mut self, now: Timestamp) -> Self {
        self.applied = Some(now);
        self
    }

    /// When the next trial is, while the mount is contested.
    pub fn paused_until(&self) -> Option<Timestamp> {
        self.paused_until
    }
}

/// The pause after that many others.
fn pause(others: u32) -> SignedDuration {
    WINDOW * 2_i32.pow(others.min(MAX_DOUBLINGS))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn minute(minutes: i64) -> Timestamp {
        Timestamp::from_second(minutes * 60).unwrap()
    }

    /// The mount is found missing at each of those minutes, and applied where that is allowed. Gives those minutes.
    fn applies(contest: &mut Contest, minutes: impl IntoIterator<Item = i64>) -> Vec<i64> {
        let mut applied = Vec::new();
        for at in minutes {
            let (next, turn) = contest.clone().missing(minute(at));
            *contest = next;
            if turn == Turn::Apply {
                *contest = contest.clone().applied(minute(at));
                applied.push(at);
            }
        }
        applied
    }

    #[test]
    fn three_reverts_within_ten_minutes_stop_us() {
        let mut contest = Contest::default();
        assert_eq!(applies(&mut contest, 0..=9), [0, 1, 2]);
        assert_eq!(contest.paused_until(), Some(minute(13)));
    }

    #[test]
    fn slow_reverts_are_put_back_for_ever() {
        let minutes = || (0..50).map(|n| n * 5);
        assert_eq!(applies(&mut Contest::default(), minutes()), minutes().collect::<Vec<_>>());
    }

    #[test]
    fn an_endless_fight_is_tried_ever_more_rarely() {
        let mut contest = Contest::default();
        // Pauses of 10, 20, 40, 80, 160, 160 … minutes, each with the minute that a trial stands.
        assert_eq!(applies(&mut contest, 0..700), [0, 1, 2, 13, 34, 75, 156, 317, 478, 639]);
    }

    #[test]
    fn the_contest_ends_when_the_reverts_end() {
        let mut contest = Contest::default();
        assert_eq!(applies(&mut contest, [0, 1, 2, 3]), [0, 1, 2]);
        assert_eq!(applies(&mut contest, [13]), [13], "the trial");
        assert_eq!(contest.paused_until(), None);
        // It stood for ten minutes: three reverts are needed again.
        assert_eq!(applies(&mut contest, [23, 24, 25]), [23, 24]);
    }

    #[test]
    fn the_first_apply_is_no_revert() {
        let (contest, turn) = Contest::default().missing(minute(0));
        assert_eq!(turn, Turn::Apply);
        assert_eq!(
            contest.missing(minute(1)).1,
            Turn::Apply,
            "an apply that failed was never reverted"
        );
    }

    proptest! {
        #[test]
        fn never_four_applies_within_ten_minutes(gaps in prop::collection::vec(0i64..30, 1..200)) {
            let minutes = gaps.iter().scan(0, |now, gap| {
                *now += gap;
                Some(*now)
            });
            let applied = applies(&mut Contest::default(), minutes);
            for four in applied.windows(4) {
                prop_assert!(four[3] - four[0] >= 10, "{applied:?}");
            }
        }

        #[test]
        fn after_the_pause_there_is_always_a_trial(gaps in prop::collection::vec(0i64..30, 1..50)) {
            let mut contest = Contest::default();
            let mut now = 0;
            for gap in gaps {
                now += gap;
                applies(&mut contest, [now]);
                if let Some(until) = contest.paused_until() {
                    prop_assert!(until > minute(now) && until <= minute(now + 160));
                    prop_assert_eq!(contest.clone().missing(until).1, Turn::Apply);
                }
            }
        }
    }
}

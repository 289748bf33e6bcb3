//! One moment by both clocks of this machine.

use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

/// In: how long something has lasted here, by the monotonic clock. Out: times that people can read.
/// The wall clock can be set back or forward at any time, and no wait may become longer by that.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Moment {
    /// By the wall clock: for people, for windows, and to compare with the times of others.
    pub time: Timestamp,
    /// By the monotonic clock: for every wait that is remembered in this process only.
    pub instant: Instant,
}

impl Moment {
    /// The time of an instant that is not over, as the wall clock will show it. None where it is
    /// over.
    pub fn until(self, end: Instant) -> Option<Timestamp> {
        let left = end.checked_duration_since(self.instant).filter(|left| !left.is_zero())?;
        Some(self.time.saturating_add(left).unwrap_or(Timestamp::MAX))
    }

    /// How long ago that instant was.
    pub fn since(self, begin: Instant) -> Duration {
        self.instant.saturating_duration_since(begin)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::sync::OnceLock;

    use super::*;

    /// The moment at which both clocks have run for so long.
    pub(crate) fn second(seconds: u64) -> Moment {
        static BEGIN: OnceLock<Instant> = OnceLock::new();
        let passed = Duration::from_secs(seconds);
        let instant = *BEGIN.get_or_init(Instant::now) + passed;
        Moment { time: Timestamp::UNIX_EPOCH + passed, instant }
    }

    #[test]
    fn an_end_is_shown_by_the_wall_clock_as_it_is_now() {
        let (begin, end) = (second(0), second(60).instant);
        assert_eq!(begin.until(end), Some(second(60).time));
        assert_eq!(second(60).until(end), None);
        assert_eq!(second(61).until(end), None);
        // The wall clock is set forward by an hour: there is still a minute left.
        let set = Moment { time: second(3600).time, ..begin };
        assert_eq!(set.until(end), Some(second(3660).time));
        assert_eq!(second(61).since(end), Duration::from_secs(1));
        assert_eq!(begin.since(end), Duration::ZERO);
    }
}

//! How long to wait. In: intervals, and a random number from 0 to 1. Out: durations.

use std::time::Duration;

use crate::sys;

const FIRST_BACKOFF: Duration = Duration::from_secs(1);
const LAST_BACKOFF: Duration = Duration::from_mins(1);
/// The longest pause while the API server answers, but does not know our kinds: their CRDs are
/// being replaced, and the report has to be back soon.
const LAST_BACKOFF_WITHOUT_KIND: Duration = Duration::from_secs(8);
/// The first and the longest upper bound of the pause after 429 (Too Many Requests). Thousands of
/// probes get that answer together, for example after a power failure, so they spread over many
/// seconds at once.
const FIRST_BACKOFF_THROTTLED: Duration = Duration::from_secs(16);
const LAST_BACKOFF_THROTTLED: Duration = Duration::from_secs(32);
/// The shortest pause after 429: the API server asks for one second (`Retry-After`).
const SHORTEST_PAUSE_THROTTLED: Duration = Duration::from_secs(1);
/// The longest pause between two looks at the LsmNode, while somebody else keeps changing it.
const LAST_LOOK: Duration = Duration::from_secs(45);
/// The pause between two looks at the hook profile, which all nodes with that kernel share.
pub const PROFILE_LOOK: Duration = Duration::from_secs(40);

/// A random number, at least 0 and below 1. One half if the kernel returns no random bits.
pub fn chance() -> f64 {
    sys::random_nonce().map_or(0.5, |nonce| fraction(nonce[0]))
}

/// The upper 32 bits as a fraction of 1.
fn fraction(bits: u64) -> f64 {
    f64::from(u32::try_from(bits >> 32).unwrap_or(0)) / (f64::from(u32::MAX) + 1.0)
}

/// Why a request failed, as far as the pause after it depends on that.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Failure {
    /// The API server does not know our kind (404).
    KindMissing,
    /// The API server has too many requests (429).
    Throttled,
    Other,
}

impl Failure {
    /// The failure of a request that was answered with this HTTP status, or not at all.
    pub fn of(code: Option<u16>) -> Self {
        match code {
            Some(404) => Self::KindMissing,
            Some(429) => Self::Throttled,
            _ => Self::Other,
        }
    }
}

/// The pause after that many failures in a row: a random part of an upper bound that doubles. It is
/// at least half of the bound, but after 429 anything from one second.
pub fn backoff(failures: u32, last: Failure, chance: f64) -> Duration {
    let (first, longest) = match last {
        Failure::KindMissing => (FIRST_BACKOFF, LAST_BACKOFF_WITHOUT_KIND),
        Failure::Throttled => (FIRST_BACKOFF_THROTTLED, LAST_BACKOFF_THROTTLED),
        Failure::Other => (FIRST_BACKOFF, LAST_BACKOFF),
    };
    let bound = first.saturating_mul(2u32.saturating_pow(failures)).min(longest);
    let shortest = if last == Failure::Throttled { SHORTEST_PAUSE_THROTTLED } else { bound / 2 };
    shortest + bound.saturating_sub(shortest).mul_f64(chance)
}

/// How often the daemon looks whether its LsmNode is as it left it. The pause doubles with each
/// time that it was not, so that two writers do not fight, and that the API server has too many
/// requests.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Looks {
    disturbed: u32,
}

impl Looks {
    /// The pause before the next look.
    pub fn pause(self, interval: Duration, chance: f64) -> Duration {
        let doubled = interval.saturating_mul(2u32.saturating_pow(self.disturbed));
        spread(doubled.min(LAST_LOOK.max(interval)), chance)
    }

    /// Remembers how a look ended.
    pub fn learn(&mut self, is_disturbed: bool) {
        // Above 8, the pause is the longest one for every interval of at least 1 s.
        self.disturbed = if is_disturbed {
            (self.disturbed + 1).min(8)
        } else {
            self.disturbed.saturating_sub(1)
        };
    }
}

/// The interval, randomly up to a tenth longer or shorter, so that the nodes of a cluster do not
/// all write at once.
pub fn spread(interval: Duration, chance: f64) -> Duration {
    interval.mul_f64(0.9 + chance / 5.0)
}

/// This node's renewal period: at most a fifth shorter than the configured one, and always the same
/// for a node.
pub fn renewal(period: Duration, node: &str) -> Duration {
    // FNV-1a, mixed once more because the hashes of similar names differ in the low bits only.
    let hash = node.bytes().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    period.mul_f64(1.0 - fraction(hash.wrapping_mul(0x9e37_79b9_7f4a_7c15)) / 5.0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn pauses_double_up_to_a_minute() {
        let pause = |failures, chance| backoff(failures, Failure::Other, chance);
        assert_eq!(pause(0, 0.0), Duration::from_millis(500));
        assert_eq!(pause(3, 0.0), Duration::from_secs(4));
        assert_eq!(pause(u32::MAX, 0.0), Duration::from_secs(30));
        assert!(pause(u32::MAX, 0.999) < LAST_BACKOFF);
        assert_eq!(backoff(u32::MAX, Failure::KindMissing, 0.0), Duration::from_secs(4));
    }

    #[test]
    fn throttled_probes_spread_over_seconds_at_once() {
        let pause = |failures, chance| backoff(failures, Failure::Throttled, chance).as_millis();
        assert_eq!([pause(0, 0.0), pause(0, 0.5), pause(0, 1.0)], [1000, 8500, 16_000]);
        assert_eq!([pause(1, 1.0), pause(2, 1.0)], [32_000, 32_000]);
        assert_eq!(pause(u32::MAX, 0.0), 1000);
    }

    #[test]
    fn the_answer_says_how_to_wait() {
        let of = |code| Failure::of(Some(code));
        assert_eq!(
            [of(404), of(429), of(503)],
            [Failure::KindMissing, Failure::Throttled, Failure::Other,]
        );
        assert_eq!(Failure::of(None), Failure::Other);
    }

    #[test]
    fn a_contested_report_is_looked_at_less_often_and_a_quiet_one_often_again() {
        let interval = Duration::from_secs(9);
        let pause = |looks: Looks| looks.pause(interval, 0.5).as_secs();
        let mut looks = Looks::default();
        let mut pauses = Vec::new();
        for is_disturbed in [true, true, true, true, false, false, false, false] {
            looks.learn(is_disturbed);
            pauses.push(pause(looks));
        }
        assert_eq!(pauses, [18, 36, 45, 45, 45, 36, 18, 9]);
    }

    #[test]
    fn nodes_renew_at_different_times() {
        let period = Duration::from_mins(30);
        let mut periods: Vec<Duration> =
            (0..100).map(|node| renewal(period, &format!("node-{node}"))).collect();
        periods.sort_unstable();
        assert!(
            periods[0] < period.mul_f64(0.85) && periods[99] > period.mul_f64(0.95),
            "{periods:?}"
        );
        assert_eq!(renewal(period, "a"), renewal(period, "a"));
    }

    proptest! {
        #[test]
        fn all_durations_stay_in_their_bounds(
            failures: u32, chance in 0.0..1.0f64, node in ".*", bits: u64,
        ) {
            let backoff = |last| backoff(failures, last, chance);
            prop_assert!(backoff(Failure::Other) <= LAST_BACKOFF);
            prop_assert!(backoff(Failure::Throttled) <= LAST_BACKOFF_THROTTLED);
            prop_assert!(backoff(Failure::Throttled) >= SHORTEST_PAUSE_THROTTLED);
            prop_assert!(backoff(Failure::KindMissing) <= LAST_BACKOFF_WITHOUT_KIND);
            prop_assert!((0.0..1.0).contains(&fraction(bits)));
            let hour = Duration::from_hours(1);
            let renewal = renewal(hour, &node);
            prop_assert!(renewal <= hour && renewal >= hour.mul_f64(0.79));
            let spread = spread(hour, chance);
            prop_assert!(spread <= hour.mul_f64(1.1) && spread >= hour.mul_f64(0.89));
        }
    }
}

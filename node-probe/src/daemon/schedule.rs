//! How long to wait. In: intervals, and a random number from 0 to 1. Out: durations.

use std::time::Duration;

use crate::sys;

const FIRST_BACKOFF: Duration = Duration::from_secs(1);
const LAST_BACKOFF: Duration = Duration::from_mins(1);
/// The longest pause while the API server answers, but does not know our kinds: their CRDs are
/// being replaced, and the report has to be back soon.
const LAST_BACKOFF_WITHOUT_KIND: Duration = Duration::from_secs(8);
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

/// The pause after that many failures in a row. The upper bound doubles from 1 s to 1 min, or to 8
/// s while only the kind is missing; the pause is a random part of it, at least one half.
pub fn backoff(failures: u32, is_kind_missing: bool, chance: f64) -> Duration {
    let last = if is_kind_missing { LAST_BACKOFF_WITHOUT_KIND } else { LAST_BACKOFF };
    let whole = FIRST_BACKOFF.saturating_mul(2u32.saturating_pow(failures)).min(last);
    whole.mul_f64(0.5 + chance / 2.0)
}

/// How often the daemon looks whether its LsmNode is as it left it. The pause doubles with each
/// time that it was not, so that two writers do not fight.
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

    /// Remembers whether somebody else had changed the LsmNode.
    pub fn learn(&mut self, is_changed: bool) {
        // Above 8, the pause is the longest one for every interval of at least 1 s.
        self.disturbed =
            if is_changed { (self.disturbed + 1).min(8) } else { self.disturbed.saturating_sub(1) };
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
        assert_eq!(backoff(0, false, 0.0), Duration::from_millis(500));
        assert_eq!(backoff(3, false, 0.0), Duration::from_secs(4));
        assert_eq!(backoff(u32::MAX, false, 0.0), Duration::from_secs(30));
        assert!(backoff(u32::MAX, false, 0.999) < LAST_BACKOFF);
        assert_eq!(backoff(u32::MAX, true, 0.0), Duration::from_secs(4));
    }

    #[test]
    fn a_contested_report_is_looked_at_less_often_and_a_quiet_one_often_again() {
        let interval = Duration::from_secs(9);
        let pause = |looks: Looks| looks.pause(interval, 0.5).as_secs();
        let mut looks = Looks::default();
        let mut pauses = Vec::new();
        for is_changed in [true, true, true, true, false, false, false, false] {
            looks.learn(is_changed);
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
            prop_assert!(backoff(failures, false, chance) <= LAST_BACKOFF);
            prop_assert!(backoff(failures, true, chance) <= LAST_BACKOFF_WITHOUT_KIND);
            prop_assert!((0.0..1.0).contains(&fraction(bits)));
            let hour = Duration::from_hours(1);
            let renewal = renewal(hour, &node);
            prop_assert!(renewal <= hour && renewal >= hour.mul_f64(0.79));
            let spread = spread(hour, chance);
            prop_assert!(spread <= hour.mul_f64(1.1) && spread >= hour.mul_f64(0.89));
        }
    }
}

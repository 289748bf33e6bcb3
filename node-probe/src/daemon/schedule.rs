//! How long to wait. In: intervals, and a random number from 0 to 1 where chance plays a part. Out:
//! durations.

use std::time::Duration;

use crate::sys;

const FIRST_BACKOFF: Duration = Duration::from_secs(1);
const LAST_BACKOFF: Duration = Duration::from_mins(1);

/// A random number, at least 0 and below 1. One half if the kernel returns no random bits.
pub fn chance() -> f64 {
    sys::random_nonce().map_or(0.5, |nonce| fraction(nonce[0]))
}

/// The upper 32 bits as a fraction of 1.
fn fraction(bits: u64) -> f64 {
    f64::from(u32::try_from(bits >> 32).unwrap_or(0)) / (f64::from(u32::MAX) + 1.0)
}

/// The pause after that many failures in a row. The upper bound doubles from 1 s to 1 min; the
/// pause is a random part of it, at least one half.
pub fn backoff(failures: u32, chance: f64) -> Duration {
    let whole = FIRST_BACKOFF.saturating_mul(2u32.saturating_pow(failures)).min(LAST_BACKOFF);
    whole.mul_f64(0.5 + chance / 2.0)
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
        assert_eq!(backoff(0, 0.0), Duration::from_millis(500));
        assert_eq!(backoff(3, 0.0), Duration::from_secs(4));
        assert_eq!(backoff(u32::MAX, 0.0), Duration::from_secs(30));
        assert!(backoff(u32::MAX, 0.999) < LAST_BACKOFF);
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
        fn all_durations_stay_in_their_bounds(failures: u32, chance in 0.0..1.0f64, node in ".*", bits: u64) {
            prop_assert!(backoff(failures, chance) <= LAST_BACKOFF);
            prop_assert!((0.0..1.0).contains(&fraction(bits)));
            let hour = Duration::from_hours(1);
            prop_assert!(renewal(hour, &node) <= hour && renewal(hour, &node) >= hour.mul_f64(0.79));
            prop_assert!(spread(hour, chance) <= hour.mul_f64(1.1) && spread(hour, chance) >= hour.mul_f64(0.89));
        }
    }
}

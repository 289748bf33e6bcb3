//! How long to wait before an object that failed is tried again: five seconds, doubling to five minutes, with jitter,
//! forgotten on success. kube has no memory of its own for this.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// First wait.
const FIRST: Duration = Duration::from_secs(5);
/// Longest wait before jitter.
const LONGEST: Duration = Duration::from_mins(5);

/// Failures in a row, by an object's UID.
#[derive(Debug, Default)]
pub struct Backoff(Mutex<HashMap<String, u32>>);

impl Backoff {
    /// Notes a failure and says how long to wait.
    pub fn failed(&self, uid: &str) -> Duration {
        let mut failures = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = failures.entry(uid.to_owned()).or_default();
        *count = count.saturating_add(1);
        jittered(wait(*count), fastrand::f64())
    }

    /// Forgets the failures of an object.
    pub fn succeeded(&self, uid: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(uid);
    }
}

/// The wait after that many failures in a row.
fn wait(failures: u32) -> Duration {
    let doublings = failures.saturating_sub(1).min(16);
    FIRST.saturating_mul(1 << doublings).min(LONGEST)
}

/// `wait`, up to a fifth longer or shorter; `dice` is in 0..1.
fn jittered(wait: Duration, dice: f64) -> Duration {
    wait.mul_f64(dice.mul_add(0.4, 0.8))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_to_five_minutes() {
        let waits: Vec<u64> = (1..=9).map(|n| wait(n).as_secs()).collect();
        assert_eq!(waits, [5, 10, 20, 40, 80, 160, 300, 300, 300]);
        assert_eq!(wait(u32::MAX), LONGEST);
    }

    #[test]
    fn jitter_stays_within_a_fifth() {
        assert_eq!(jittered(FIRST, 0.0), Duration::from_secs(4));
        assert_eq!(jittered(FIRST, 1.0), Duration::from_secs(6));
    }

    #[test]
    fn success_forgets() {
        let backoff = Backoff::default();
        backoff.failed("a");
        assert!(backoff.failed("a") >= Duration::from_secs(8));
        backoff.succeeded("a");
        assert!(backoff.failed("a") <= Duration::from_secs(6));
    }
}

//! The wait before a failed reconcile is tried again.
//!
//! In: the failures of an object, by its UID. Out: a wait that begins at five seconds and doubles
//! up to five minutes, with jitter. A success resets it. kube's controller does not count failures,
//! so the count is kept here.

use std::collections::HashMap;
use std::time::Duration;

use parking_lot::Mutex;

const FIRST_RETRY: Duration = Duration::from_secs(5);
/// Before jitter.
const LONGEST_RETRY: Duration = Duration::from_mins(5);

/// The failures of each controller's objects.
#[derive(Debug, Default)]
pub struct Backoffs {
    pub nodes: Backoff,
    pub policies: Backoff,
    pub daemon_sets: Backoff,
}

/// Failures in a row, by an object's UID.
#[derive(Debug, Default)]
pub struct Backoff(Mutex<HashMap<String, u32>>);

impl Backoff {
    /// Counts a failure and returns how long to wait.
    pub fn failed(&self, uid: &str) -> Duration {
        let mut failures = self.0.lock();
        let count = failures.entry(uid.to_owned()).or_default();
        *count = count.saturating_add(1);
        jittered(doubled(FIRST_RETRY, *count, LONGEST_RETRY), fastrand::f64())
    }

    /// Resets the failures of an object, because it was reconciled or is gone.
    pub fn reset(&self, uid: &str) {
        self.0.lock().remove(uid);
    }

    /// Keeps the failures of the objects that exist.
    pub fn retain(&self, exists: impl Fn(&str) -> bool) {
        self.0.lock().retain(|uid, _| exists(uid));
    }
}

/// The wait after that many failures in a row: `first`, doubled with each further failure, at most
/// `longest`.
pub fn doubled(first: Duration, failures: u32, longest: Duration) -> Duration {
    first.saturating_mul(2_u32.saturating_pow(failures.saturating_sub(1))).min(longest)
}

/// `wait`, up to a fifth longer or shorter. `random` is between 0 and 1.
pub fn jittered(wait: Duration, random: f64) -> Duration {
    wait.mul_f64(random.mul_add(0.4, 0.8))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_doubles_up_to_five_minutes() {
        let wait = |failures| doubled(FIRST_RETRY, failures, LONGEST_RETRY);
        let waits: Vec<u64> = (1..=9).map(|failures| wait(failures).as_secs()).collect();
        assert_eq!(waits, [5, 10, 20, 40, 80, 160, 300, 300, 300]);
        assert_eq!(wait(u32::MAX), LONGEST_RETRY);
    }

    #[test]
    fn jitter_changes_the_wait_by_at_most_a_fifth() {
        assert_eq!(jittered(FIRST_RETRY, 0.0), Duration::from_secs(4));
        assert_eq!(jittered(FIRST_RETRY, 1.0), Duration::from_secs(6));
    }

    #[test]
    fn a_success_resets_the_wait() {
        let backoff = Backoff::default();
        backoff.failed("a");
        assert!(backoff.failed("a") >= Duration::from_secs(8));
        backoff.reset("a");
        assert!(backoff.failed("a") <= Duration::from_secs(6));
    }
}

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
/// The waits are up to a fifth longer or shorter.
const JITTER: f64 = 0.2;

/// After a conflict, the new object mostly arrives within a second: 0.2 to 1 second.
const FIRST_AFTER_CONFLICT: Duration = Duration::from_millis(600);
const LONGEST_AFTER_CONFLICT: Duration = Duration::from_secs(30);
const JITTER_AFTER_CONFLICT: f64 = 2.0 / 3.0;

/// The failures of each controller's objects.
#[derive(Debug)]
pub struct Backoffs {
    pub nodes: Backoff,
    pub policies: Backoff,
    pub daemon_sets: Backoff,
    /// Writes that the API server refused because the object was changed meanwhile.
    pub node_conflicts: Backoff,
    pub policy_conflicts: Backoff,
}

impl Default for Backoffs {
    fn default() -> Self {
        Self {
            nodes: Backoff::default(),
            policies: Backoff::default(),
            daemon_sets: Backoff::default(),
            node_conflicts: Backoff::of_conflicts(),
            policy_conflicts: Backoff::of_conflicts(),
        }
    }
}

/// Failures in a row, by an object's UID.
#[derive(Debug)]
pub struct Backoff {
    failures: Mutex<HashMap<String, u32>>,
    first: Duration,
    longest: Duration,
    jitter: f64,
}

impl Default for Backoff {
    fn default() -> Self {
        let failures = Mutex::default();
        Self { failures, first: FIRST_RETRY, longest: LONGEST_RETRY, jitter: JITTER }
    }
}

impl Backoff {
    fn of_conflicts() -> Self {
        Self {
            first: FIRST_AFTER_CONFLICT,
            longest: LONGEST_AFTER_CONFLICT,
            jitter: JITTER_AFTER_CONFLICT,
            ..Self::default()
        }
    }

    /// Counts a failure and returns how long to wait.
    pub fn failed(&self, uid: &str) -> Duration {
        let mut failures = self.failures.lock();
        let count = failures.entry(uid.to_owned()).or_default();
        *count = count.saturating_add(1);
        spread(doubled(self.first, *count, self.longest), self.jitter, fastrand::f64())
    }

    /// Whether the last reconcile failed, and the one before did not.
    pub fn has_failed_once(&self, uid: &str) -> bool {
        self.failures.lock().get(uid).is_some_and(|count| *count == 1)
    }

    /// Resets the failures of an object, because it was reconciled or is gone.
    pub fn reset(&self, uid: &str) {
        self.failures.lock().remove(uid);
    }

    /// Keeps the failures of the objects that exist.
    pub fn retain(&self, exists: impl Fn(&str) -> bool) {
        self.failures.lock().retain(|uid, _| exists(uid));
    }
}

/// The wait after that many failures in a row: `first`, doubled with each further failure, at most
/// `longest`.
pub fn doubled(first: Duration, failures: u32, longest: Duration) -> Duration {
    first.saturating_mul(2_u32.saturating_pow(failures.saturating_sub(1))).min(longest)
}

/// `wait`, up to a fifth longer or shorter. `random` is between 0 and 1.
pub fn jittered(wait: Duration, random: f64) -> Duration {
    spread(wait, JITTER, random)
}

/// `wait`, up to that part longer or shorter. `random` is between 0 and 1.
fn spread(wait: Duration, jitter: f64, random: f64) -> Duration {
    wait.mul_f64(random.mul_add(2.0 * jitter, 1.0 - jitter))
}

/// Whether the object was changed since it was seen.
pub fn is_conflict(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 409)
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
    fn after_a_conflict_the_wait_begins_below_one_second() {
        let backoff = Backoff::of_conflicts();
        let first = backoff.failed("a");
        assert!(
            first >= Duration::from_millis(199) && first <= Duration::from_secs(1),
            "{first:?}"
        );
        for _ in 0..20 {
            assert!(backoff.failed("a") <= LONGEST_AFTER_CONFLICT * 2);
        }
    }

    #[test]
    fn a_success_resets_the_wait() {
        let backoff = Backoff::default();
        backoff.failed("a");
        assert!(backoff.failed("a") >= Duration::from_secs(8));
        backoff.reset("a");
        assert!(backoff.failed("a") <= Duration::from_secs(6));
    }

    #[test]
    fn an_object_has_failed_once_until_it_fails_again_or_succeeds() {
        let backoff = Backoff::default();
        assert!(!backoff.has_failed_once("a"));
        backoff.failed("a");
        assert!(backoff.has_failed_once("a"));
        assert!(!backoff.has_failed_once("b"));
        backoff.failed("a");
        assert!(!backoff.has_failed_once("a"));
        backoff.reset("a");
        assert!(!backoff.has_failed_once("a"));
    }
}

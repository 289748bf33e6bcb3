//! Limits evaluations of each policy to one a second. So a rollout of a thousand nodes is a few
//! writes, not a thousand.
//!
//! In: when each policy was last evaluated and written, by the monotonic clock. Out: how long to
//! wait.
//!
//! ## Guarantees
//! - An evaluation begins a second after the last one has ended, with its write, whatever became of
//!   that. So the API server receives two writes of one status at least a second apart.
//! - It does not begin before the watch has shown our last write: from an older object it could
//!   only be refused.

use std::collections::HashMap;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::context::last_write::LastWrite;

/// Minimum time between two evaluations of a policy.
const MIN_INTERVAL: Duration = Duration::from_secs(1);

/// What is remembered of each policy, by its UID.
#[derive(Debug, Default)]
pub struct RateLimit(Mutex<HashMap<String, Last>>);

/// What was last done to a policy.
#[derive(Clone, Copy, Debug)]
struct Last {
    evaluated: Instant,
    write: Option<LastWrite>,
}

impl RateLimit {
    /// Records that an evaluation begins, of the policy with that resourceVersion. The error is the
    /// time to wait before that.
    pub fn allow(&self, uid: &str, version: Option<&str>, now: Instant) -> Result<(), Duration> {
        let mut all = self.0.lock();
        let last = all.get(uid).copied();
        if let Some(wait) = last.and_then(|last| last.wait(version, now)) {
            return Err(wait);
        }
        let write = last.and_then(|last| last.write);
        all.insert(uid.to_owned(), Last { evaluated: now, write });
        Ok(())
    }

    /// Records a write, with the resourceVersion that the API server answered.
    pub fn wrote(&self, uid: &str, version: Option<&str>, now: Instant) {
        let write = Some(LastWrite::new(version, now));
        self.0.lock().insert(uid.to_owned(), Last { evaluated: now, write });
    }

    /// Records the end of an evaluation whose write took its time.
    pub fn ended(&self, uid: &str, now: Instant) {
        if let Some(last) = self.0.lock().get_mut(uid) {
            last.evaluated = now;
        }
    }

    /// Keeps the policies that exist.
    pub fn retain(&self, exists: impl Fn(&str) -> bool) {
        self.0.lock().retain(|uid, _| exists(uid));
    }
}

impl Last {
    /// What is left of the second since the last evaluation, or of the wait for the watch. Two
    /// threads read the clock and then lock, so the last evaluation may be later than `now`.
    fn wait(&self, version: Option<&str>, now: Instant) -> Option<Duration> {
        let left = MIN_INTERVAL.saturating_sub(now.saturating_duration_since(self.evaluated));
        let unseen = self.write.and_then(|write| write.unseen(version, now)).unwrap_or_default();
        Some(left.max(unseen)).filter(|wait| !wait.is_zero())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    #[tokio::test(start_paused = true)]
    async fn each_policy_is_evaluated_once_a_second() {
        let (rate_limit, began) = (RateLimit::default(), Instant::now());
        let allow = |uid, at| rate_limit.allow(uid, None, began + ms(at));
        assert_eq!(allow("a", 0), Ok(()));
        assert_eq!(allow("b", 100), Ok(()));
        assert_eq!(allow("a", 300), Err(ms(700)));
        assert_eq!(allow("a", 1000), Ok(()));
        rate_limit.ended("a", began + ms(1900));
        assert_eq!(allow("a", 2000), Err(ms(900)));
        rate_limit.retain(|uid| uid == "b");
        assert_eq!(allow("a", 2000), Ok(()));
    }

    /// Another thread read the clock before the evaluation of this policy ended, and asks for its
    /// own policy, or for this one, after that.
    #[tokio::test(start_paused = true)]
    async fn a_clock_that_was_read_too_early_allows_no_second_evaluation() {
        let (rate_limit, began) = (RateLimit::default(), Instant::now());
        rate_limit.allow("a", None, began).unwrap();
        rate_limit.ended("a", began + ms(101));
        assert_eq!(rate_limit.allow("b", None, began + ms(100)), Ok(()));
        assert_eq!(rate_limit.allow("a", None, began + ms(100)), Err(ms(1000)));
        assert_eq!(rate_limit.allow("a", None, began + ms(102)), Err(ms(999)));
    }

    #[tokio::test(start_paused = true)]
    async fn no_evaluation_begins_before_the_watch_has_shown_the_last_write() {
        let (rate_limit, began) = (RateLimit::default(), Instant::now());
        let allow = |version, at| rate_limit.allow("a", Some(version), began + ms(at));
        assert_eq!(allow("7", 0), Ok(()));
        rate_limit.wrote("a", Some("8"), began);
        assert_eq!(allow("7", 5000), Err(ms(10_000)));
        assert_eq!(allow("7", 15_000), Ok(()), "the versions may have gone back");
        assert_eq!(allow("8", 15_500), Err(ms(500)));
        assert_eq!(allow("8", 16_000), Ok(()));
    }

    proptest! {
        /// Whatever threads ask in whatever order, with clocks read up to 50 ms before: between the
        /// end of one evaluation and the beginning of the next there is a second.
        #[test]
        fn writes_are_a_second_apart(
            steps in prop::collection::vec((0..3_usize, 0..400_u64, 0..50_u64, 0..300_u64), 1..200),
        ) {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let _entered = runtime.enter();
            let (rate_limit, began) = (RateLimit::default(), Instant::now());
            let (mut now, mut ends) = (100, [None; 3]);
            for (policy, passed, read_before, takes) in steps {
                now += passed;
                let uid = ["a", "b", "c"][policy];
                let read = now - read_before;
                if rate_limit.allow(uid, None, began + ms(read)).is_ok() {
                    let least = ends[policy].map_or(0, |end: u64| end + 1000);
                    prop_assert!(now >= least, "{uid} at {now}, least {least}");
                    // Others may ask meanwhile, with clocks from before this end.
                    ends[policy] = Some(now + takes);
                    rate_limit.ended(uid, began + ms(now + takes));
                }
            }
        }
    }
}

//! Limits evaluations of each policy to one a second. So a rollout of a thousand nodes is a few
//! writes, not a thousand.

use std::collections::HashMap;
use std::time::Duration;

use jiff::Timestamp;
use parking_lot::Mutex;

/// Minimum time between two evaluations of a policy.
const MIN_INTERVAL: Duration = Duration::from_secs(1);

/// When each policy was last evaluated, by UID.
#[derive(Debug, Default)]
pub struct RateLimit(Mutex<HashMap<String, Timestamp>>);

impl RateLimit {
    /// Records an evaluation. The error is the time to wait, if the last one was less than a second
    /// ago.
    pub fn allow(&self, uid: &str, now: Timestamp) -> Result<(), Duration> {
        let mut last = self.0.lock();
        // Drops the entries of deleted policies too, so the map does not grow.
        last.retain(|_, then| wait(*then, now).is_some());
        if let Some(wait) = last.get(uid).and_then(|then| wait(*then, now)) {
            return Err(wait);
        }
        last.insert(uid.to_owned(), now);
        Ok(())
    }

    /// Records the end of an evaluation whose write took its time: the next one comes a second
    /// after that.
    pub fn ended(&self, uid: &str, now: Timestamp) {
        self.0.lock().insert(uid.to_owned(), now);
    }

    /// Keeps the policies that exist.
    pub fn retain(&self, exists: impl Fn(&str) -> bool) {
        self.0.lock().retain(|uid, _| exists(uid));
    }
}

/// What is left of the second since `then`. If the clock was set back, nothing is left.
fn wait(then: Timestamp, now: Timestamp) -> Option<Duration> {
    let elapsed = Duration::try_from(now - then).ok()?;
    MIN_INTERVAL.checked_sub(elapsed).filter(|left| !left.is_zero())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_policy_is_evaluated_once_a_second() {
        let rate_limit = RateLimit::default();
        let at = |ms: i64| Timestamp::from_millisecond(ms).unwrap();
        assert_eq!(rate_limit.allow("a", at(0)), Ok(()));
        assert_eq!(rate_limit.allow("b", at(100)), Ok(()));
        assert_eq!(rate_limit.allow("a", at(300)), Err(Duration::from_millis(700)));
        assert_eq!(rate_limit.allow("a", at(1000)), Ok(()));
        assert_eq!(rate_limit.allow("a", at(500)), Ok(()), "the clock was set back");
        rate_limit.ended("a", at(900));
        assert_eq!(rate_limit.allow("a", at(1500)), Err(Duration::from_millis(400)));
    }
}

//! The last write to an object, until the watch has shown it.
//!
//! In: the resourceVersion that the API server answered to our last write, and that of the object
//! in the store. Out: how long to wait for the watch.

use std::time::Duration;

use tokio::time::Instant;

/// A watch shows a write within milliseconds, and is renewed after ten seconds.
const LONGEST_UNSEEN: Duration = Duration::from_secs(15);

/// Our last write to an object.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct LastWrite {
    /// The resourceVersion after the write. None where it is no number.
    pub version: Option<u64>,
    pub at: Instant,
}

impl LastWrite {
    pub fn new(version: Option<&str>, at: Instant) -> Self {
        Self { version: version.and_then(number), at }
    }

    /// How long to wait, where the object that the watch has shown is older than our last write.
    /// Another write would only be refused. The wait has an end, so that nothing stands still where
    /// versions went back, as after a restore of etcd.
    pub fn unseen(&self, seen: Option<&str>, now: Instant) -> Option<Duration> {
        let is_older = seen.and_then(number)? < self.version?;
        let passed = now.saturating_duration_since(self.at);
        let left = LONGEST_UNSEEN.checked_sub(passed).filter(|left| !left.is_zero())?;
        is_older.then_some(left)
    }

    /// Whether the object was written by others after our last write.
    pub fn is_before(&self, seen: Option<&str>) -> bool {
        seen.and_then(number).zip(self.version).is_some_and(|(seen, ours)| seen > ours)
    }
}

fn number(version: &str) -> Option<u64> {
    version.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_object_that_is_older_than_our_last_write_waits_for_the_watch_and_not_for_ever() {
        let began = Instant::now();
        let write = LastWrite::new(Some("9"), began);
        let unseen =
            |version, second| write.unseen(Some(version), began + Duration::from_secs(second));
        assert_eq!(unseen("7", 1), Some(Duration::from_secs(14)));
        assert_eq!(unseen("7", 15), None, "the versions may have gone back");
        assert_eq!(unseen("9", 1), None);
        assert_eq!(unseen("10", 1), None);
        assert_eq!(unseen("a", 1), None, "no number");
        assert_eq!(LastWrite::new(Some("a"), began).unseen(Some("7"), began), None);
        assert_eq!(LastWrite::new(None, began).unseen(Some("7"), began), None);
    }

    #[tokio::test(start_paused = true)]
    async fn only_a_newer_object_was_written_by_others() {
        let write = LastWrite::new(Some("9"), Instant::now());
        let newer = ["8", "9", "10", "a"].map(|version| write.is_before(Some(version)));
        assert_eq!(newer, [false, false, true, false]);
        assert!(!write.is_before(None));
    }
}

//! How soon a watch that broke is restarted.
//!
//! The waits are short: while a watch is broken, labels may be wrong. They begin at a fifth of a
//! second, double up to four seconds, and vary by a fifth, so that the watches of several kinds do
//! not return at the same moment. A change that arrives resets them. A list does not: a server
//! that answers lists and refuses watches would be asked without pause.

use std::time::Duration;

use tokio::time::Instant;

use crate::context::backoff::{doubled, jittered};

const FIRST: Duration = Duration::from_millis(200);
const LONGEST: Duration = Duration::from_secs(4);
/// A watch that was well for so long begins with the shortest wait.
const WELL_AFTER: Duration = Duration::from_secs(30);

/// The failures of one watch in a row.
#[derive(Debug, Default)]
pub struct Retry {
    failures: u32,
    last: Option<Instant>,
}

impl Retry {
    /// Counts a failure and returns how long to wait.
    pub fn failed(&mut self, now: Instant) -> Duration {
        if self.last.is_some_and(|last| now.duration_since(last) >= WELL_AFTER) {
            self.failures = 0;
        }
        self.last = Some(now);
        self.failures = self.failures.saturating_add(1);
        jittered(doubled(FIRST, self.failures, LONGEST), fastrand::f64())
    }

    /// A change arrived.
    pub const fn works(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_wait_never_exceeds_five_seconds() {
        let (mut retry, now) = (Retry::default(), Instant::now());
        let waits: Vec<Duration> = (0..20).map(|_| retry.failed(now)).collect();
        assert!(waits[0] <= Duration::from_millis(240), "{waits:?}");
        assert!(waits.iter().all(|wait| *wait < Duration::from_secs(5)), "{waits:?}");
        assert!(waits[19] > Duration::from_secs(3), "{waits:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_change_or_half_a_minute_resets_the_wait() {
        let (mut retry, now) = (Retry::default(), Instant::now());
        for _ in 0..9 {
            retry.failed(now);
        }
        retry.works();
        assert!(retry.failed(now) < Duration::from_secs(1));
        for _ in 0..9 {
            retry.failed(now);
        }
        assert!(retry.failed(now + WELL_AFTER) < Duration::from_secs(1));
    }
}

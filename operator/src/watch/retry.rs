//! How soon a watch that broke is restarted, and objects are listed again.
//!
//! | | first wait | longest | begins with the first wait again |
//! |---|---|---|---|
//! | a watch broke | 0.2 s | 4 s | after a change that arrived, or 30 s without a failure |
//! | objects must be listed again | 0.2 s | 30 s | 30 s, and 4 times the last wait, after a list |
//!
//! The waits double, and vary by a fifth, so that the watches of several kinds do not return at the
//! same moment. Those of a watch are short: while it is broken, labels may be wrong. A list does
//! not reset them: a server that answers lists and refuses watches would be asked without pause. A
//! list of a large cluster is work for the API server. Where a watch falls behind again and again,
//! more lists would make it worse, and a change that arrives between them says nothing. Where an API
//! server restarts now and then, each of its restarts needs a list soon: labels may be wrong until
//! it is complete.

use std::time::Duration;

use kube_runtime::watcher::{self, Event};
use tokio::time::Instant;

use crate::context::backoff::{doubled, jittered};

const FIRST: Duration = Duration::from_millis(200);

/// What is waited for after failures of the watch of one kind.
#[derive(Debug)]
pub struct Retries {
    watches: Retry,
    lists: Retry,
    /// Some objects of a list have arrived, and the list is not complete.
    is_within_list: bool,
}

impl Default for Retries {
    fn default() -> Self {
        Self {
            watches: Retry::new(Duration::from_secs(4), Duration::from_secs(30)),
            lists: Retry::new(Duration::from_secs(30), Duration::from_secs(30)),
            is_within_list: false,
        }
    }
}

impl Retries {
    /// Counts a failure and returns how long to wait.
    pub fn failed(&mut self, error: &watcher::Error, now: Instant) -> Duration {
        // Some objects were listed in vain, or all of them have to be listed again.
        let lists_again = std::mem::take(&mut self.is_within_list) || code(error) == Some(GONE);
        self.wait(lists_again, now)
    }

    fn wait(&mut self, lists_again: bool, now: Instant) -> Duration {
        let retry = if lists_again { &mut self.lists } else { &mut self.watches };
        let wait = retry.failed(now);
        // A list may take long. All is well from its end on.
        retry.well_since = (!lists_again).then_some(now);
        wait
    }

    /// Takes in what the watch says.
    pub const fn saw<K>(&mut self, event: &Event<K>, now: Instant) {
        self.is_within_list = matches!(event, Event::InitApply(_));
        match event {
            Event::InitDone => self.lists.well_since = Some(now),
            Event::Apply(_) | Event::Delete(_) => self.watches.failures = 0,
            Event::Init | Event::InitApply(_) => {}
        }
    }
}

/// Failures in a row.
#[derive(Debug)]
struct Retry {
    failures: u32,
    wait: Duration,
    /// Since when nothing has failed.
    well_since: Option<Instant>,
    longest: Duration,
    /// After so long without a failure, and four times the last wait, the next wait is the
    /// shortest one.
    well_after: Duration,
}

impl Retry {
    const fn new(longest: Duration, well_after: Duration) -> Self {
        Self { failures: 0, wait: Duration::ZERO, well_since: None, longest, well_after }
    }

    fn failed(&mut self, now: Instant) -> Duration {
        let well_after = self.well_after.max(self.wait * 4);
        if self.well_since.is_some_and(|since| now.duration_since(since) >= well_after) {
            self.failures = 0;
        }
        self.failures = self.failures.saturating_add(1);
        self.wait = jittered(doubled(FIRST, self.failures, self.longest), fastrand::f64());
        self.wait
    }
}

/// The API server no longer has that version.
pub(super) const GONE: u16 = 410;

/// The HTTP status of the API server, if it answered.
pub(crate) fn code(error: &watcher::Error) -> Option<u16> {
    use watcher::Error::{
        InitialListFailed, NoResourceVersion, WatchError, WatchFailed, WatchStartFailed,
    };
    match error {
        InitialListFailed(kube::Error::Api(status))
        | WatchStartFailed(kube::Error::Api(status))
        | WatchFailed(kube::Error::Api(status))
        | WatchError(status) => Some(status.code),
        InitialListFailed(_) | WatchStartFailed(_) | WatchFailed(_) | NoResourceVersion => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LISTED: Event<()> = Event::InitDone;

    /// The waits after so many failures at one moment.
    fn waits(retries: &mut Retries, lists_again: bool) -> Vec<Duration> {
        let now = Instant::now();
        (0..20).map(|_| retries.wait(lists_again, now)).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn the_wait_for_a_watch_never_exceeds_five_seconds() {
        let waits = waits(&mut Retries::default(), false);
        assert!(waits[0] <= Duration::from_millis(240), "{waits:?}");
        assert!(waits.iter().all(|wait| *wait < Duration::from_secs(5)), "{waits:?}");
        assert!(waits[19] > Duration::from_secs(3), "{waits:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_change_or_half_a_minute_resets_the_wait_for_a_watch() {
        let (mut retries, now) = (Retries::default(), Instant::now());
        waits(&mut retries, false);
        retries.saw(&Event::Apply(()), now);
        assert!(retries.wait(false, now) < Duration::from_secs(1));
        waits(&mut retries, false);
        assert!(retries.wait(false, now + Duration::from_secs(30)) < Duration::from_secs(1));
    }

    #[tokio::test(start_paused = true)]
    async fn only_a_watch_that_follows_for_long_resets_the_wait_for_a_list() {
        let (mut retries, now) = (Retries::default(), Instant::now());
        let waits = waits(&mut retries, true);
        assert!(waits[0] <= Duration::from_millis(240), "{waits:?}");
        assert!((24..=36).contains(&waits[19].as_secs()), "{waits:?}");
        retries.saw(&Event::Apply(()), now);
        let after = |seconds| now + Duration::from_secs(seconds);
        assert!(retries.wait(true, after(1_000)) > Duration::from_secs(20), "no list was complete");
        retries.saw(&LISTED, after(2_000));
        assert!(retries.wait(true, after(2_090)) > Duration::from_secs(20), "not for long enough");
        retries.saw(&LISTED, after(3_000));
        assert!(retries.wait(true, after(3_145)) < Duration::from_secs(1));
    }

    #[tokio::test(start_paused = true)]
    async fn each_restart_of_an_api_server_is_followed_soon() {
        let (mut retries, mut now) = (Retries::default(), Instant::now());
        for _ in 0..20 {
            retries.saw(&LISTED, now);
            now += Duration::from_secs(30);
            let wait = retries.wait(true, now);
            assert!(wait < Duration::from_secs(1), "{wait:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_list_that_broke_waits_longer_and_longer() {
        let (mut retries, now) = (Retries::default(), Instant::now());
        let mut last = Duration::ZERO;
        for _ in 0..20 {
            for event in [Event::Init, Event::InitApply(())] {
                retries.saw(&event, now);
            }
            last = retries.failed(&watcher::Error::NoResourceVersion, now);
        }
        assert!(last > Duration::from_secs(20), "{last:?}");
        // Here no list had begun.
        let wait = retries.failed(&watcher::Error::NoResourceVersion, now);
        assert!(wait < Duration::from_secs(1), "{wait:?}");
    }
}

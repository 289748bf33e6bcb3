//! Keeps log lines about objects and watches few: somebody who may write an object can make it
//! unreadable in a new way each millisecond.
//!
//! In: what a line would be about, and its text. Out: whether to log it. A line is logged when it
//! is the first about its subject or differs from the last, at most [`LINES`] a minute.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use tokio::time::Instant;

use crate::context::lines::Minute;

/// Maximum number of lines a minute, for each kind.
pub const LINES: u32 = 10;

/// The lines of one kind.
#[derive(Debug, Default)]
pub struct LogLimit {
    /// The last text about each subject, as a hash.
    last: HashMap<String, u64>,
    minute: Minute,
}

impl LogLimit {
    /// Whether to log that text about that subject now.
    pub fn allows(&mut self, subject: &str, text: &str, now: Instant) -> bool {
        let mut hasher = DefaultHasher::new();
        text.hash(&mut hasher);
        let hash = hasher.finish();
        if self.last.insert(subject.to_owned(), hash) == Some(hash) {
            return false;
        }
        self.minute.next(now) <= LINES
    }

    /// Forgets a subject: it is gone, or it is well again. The next line about it is a first one.
    pub fn forget(&mut self, subject: &str) {
        self.last.remove(subject);
    }

    /// Keeps what is known of the subjects that exist.
    pub fn retain(&mut self, exists: impl Fn(&str) -> bool) {
        self.last.retain(|subject, _| exists(subject));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_same_text_is_logged_once() {
        let mut limit = LogLimit::default();
        let now = Instant::now();
        assert!(limit.allows("a", "1", now));
        assert!(!limit.allows("a", "1", now));
        assert!(limit.allows("a", "2", now));
        assert!(limit.allows("b", "1", now));
        limit.forget("a");
        assert!(limit.allows("a", "2", now));
    }

    #[tokio::test(start_paused = true)]
    async fn changing_texts_are_logged_ten_times_a_minute() {
        let mut limit = LogLimit::default();
        let began = Instant::now();
        let logged = |limit: &mut LogLimit, now| {
            (0..1000).filter(|number| limit.allows("a", &format!("{number}"), now)).count()
        };
        assert_eq!(logged(&mut limit, began), 10);
        assert_eq!(logged(&mut limit, began + Duration::from_secs(59)), 0);
        assert_eq!(logged(&mut limit, began + Duration::from_secs(61)), 10);
    }
}

//! Says on standard error what is being read, when it takes longer than a second.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io::{IsTerminal, Write};
use std::pin::pin;
use std::time::{Duration, Instant};

/// After this time people want to know what happens.
const PATIENCE: Duration = Duration::from_secs(1);

/// How often the line is written.
const INTERVAL: Duration = Duration::from_millis(200);

/// Removes the line on which the cursor is.
const CLEAR: &str = "\r\u{1b}[K";

/// The progress of one command. Nothing is shown unless standard error is a terminal.
pub struct Progress {
    server: String,
    since: Instant,
    is_terminal: bool,
    is_shown: Cell<bool>,
    read: RefCell<BTreeMap<&'static str, (usize, Option<i64>)>>,
}

impl Progress {
    /// The progress of reading from that server.
    pub fn of(server: String) -> Self {
        Self {
            server,
            since: Instant::now(),
            is_terminal: std::io::stderr().is_terminal(),
            is_shown: Cell::new(false),
            read: RefCell::default(),
        }
    }

    /// Notes how many objects of a kind were read, and how many are left.
    pub fn note(&self, kind: &'static str, read: usize, left: Option<i64>) {
        self.read.borrow_mut().insert(kind, (read, left));
    }

    /// Does that work, with the line on a terminal from the first second on.
    pub async fn during<T>(&self, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        loop {
            let pause = PATIENCE.saturating_sub(self.since.elapsed()).max(INTERVAL);
            if let Ok(result) = tokio::time::timeout(pause, work.as_mut()).await {
                self.end();
                return result;
            }
            self.show();
        }
    }

    fn show(&self) {
        if self.is_terminal && self.since.elapsed() >= PATIENCE {
            self.is_shown.set(true);
            write!(std::io::stderr(), "{CLEAR}{}", line(&self.server, &self.read.borrow())).ok();
        }
    }

    /// Removes the line.
    fn end(&self) {
        if self.is_shown.replace(false) {
            write!(std::io::stderr(), "{CLEAR}").ok();
        }
    }
}

fn line(server: &str, read: &BTreeMap<&'static str, (usize, Option<i64>)>) -> String {
    if read.is_empty() {
        return format!("Waiting for {server}");
    }
    let kinds = read.iter().map(|(kind, (read, left))| match left {
        Some(left) => format!("{read} of {} {kind}", *read + usize::try_from(*left).unwrap_or(0)),
        None => format!("{read} {kind}"),
    });
    format!("Reading: {}", kinds.collect::<Vec<_>>().join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_says_what_was_read_and_what_is_left() {
        let read = BTreeMap::from([("nodes", (500, Some(19_500))), ("lsmnodes", (20, None))]);
        let said = line("https://one", &read);
        assert_eq!(said, "Reading: 20 lsmnodes, 500 of 20000 nodes");
        assert_eq!(line("https://one", &BTreeMap::new()), "Waiting for https://one");
    }

    #[tokio::test(start_paused = true)]
    async fn work_ends_with_its_result() {
        let progress = Progress::of("https://one".to_owned());
        let work = async {
            tokio::time::sleep(Duration::from_mins(1)).await;
            7
        };
        assert_eq!(progress.during(work).await, 7);
    }
}

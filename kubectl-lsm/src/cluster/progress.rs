//! Says on standard error what is being read, when it takes longer than a second.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

/// After this time people want to know what happens.
const PATIENCE: Duration = Duration::from_secs(1);

/// Removes the line on which the cursor is.
const CLEAR: &str = "\r\u{1b}[K";

/// The progress of one command. Nothing is shown unless standard error is a terminal.
pub struct Progress {
    since: Instant,
    is_terminal: bool,
    is_shown: Cell<bool>,
    read: RefCell<BTreeMap<&'static str, (usize, Option<i64>)>>,
}

impl Default for Progress {
    fn default() -> Self {
        Self {
            since: Instant::now(),
            is_terminal: std::io::stderr().is_terminal(),
            is_shown: Cell::new(false),
            read: RefCell::default(),
        }
    }
}

impl Progress {
    /// Notes how many objects of a kind were read, and how many are left.
    pub fn note(&self, kind: &'static str, read: usize, left: Option<i64>) {
        self.read.borrow_mut().insert(kind, (read, left));
        if self.is_terminal && self.since.elapsed() >= PATIENCE {
            self.is_shown.set(true);
            write!(std::io::stderr(), "{CLEAR}{}", line(&self.read.borrow())).ok();
        }
    }

    /// Removes the line.
    pub fn end(&self) {
        if self.is_shown.replace(false) {
            write!(std::io::stderr(), "{CLEAR}").ok();
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.end();
    }
}

fn line(read: &BTreeMap<&'static str, (usize, Option<i64>)>) -> String {
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
        assert_eq!(line(&read), "Reading: 20 lsmnodes, 500 of 20000 nodes");
    }
}

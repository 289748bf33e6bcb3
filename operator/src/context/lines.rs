//! Counts log lines, and keeps those about single nodes few where thousands of them change.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// Maximum number of lines about single nodes in a minute.
const LINES: u32 = 60;
const PERIOD: Duration = Duration::from_mins(1);

/// Counts the lines of the present minute.
#[derive(Debug, Default)]
pub struct Minute(Option<(Instant, u32)>);

impl Minute {
    /// The number of the next line in its minute, from 1.
    pub fn next(&mut self, now: Instant) -> u32 {
        let is_same = |began: Instant| now.saturating_duration_since(began) < PERIOD;
        let (began, lines) = self.0.filter(|(began, _)| is_same(*began)).unwrap_or((now, 0));
        let number = lines.saturating_add(1);
        self.0 = Some((began, number));
        number
    }
}

/// The lines about single nodes.
#[derive(Debug, Default)]
pub struct Lines(Mutex<Minute>);

/// What to do with a line.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Line {
    Log,
    /// It is the last one of this minute.
    LogAsLast,
    LeaveOut,
}

impl Lines {
    pub fn next(&self, now: Instant) -> Line {
        match self.0.lock().next(now) {
            ..LINES => Line::Log,
            LINES => Line::LogAsLast,
            _ => Line::LeaveOut,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn each_minute_has_sixty_lines_and_the_last_one_is_told() {
        let (lines, began) = (Lines::default(), Instant::now());
        for minute in 0..2 {
            let now = began + PERIOD * minute;
            let all: Vec<Line> = (0..1000).map(|_| lines.next(now)).collect();
            assert!(all[..59].iter().all(|line| *line == Line::Log));
            assert_eq!(all[59], Line::LogAsLast);
            assert!(all[60..].iter().all(|line| *line == Line::LeaveOut));
        }
    }
}

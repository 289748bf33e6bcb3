//! Words that the report and its part about hooks share. In: states and lines. Out: text for
//! people.

use std::fmt::Write as _;

use lsm_ready_crds::State;

/// The answer to a question whether something holds.
pub(super) const fn answer(state: State) -> &'static str {
    match state {
        State::Ready => "yes",
        State::NotReady => "NO",
        State::Unknown => "NOT KNOWN",
    }
}

/// The outcome of one check.
pub(super) const fn outcome(state: State) -> &'static str {
    match state {
        State::Ready => "pass",
        State::NotReady => "FAIL",
        State::Unknown => "?",
    }
}

/// The lines as one text. Each line ends with a newline, and none with blanks.
pub(super) fn joined(lines: &[String]) -> String {
    lines.iter().fold(String::new(), |mut text, line| {
        // Writing to a String cannot fail.
        writeln!(text, "{}", line.trim_end()).ok();
        text
    })
}

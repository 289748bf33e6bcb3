//! The report in one line, for a custom plugin of node-problem-detector.
//!
//! In: a report. Out: a line of at most [`MAX_BYTES`] bytes. node-problem-detector cuts the output
//! of a plugin there by default (`max_output_length`), in the middle of a character if need be. It
//! reads the exit codes as we set them: 0 OK, 1 not OK, 2 and others unknown. See
//! <https://github.com/kubernetes/node-problem-detector/blob/master/docs/custom_plugin_monitor.md>.

use lsm_ready_crds::text::printable;

use super::Report;

/// The length at which node-problem-detector cuts a line.
pub const MAX_BYTES: usize = 80;

/// The mark of a shortened line, in one byte for each character.
const CUT: &str = "...";

/// The reason's code and as much of its sentence as fits, without the end of the line.
pub fn line(report: &Report) -> String {
    shortened(&printable(&format!("{}: {}", report.reason, report.message), MAX_BYTES + 1))
}

/// The line, if need be cut after the last character that fits.
fn shortened(line: &str) -> String {
    if line.len() <= MAX_BYTES {
        return line.to_owned();
    }
    let ends = line.char_indices().map(|(start, letter)| start + letter.len_utf8());
    let end = ends.take_while(|end| *end <= MAX_BYTES - CUT.len()).last().unwrap_or(0);
    format!("{}{CUT}", &line[..end])
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::facts::Facts;
    use crate::facts::tests::raw;
    use crate::report::replay;

    #[test]
    fn a_line_begins_with_the_reasons_code() {
        let report = replay::report(&Facts::of(&raw()), Duration::ZERO);
        let found = line(&report);
        assert!(found.starts_with(&format!("{}: ", report.reason)), "{found}");
        assert!(found.len() <= MAX_BYTES && !found.contains('\n'), "{found}");
    }

    #[test]
    fn a_long_line_ends_with_dots_at_the_limit() {
        let exact = "a".repeat(MAX_BYTES);
        assert_eq!(shortened(&exact), exact);
        assert_eq!(shortened(&format!("{exact}b")), format!("{}...", "a".repeat(MAX_BYTES - 3)));
        // A character of two bytes does not fit into the last one.
        assert_eq!(shortened(&"ä".repeat(60)), format!("{}...", "ä".repeat(38)));
    }

    proptest! {
        #[test]
        fn no_message_makes_the_line_longer_or_two_lines(text in any::<String>()) {
            let mut report = replay::report(&Facts::of(&raw()), Duration::ZERO);
            report.message = text;
            let found = line(&report);
            prop_assert!(found.len() <= MAX_BYTES, "{} bytes: {found}", found.len());
            prop_assert!(!found.chars().any(char::is_control), "{:?}", found);
        }
    }
}

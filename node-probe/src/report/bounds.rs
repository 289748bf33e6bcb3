//! What a machine says about itself, in the form and size that the schema of an LsmNode accepts. Pure.
//!
//! In: texts of any kind: the verifier's log, `/proc/cmdline`, os-release, names of LSMs. Out: the
//! same texts, printable and short enough.
//!
//! # Guarantees
//! The API server refuses no report because of a text. No text changes what a terminal shows.

use lsm_ready_crds::node::{Kernel, Lsms};
use lsm_ready_crds::text::{self, truncate};

/// The LsmNode's limit for the detail of one check.
pub const MAX_DETAIL: usize = 2000;
/// The LsmNode's limit for a message and for a fix.
pub const MAX_MESSAGE: usize = 4000;
/// The LsmNode's limits for names.
const MAX_NAME: usize = 64;
const MAX_RELEASE: usize = 128;
const MAX_LOCKDOWN: usize = 32;
const MAX_LSMS: usize = 64;

/// The text, printable and at most that long.
pub fn bounded(text: &str, max_chars: usize) -> String {
    truncate(&printable(text), max_chars)
}

pub fn boot_id(text: &str) -> String {
    bounded(text, MAX_NAME)
}

pub fn lockdown(text: &str) -> String {
    bounded(text, MAX_LOCKDOWN)
}

pub fn kernel(kernel: &Kernel) -> Kernel {
    Kernel {
        release: bounded(&kernel.release, MAX_RELEASE),
        machine: bounded(&kernel.machine, MAX_NAME),
    }
}

pub fn lsms(lsms: &Lsms) -> Lsms {
    let active = lsms.active.iter().take(MAX_LSMS).map(|name| bounded(name, MAX_NAME));
    Lsms { active: active.collect(), source: lsms.source }
}

/// The text without characters that a terminal does not show as they are. Line breaks stay.
pub fn printable(text: &str) -> String {
    let lines: Vec<String> = text.lines().map(|line| text::printable(line, usize::MAX)).collect();
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_and_reordering_characters_are_replaced_and_lines_stay() {
        assert_eq!(printable("a\u{1b}[2Jb\r\tc\nd\0"), "a\u{fffd}[2Jb⏎ c\nd\u{fffd}");
        assert_eq!(printable("\u{202e}toor\u{2066}é…"), "\u{fffd}toor\u{fffd}é…");
    }

    #[test]
    fn a_machine_with_more_lsms_than_the_schema_allows_reports_the_first_ones() {
        let active = (0..100).map(|n| format!("lsm-id-{n}")).collect();
        let bounded = lsms(&Lsms { active, ..Lsms::default() });
        assert_eq!((bounded.active.len(), bounded.active[63].as_str()), (MAX_LSMS, "lsm-id-63"));
    }
}

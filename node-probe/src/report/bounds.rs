//! What a machine says about itself, in the form and size that the schema of an LsmNode accepts.
//! Pure.
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
    plain(text, MAX_NAME)
}

pub fn lockdown(text: &str) -> String {
    plain(text, MAX_LOCKDOWN)
}

pub fn kernel(kernel: &Kernel) -> Kernel {
    Kernel {
        release: plain(&kernel.release, MAX_RELEASE),
        machine: plain(&kernel.machine, MAX_NAME),
    }
}

pub fn lsms(lsms: &Lsms) -> Lsms {
    let active = lsms.active.iter().take(MAX_LSMS).map(|name| lsm_name(name));
    Lsms { active: active.collect(), source: lsms.source }
}

/// Printable ASCII, in which the kernel writes its names.
fn plain(text: &str, max_chars: usize) -> String {
    let shown = |letter: char| if matches!(letter, ' '..='~') { letter } else { '?' };
    text.chars().take(max_chars).map(shown).collect()
}

/// No LSM has other letters. A name that has some is shown without them, and is the name of no LSM.
fn lsm_name(name: &str) -> String {
    let is_usual = |letter: char| letter.is_ascii_alphanumeric() || "_.-".contains(letter);
    let shown = |letter: char| if is_usual(letter) { letter } else { '_' };
    name.chars().take(MAX_NAME).map(shown).collect()
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
    fn names_of_the_kernel_are_plain() {
        let odd = Kernel { release: "6.1\u{202e}é".to_owned(), machine: "x".repeat(99) };
        let kernel = kernel(&odd);
        assert_eq!((kernel.release.as_str(), kernel.machine.len()), ("6.1??", MAX_NAME));
        assert_eq!(lsm_name("bpf\u{200b} x"), "bpf__x");
    }

    #[test]
    fn a_machine_with_more_lsms_than_the_schema_allows_reports_the_first_ones() {
        let active = (0..100).map(|n| format!("lsm-id-{n}")).collect();
        let bounded = lsms(&Lsms { active, ..Lsms::default() });
        assert_eq!((bounded.active.len(), bounded.active[63].as_str()), (MAX_LSMS, "lsm-id-63"));
    }
}

//! The texts of a report, so that they can be shown.
//!
//! In: a report as it is stored. Out: the same with bounded, printable texts, and codes that are
//! codes. A node can write any text into its own report. The operator and the plugin clean reports
//! where these enter, so everything after that may print them. The probe cleans its own, so that
//! the API server accepts them.

use crate::node::{Check, Kernel, LsmNodeStatus, Lsms};
use crate::text::{is_code, printable, printable_lines};

/// Stands for a reason that is not a code.
const INVALID: &str = "InvalidReason";

/// Makes a text of at most so many characters printable.
type Clean = fn(&str, usize) -> String;

impl LsmNodeStatus {
    /// The report with texts in one line, for messages and conditions.
    #[must_use]
    pub fn cleaned(self) -> Self {
        self.with_texts(printable)
    }

    /// The report with printable texts that may have several lines, as the schema demands it.
    #[must_use]
    pub fn printable(self) -> Self {
        self.with_texts(printable_lines)
    }

    fn with_texts(self, clean: Clean) -> Self {
        Self {
            boot_id: ascii(&self.boot_id, 64),
            probe_version: ascii(&self.probe_version, 64),
            kernel: Kernel {
                release: ascii(&self.kernel.release, 128),
                machine: ascii(&self.kernel.machine, 64),
            },
            lsms: Lsms { active: names(&self.lsms.active), source: self.lsms.source },
            lockdown: self.lockdown.map(|lockdown| ascii(&lockdown, 32)),
            reason: code(self.reason),
            message: clean(&self.message, 4096),
            fix: clean(&self.fix, 4096),
            checks: self.checks.into_iter().map(|check| checked(check, clean)).collect(),
            hook_profile: self.hook_profile.map(|profile| ascii(&profile, 64)),
            ..self
        }
    }
}

fn checked(check: Check, clean: Clean) -> Check {
    Check {
        name: code(check.name),
        outcome: check.outcome,
        reason: code(check.reason),
        detail: clean(&check.detail, 2048),
        fix: clean(&check.fix, 4096),
    }
}

fn code(text: String) -> String {
    if text.is_empty() || is_code(&text) { text } else { INVALID.to_owned() }
}

/// Printable ASCII, with `?` for everything else.
fn ascii(text: &str, max_chars: usize) -> String {
    let letters = text.chars().take(max_chars);
    letters.map(|letter| if matches!(letter, ' '..='~') { letter } else { '?' }).collect()
}

/// Names of LSMs, with `_` for characters that no name has.
fn names(names: &[String]) -> Vec<String> {
    let fits = |letter: char| letter.is_ascii_alphanumeric() || "_-.".contains(letter);
    let name = |name: &String| -> String {
        name.chars().take(64).map(|letter| if fits(letter) { letter } else { '_' }).collect()
    };
    names.iter().filter(|name| !name.is_empty()).take(64).map(name).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::fixture;

    /// Every text of the report.
    fn texts(status: &LsmNodeStatus) -> Vec<String> {
        let LsmNodeStatus { boot_id, probe_version, kernel, lsms, reason, message, fix, .. } =
            status;
        let own = [boot_id, probe_version, &kernel.release, &kernel.machine, reason, message, fix];
        let checks = status
            .checks
            .iter()
            .flat_map(|check| [&check.name, &check.reason, &check.detail, &check.fix]);
        own.into_iter()
            .chain(&lsms.active)
            .chain(checks)
            .chain(&status.lockdown)
            .chain(&status.hook_profile)
            .cloned()
            .collect()
    }

    fn hostile(text: &str) -> LsmNodeStatus {
        let text = || text.to_owned();
        let mut status = fixture::denied(&text());
        (status.probe_version, status.reason) = (text(), text());
        (status.message, status.fix) = (text(), text());
        (status.lockdown, status.hook_profile) = (Some(text()), Some(text()));
        status.kernel = Kernel { release: text(), machine: text() };
        status.lsms.active = vec![text(), "bpf".to_owned()];
        for check in &mut status.checks {
            (check.name, check.reason) = (text(), text());
            (check.detail, check.fix) = (text(), text());
        }
        status
    }

    #[test]
    fn an_honest_report_stays_as_it_is() {
        let mut status = fixture::denied("b00t");
        status.message = "häuser: „quoted“ … 5 % of `x`".to_owned();
        status.lsms.active = vec!["lockdown".to_owned(), "lsm-id-200".to_owned()];
        assert_eq!(status.clone().cleaned(), status);
        status.fix = "first line\nsecond line".to_owned();
        assert_eq!(status.clone().printable(), status);
        assert_eq!(status.cleaned().fix, "first line⏎second line");
    }

    #[test]
    fn a_reason_that_is_not_a_code_is_called_invalid() {
        let status = hostile("Ready\u{1b}[2J");
        assert_eq!(status.clone().cleaned().reason, "InvalidReason");
        assert_eq!(status.printable().checks[0].name, "InvalidReason");
        assert_eq!(hostile("").cleaned().reason, "");
    }

    proptest! {
        #[test]
        fn every_text_is_bounded_and_printable(
            text in prop::collection::vec(any::<char>(), 0..40),
            times in prop::sample::select(vec![1, 200]),
        ) {
            let text = text.into_iter().collect::<String>().repeat(times);
            let cleaned = hostile(&text).cleaned();
            for text in texts(&cleaned) {
                prop_assert!(text.chars().count() <= 4096);
                prop_assert!(!text.chars().any(char::is_control), "{:?}", text);
                prop_assert_eq!(&printable(&text, usize::MAX), &text);
            }
            prop_assert_eq!(cleaned.clone().cleaned(), cleaned);
            let lines = hostile(&text).printable();
            let has_escape = texts(&lines).iter().any(|text| text.contains('\u{1b}'));
            prop_assert!(!has_escape);
            prop_assert_eq!(lines.clone().printable(), lines);
        }
    }
}

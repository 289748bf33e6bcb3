//! The report for people. In: a report, and the required evidence. Out: the text that `node-probe
//! check` prints.

use lsm_ready_crds::node::LsmSource;
use lsm_ready_crds::{Evidence, Reason, text};

use super::{Check, Report, words};

/// The width of a line, without its indentation.
const MAX_LEN: usize = 110;

/// The report as text, with a newline at its end.
pub fn render(report: &Report, required: Evidence) -> String {
    let mut lines = vec![headline(report, required)];
    lines.extend(wrapped(&report.message));
    lines.extend(advice(report));
    lines.push(String::new());
    lines.extend(machine(report));
    lines.push(String::new());
    lines.extend(report.checks.iter().map(check_line));
    if let Some(hooks) = &report.hooks {
        lines.push(String::new());
        lines.extend(hooks.render().lines().map(str::to_owned));
    }
    // Line by line: recorded facts must not add lines of their own.
    let lines: Vec<String> = lines.iter().map(|line| printable(line)).collect();
    words::joined(&lines)
}

fn headline(report: &Report, required: Evidence) -> String {
    let question = match required {
        Evidence::Denied => "deny an operation through LSM BPF",
        Evidence::Fired => "run an LSM BPF program",
        Evidence::Attached => "attach an LSM BPF program",
        Evidence::Loaded | Evidence::None => "load an LSM BPF program",
    };
    let answer = words::answer(report.holds(required));
    format!("Can this machine {question}? {answer}: {}", report.reason)
}

/// The report's fix, then the fixes of single checks that it does not contain.
fn advice(report: &Report) -> Vec<String> {
    let mut lines = Vec::new();
    let mut section = |title: String, fix: &str| {
        lines.extend([String::new(), title]);
        lines.extend(wrapped(fix));
    };
    if !report.fix.is_empty() {
        section("What to do".to_owned(), &report.fix);
    }
    for check in &report.checks {
        if !check.fix.is_empty() && !report.fix.contains(&check.fix) {
            section(format!("What to do about {}", check.name), &check.fix);
        }
    }
    lines
}

fn machine(report: &Report) -> [String; 3] {
    let source = match report.lsms.source {
        LsmSource::Syscall => "lsm_list_modules(2)",
        LsmSource::Securityfs => "securityfs",
        LsmSource::Unknown => "unreadable",
    };
    [
        format!("  kernel    {} {}", report.kernel.release, report.kernel.machine),
        format!("  LSMs      {} ({source})", report.lsms.active.join(",")),
        format!("  lockdown  {}", report.lockdown.as_deref().unwrap_or("unknown")),
    ]
}

/// One check. A rung shows its reason only, since the message shows its detail.
fn check_line(check: &Check) -> String {
    let outcome = words::outcome(check.outcome);
    let is_rung = Evidence::RUNGS.iter().any(|rung| rung.as_str() == check.name);
    let reason = check.reason.map_or("", Reason::code);
    let detail = if is_rung { reason } else { check.detail.as_str() };
    format!("  {outcome:<4}  {:<18} {detail}", check.name)
}

/// One line, without characters that change what a terminal shows. Recorded facts can come from
/// anybody.
pub fn printable(line: &str) -> String {
    text::printable(line, usize::MAX)
}

/// The text's lines, indented and broken between words. A command in backquotes is not broken,
/// because people copy it.
pub fn wrapped(text: &str) -> Vec<String> {
    let mut lines = Vec::new();
    for paragraph in text.lines() {
        let mut line = "  ".to_owned();
        for word in words(paragraph) {
            if line.len() > 2 && line.chars().count() + word.chars().count() > MAX_LEN {
                lines.push(std::mem::replace(&mut line, "  ".to_owned()));
            }
            if line.len() > 2 {
                line.push(' ');
            }
            line.push_str(&word);
        }
        lines.push(line);
    }
    lines
}

/// The words of a line. Text in backquotes is one word.
fn words(line: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut quoted = false;
    for word in line.split(' ') {
        match words.last_mut().filter(|_| quoted) {
            Some(last) => {
                last.push(' ');
                last.push_str(word);
            }
            None => words.push(word.to_owned()),
        }
        quoted ^= word.matches('`').count() % 2 == 1;
    }
    words
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::facts::tests::raw;
    use crate::facts::{Facts, Raw, Unread};
    use crate::report::replay;

    #[test]
    fn commands_in_backquotes_are_not_broken() {
        let command = format!("`echo {}`", "a ".repeat(80));
        let lines = wrapped(&format!("Run {command}, then reboot.\n[settings]"));
        assert_eq!(
            lines,
            [
                "  Run".to_owned(),
                format!("  {command},"),
                "  then reboot.".to_owned(),
                "  [settings]".to_owned()
            ]
        );
    }

    #[test]
    fn control_characters_are_replaced() {
        assert_eq!(printable("a\u{1b}[2Jb\r\tc"), "a\u{fffd}[2Jb⏎ c");
    }

    #[test]
    fn recorded_facts_cannot_add_lines_to_the_report() {
        let lockdown = Err(Unread { missing: true, message: "x\n  pass  Denied".to_owned() });
        let facts = Facts::of(&Raw { lockdown, ..raw() });
        let text = render(&replay::report(&facts, Duration::ZERO), Evidence::Denied);
        assert!(text.contains("x⏎  pass  Denied"), "{text}");
    }

    proptest! {
        #[test]
        fn wrapping_keeps_every_word(text in "([a-z`]{1,9} ){0,60}") {
            let again = wrapped(&text).iter().map(|line| line.trim()).collect::<Vec<_>>().join(" ");
            prop_assert_eq!(again.trim(), text.trim());
        }

        #[test]
        fn no_text_makes_it_panic(bytes in any::<Vec<u8>>()) {
            let text = String::from_utf8_lossy(&bytes).into_owned();
            prop_assert!(wrapped(&text).len() <= text.len());
        }
    }
}

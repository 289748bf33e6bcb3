//! The report for people. In: a report and the requirement. Out: a text that is read at a glance.

use lsm_ready_crds::State;
use std::fmt::Write as _;

use lsm_ready_crds::Evidence;
use lsm_ready_crds::node::LsmSource;

use super::Report;

/// The report as text, with a newline at its end.
pub fn render(report: &Report, required: Evidence) -> String {
    let verdict = match report.holds(required) {
        State::Ready => "yes",
        State::NotReady => "NO",
        State::Unknown => "NOT KNOWN",
    };
    let question = match required {
        Evidence::Denied => "deny something through LSM BPF",
        Evidence::Fired => "run an LSM BPF program",
        Evidence::Attached => "attach an LSM BPF program",
        Evidence::Loaded | Evidence::None => "load an LSM BPF program",
    };
    let source = match report.lsms.source {
        LsmSource::Syscall => "lsm_list_modules(2)",
        LsmSource::Securityfs => "securityfs",
        LsmSource::Unknown => "unreadable",
    };
    let mut lines = vec![format!("Can this machine {question}? {verdict}: {}", report.reason)];
    lines.extend(wrapped(&report.message));
    if !report.fix.is_empty() {
        lines.extend([String::new(), "What to do".to_owned()]);
        lines.extend(wrapped(&report.fix));
    }
    for check in report
        .checks
        .iter()
        .filter(|check| !check.fix.is_empty() && !report.fix.contains(&check.fix))
    {
        lines.extend([String::new(), format!("What to do about {}", check.name)]);
        lines.extend(wrapped(&check.fix));
    }
    lines.extend([
        String::new(),
        format!("  kernel    {} {}", report.kernel.release, report.kernel.machine),
        format!("  LSMs      {} ({source})", report.lsms.active.join(",")),
        format!("  lockdown  {}", report.lockdown.as_deref().unwrap_or("unknown")),
        String::new(),
    ]);
    lines.extend(report.checks.iter().map(line));
    if let Some(hooks) = &report.hooks {
        lines.push(String::new());
        lines.extend(hooks.render().lines().map(str::to_owned));
    }
    lines.iter().fold(String::new(), |mut text, line| {
        // Writing to a String cannot fail.
        writeln!(text, "{}", printable(line.trim_end())).ok();
        text
    })
}

/// The text without control characters, which could move a terminal's cursor: recorded facts may be anybody's.
pub fn printable(text: &str) -> String {
    text.chars()
        .map(|letter| if letter.is_control() && letter != '\t' { '\u{fffd}' } else { letter })
        .collect()
}

/// One check. Its detail is left out where the message above says the same.
fn line(check: &lsm_ready_crds::node::Check) -> String {
    let outcome = match check.outcome {
        State::Ready => "pass",
        State::NotReady => "FAIL",
        State::Unknown => "?",
    };
    let is_rung = Evidence::RUNGS.iter().any(|rung| rung.as_str() == check.name);
    let detail = if is_rung { &check.reason } else { &check.detail };
    format!("  {outcome:<4}  {:<18} {detail}", check.name)
}

/// The text's lines, indented and broken between words after about 110 characters. What stands in backquotes is not
/// broken, as people copy it.
pub fn wrapped(text: &str) -> Vec<String> {
    let mut lines = Vec::new();
    for paragraph in text.lines() {
        let mut line = "  ".to_owned();
        for word in words(paragraph) {
            if line.len() > 2 && line.chars().count() + word.chars().count() > 110 {
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

/// The words of a line; what stands in backquotes is one of them.
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
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn commands_are_not_broken() {
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
    fn a_terminal_is_not_spoken_to() {
        assert_eq!(printable("a\u{1b}[2Jb\r\tc"), "a\u{fffd}[2Jb\u{fffd}\tc");
    }

    proptest! {
        #[test]
        fn nothing_is_lost(text in "([a-z`]{1,9} ){0,60}") {
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

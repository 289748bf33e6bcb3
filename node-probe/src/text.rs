//! The report for people. In: a report and the requirement. Out: a text that is read at a glance.

use std::fmt::Write as _;

use lsm_ready_crds::Evidence;
use lsm_ready_crds::node::{LsmSource, Outcome};

use crate::report::{Holds, Report};

/// The report as text, with a newline at its end.
#[must_use]
pub fn render(report: &Report, required: Evidence) -> String {
    let verdict = match report.holds(required) {
        Holds::Yes => "yes",
        Holds::No => "NO",
        Holds::Untried => "NOT KNOWN",
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
    lines.extend([
        String::new(),
        format!("  kernel    {} {}", report.kernel.release, report.kernel.machine),
        format!("  LSMs      {} ({source})", report.lsms.active.join(",")),
        format!("  lockdown  {}", report.lockdown.as_deref().unwrap_or("unknown")),
        String::new(),
    ]);
    lines.extend(report.checks.iter().map(line));
    lines.iter().fold(String::new(), |mut text, line| {
        // Writing to a String cannot fail.
        writeln!(text, "{}", line.trim_end()).ok();
        text
    })
}

/// One check. Its detail is left out where the message above says the same.
fn line(check: &lsm_ready_crds::node::Check) -> String {
    let outcome = match check.outcome {
        Outcome::Pass => "pass",
        Outcome::Fail => "FAIL",
        Outcome::Unknown => "?",
    };
    let is_rung = Evidence::RUNGS.iter().any(|rung| rung.as_str() == check.name);
    let detail = if is_rung { &check.reason } else { &check.detail };
    format!("  {outcome:<4}  {:<18} {detail}", check.name)
}

/// The text's lines, indented and broken between words after about 110 characters.
#[must_use]
pub fn wrapped(text: &str) -> Vec<String> {
    let mut lines = Vec::new();
    for paragraph in text.lines() {
        let mut line = "  ".to_owned();
        for word in paragraph.split(' ') {
            if line.len() > 2 && line.chars().count() + word.chars().count() > 110 {
                lines.push(std::mem::replace(&mut line, "  ".to_owned()));
            }
            if line.len() > 2 {
                line.push(' ');
            }
            line.push_str(word);
        }
        lines.push(line);
    }
    lines
}

//! `node-probe check`: one check of this machine.
//!
//! In: the arguments and the machine. Out: the report on standard output and the exit code.

use std::io::{self, Write};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use lsm_ready_crds::Evidence;

use crate::cli::{CheckArgs, Output};
use crate::facts::{Facts, OsRelease, read};
use crate::hooks::required::Hooks;
use crate::report::{Holds, Report};
use crate::{canary, exit, hooks, text};

/// Checks once, prints, and says by the exit code whether the requirement holds.
#[must_use]
pub fn main(args: &CheckArgs) -> ExitCode {
    let mut report = check(args.deadline, None);
    if !(args.hooks.is_empty() && args.sleepable_hooks.is_empty()) {
        report.hooks = Some(Hooks::of(&args.hooks, &args.sleepable_hooks, &hooks::run(args.deadline)));
    }
    let required = Evidence::from(args.require);
    if let Err(error) = print(&report, args.output, required) {
        eprintln!("node-probe: cannot write the report: {error}");
        return ExitCode::from(exit::UNTRIED);
    }
    let hooks = report.hooks.as_ref().map_or(Holds::Yes, Hooks::holds);
    ExitCode::from(match report.holds(required).and(hooks) {
        Holds::Yes => exit::HOLDS,
        Holds::No => exit::FAILS,
        Holds::Untried => exit::UNTRIED,
    })
}

/// Reads the facts, lets the canary climb in a child process, and puts the report together.
///
/// `os` is what somebody else knows about the operating system; it counts where there is no os-release file,
/// as in the probe's own image.
#[must_use]
pub fn check(deadline: Duration, os: Option<&OsRelease>) -> Report {
    let started = Instant::now();
    let mut facts = Facts::of(&read::raw());
    if let Some(os) = os.filter(|_| facts.os == OsRelease::default()) {
        facts.os = os.clone();
    }
    let observed = canary::watch::run(deadline);
    Report::of(&observed, &facts, u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX))
}

fn print(report: &Report, output: Output, required: Evidence) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    match output {
        Output::Text => write!(stdout, "{}", text::render(report, required))?,
        Output::Json => writeln!(stdout, "{}", serde_json::to_string_pretty(report)?)?,
    }
    stdout.flush()
}

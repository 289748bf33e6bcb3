//! `node-probe check`: checks this machine once, or judges recorded facts.
//!
//! In: the arguments and the machine. Out: the report on standard output, and the exit code.

use std::io::{self, Write};
use std::time::{Duration, Instant};

use lsm_ready_crds::{Evidence, ExitCode};

use crate::cli::{CheckArgs, CheckOutput};
use crate::facts::{Facts, NodeInfo, OsRelease, read, record};
use crate::hooks::TrialError;
use crate::report::hooks::Hooks;
use crate::report::{Report, npd, replay, text};
use crate::{canary, hooks};

/// Checks once, prints the report, and returns the exit code that says whether the requirement
/// holds.
pub fn main(args: &CheckArgs) -> ExitCode {
    let checked = match &args.from {
        None => check_machine(args.deadline, None),
        Some(path) => match check_facts(path) {
            Ok(checked) => checked,
            Err(error) => {
                eprintln!("node-probe: {}", text::printable(&error.to_string()));
                return ExitCode::WrongUse;
            }
        },
    };
    let required = Evidence::from(args.require);
    let report = with_requirements(checked, args, required);
    if let Err(error) = print(&report, args.output, required) {
        eprintln!("node-probe: cannot write the report: {error}");
        return ExitCode::CannotBeJudged;
    }
    report.holds(required).into()
}

/// Checks this machine: reads the facts, runs the canary in a child process, and makes the report.
///
/// `node` is what Kubernetes knows about the node. Its operating system is used if there is no
/// os-release file, as in the probe's own image.
pub fn check(deadline: Duration, node: Option<&NodeInfo>) -> Report {
    check_machine(deadline, node).report
}

struct Checked {
    report: Report,
    facts: Facts,
}

fn check_machine(deadline: Duration, node: Option<&NodeInfo>) -> Checked {
    let started = Instant::now();
    let mut facts = Facts::of(&read::raw());
    if let Some(node) = node {
        facts.provider_id.clone_from(&node.provider_id);
        if facts.os == OsRelease::default() {
            facts.os = OsRelease::from_pretty_name(&node.os_image);
        }
    }
    let observed = canary::parent::run(deadline);
    Checked { report: Report::of(&observed, &facts, started.elapsed()), facts }
}

fn check_facts(path: &str) -> Result<Checked, record::Invalid> {
    let started = Instant::now();
    let facts = Facts::of(&record::load(path)?);
    Ok(Checked { report: replay::report(&facts, started.elapsed()), facts })
}

/// Adds the LSMs and hooks that the arguments require.
fn with_requirements(checked: Checked, args: &CheckArgs, required: Evidence) -> Report {
    let Checked { mut report, facts } = checked;
    report.require_lsms(&args.require_lsm, required, &facts);
    if let Some(hooks) = required_hooks(args) {
        report.require_hooks(hooks, required, &facts);
    }
    report
}

/// Makes the hook trial if hooks are required. Recorded facts do not say which hooks accept a
/// program.
fn required_hooks(args: &CheckArgs) -> Option<Hooks> {
    if args.hooks.is_empty() && args.sleepable_hooks.is_empty() {
        return None;
    }
    let trial = match args.from {
        None => hooks::run(args.deadline),
        Some(_) => Err(TrialError("hooks cannot be judged by recorded facts".to_owned())),
    };
    Some(Hooks::of(&args.hooks, &args.sleepable_hooks, &trial))
}

fn print(report: &Report, output: CheckOutput, required: Evidence) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    match output {
        CheckOutput::Text => write!(stdout, "{}", text::render(report, required))?,
        CheckOutput::Json => writeln!(stdout, "{}", serde_json::to_string_pretty(report)?)?,
        CheckOutput::Npd => writeln!(stdout, "{}", npd::line(report))?,
    }
    stdout.flush()
}

//! `node-probe check`: one check of this machine, or of recorded facts.
//!
//! In: the arguments and the machine. Out: the report on standard output and the exit code.

use lsm_ready_crds::State;
use std::io::{self, Write};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use lsm_ready_crds::Evidence;

use crate::cli::{CheckArgs, Output};
use crate::facts::{Facts, NodeInfo, OsRelease, read, record};
use crate::hooks::TrialError;
use crate::report::hooks::Hooks;
use crate::report::{Report, replay, text};
use crate::{canary, exit, hooks};

/// Checks once, prints, and says by the exit code whether the requirement holds.
pub fn main(args: &CheckArgs) -> ExitCode {
    let (mut report, facts) = match args.from.as_deref().map(replayed) {
        None => tried(args.deadline, None),
        Some(Ok(replayed)) => replayed,
        Some(Err(wrong)) => {
            eprintln!("node-probe: {}", text::printable(&wrong.to_string()));
            return ExitCode::from(exit::USAGE);
        }
    };
    let required = Evidence::from(args.require);
    report.require_lsms(&args.require_lsm, required, &facts);
    if let Some(hooks) = required_hooks(args) {
        report.require_hooks(hooks, required, &facts);
    }
    if let Err(error) = print(&report, args.output, required) {
        eprintln!("node-probe: cannot write the report: {error}");
        return ExitCode::from(exit::UNTRIED);
    }
    ExitCode::from(match report.holds(required) {
        State::Ready => exit::HOLDS,
        State::NotReady => exit::FAILS,
        State::Unknown => exit::UNTRIED,
    })
}

/// Makes the hook trial where hooks are required; recorded texts do not say which hooks take a program.
fn required_hooks(args: &CheckArgs) -> Option<Hooks> {
    if args.hooks.is_empty() && args.sleepable_hooks.is_empty() {
        return None;
    }
    let trial = match args.from {
        None => hooks::run(args.deadline),
        Some(_) => Err(TrialError("only recorded texts were looked at".to_owned())),
    };
    Some(Hooks::of(&args.hooks, &args.sleepable_hooks, &trial))
}

/// Reads the facts, lets the canary climb in a child process, and puts the report together.
///
/// `node` is what Kubernetes knows about the node. Its operating system counts where there is no os-release file, as in
/// the probe's own image.
pub fn check(deadline: Duration, node: Option<&NodeInfo>) -> Report {
    tried(deadline, node).0
}

fn tried(deadline: Duration, node: Option<&NodeInfo>) -> (Report, Facts) {
    let started = Instant::now();
    let mut facts = Facts::of(&read::raw());
    if let Some(node) = node {
        facts.provider_id.clone_from(&node.provider_id);
        if facts.os == OsRelease::default() {
            facts.os = OsRelease::from_pretty_name(&node.os_image);
        }
    }
    let observed = canary::parent::run(deadline);
    (Report::of(&observed, &facts, milliseconds(started)), facts)
}

fn replayed(path: &str) -> Result<(Report, Facts), record::Wrong> {
    let started = Instant::now();
    let facts = Facts::of(&record::load(path)?);
    Ok((replay::report(&facts, milliseconds(started)), facts))
}

fn milliseconds(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX)
}

fn print(report: &Report, output: Output, required: Evidence) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    match output {
        Output::Text => write!(stdout, "{}", text::render(report, required))?,
        Output::Json => writeln!(stdout, "{}", serde_json::to_string_pretty(report)?)?,
    }
    stdout.flush()
}

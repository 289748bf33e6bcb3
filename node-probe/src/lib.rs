//! The node probe: finds out, by doing it, whether the kernel of this node can deny something through LSM BPF.
//!
//! In: the machine it runs on. Out: a report, as text or JSON on standard output (`check`) or as this node's LsmNode
//! in the cluster (`agent`). `facts` records what the machine says about itself, `check --from` replays such a record,
//! and `explain` says what a reason means.
//!
//! `canary` makes the proof in a child process, `hooks` finds out in another which hooks take a program, `facts` reads
//! what the machine says about itself, `diagnose` and `fix` say what it all means (pure functions), `report` and `text` are the forms of the result, and `agent` repeats it all on
//! a schedule and writes it.

pub mod btf;
pub mod canary;
pub mod cli;
pub mod commands;
pub mod daemon;
pub mod facts;
pub mod fix;
pub mod hooks;
pub mod report;
pub mod subprocess;
pub mod sys;

use std::process::ExitCode;

use cli::Command;

/// Exit codes that are part of the interface.
pub mod exit {
    /// The requirement holds.
    pub const HOLDS: u8 = 0;
    /// It was tried and does not hold.
    pub const FAILS: u8 = 1;
    /// It could not be tried.
    pub const UNTRIED: u8 = 2;
    /// Wrong use (EX_USAGE of sysexits.h).
    pub const USAGE: u8 = 64;
}

/// Runs a parsed command line to its end.
pub fn run(cli: cli::Cli) -> ExitCode {
    match cli.command {
        Command::Check(args) => commands::check::main(&args),
        Command::Agent(args) => daemon::main(&args),
        Command::Explain { code } => commands::explain::main(code.as_deref()),
        Command::Facts => commands::facts::main(),
        Command::Hooks(args) => commands::hooks::main(&args),
        Command::CanaryChild { parent } => child_ended(canary::parent::child(parent)),
        Command::HooksChild { parent } => child_ended(hooks::child(parent)),
    }
}

fn child_ended(outcome: std::io::Result<()>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("node-probe: this child process cannot report: {error}");
            ExitCode::from(exit::UNTRIED)
        }
    }
}

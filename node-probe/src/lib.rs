//! The node probe: finds out whether the kernel of this node can deny an operation through LSM BPF,
//! by denying one.
//!
//! In: the machine it runs on. Out: a report, as text or JSON on standard output (`check`) or as
//! this node's LsmNode in the cluster (`agent`).
//!
//! - `canary` proves in a child process what the kernel lets an LSM program do.
//! - `hooks` finds out in another child process which LSM hooks accept a program.
//! - `facts` reads what the machine says about itself.
//! - `report` judges both (pure functions), and `fix` says what to change on this machine.
//! - `commands` prints a report once; `daemon` makes one on a schedule and writes it to the
//!   cluster.

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

use cli::Command;
use lsm_ready_crds::ExitCode;

/// Runs a parsed command line to its end.
pub fn run(cli: cli::Cli) -> ExitCode {
    match cli.command {
        Command::Check(args) => commands::check::main(&args),
        Command::Agent(args) => daemon::main(&args),
        Command::Explain { code } => commands::explain::main(code.as_deref()),
        Command::Facts => commands::facts::main(),
        Command::Hooks(args) => commands::hooks::main(&args),
        Command::CanaryChild { parent } => exit_of_child(canary::parent::child(parent)),
        Command::HooksChild { parent } => exit_of_child(hooks::child(parent)),
    }
}

fn exit_of_child(reported: std::io::Result<()>) -> ExitCode {
    match reported {
        Ok(()) => ExitCode::Holds,
        Err(error) => {
            eprintln!("node-probe: cannot report to the parent process: {error}");
            ExitCode::CannotBeJudged
        }
    }
}

//! `rig kernels`: stock kernels, and what `node-probe check` says on them next to the truth and to
//! what others say.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::{Args, Subcommand};
use e2e::kernels::{self, Comparison, Options, render};
use e2e::paths;
use e2e::stock_kernel::{self, Arch};

use crate::Failure;

#[derive(Subcommand)]
pub enum Action {
    /// Fetches kernels where they are not there, and prints their folders.
    Fetch {
        #[command(flatten)]
        wanted: Wanted,
    },
    /// Prints the comparison, writes it as JSON, and ends with 0 where nothing of ours is wrong.
    Compare(Arguments),
}

#[derive(Args)]
pub struct Wanted {
    /// Series of kernels: `6.12` is the newest packaged patch level of it, `newest` the newest
    /// kernel there is.
    #[arg(default_values = ["6.1", "6.12", "newest"])]
    series: Vec<String>,
    /// The architecture of the virtual machines.
    #[arg(long, value_enum, default_value = "amd64")]
    arch: Arch,
}

#[derive(Args)]
pub struct Arguments {
    #[command(flatten)]
    wanted: Wanted,
    /// How many machines run at a time; as many as there are processors, if not given.
    #[arg(long)]
    jobs: Option<usize>,
    /// How many checks are killed at random moments on each kernel. Half as many probe daemons are
    /// killed after them.
    #[arg(long, default_value_t = 16)]
    kills: u32,
    /// The seed of these moments, to repeat a run; the time of day, if not given.
    #[arg(long)]
    seed: Option<u64>,
    /// The file for the comparison as JSON; target/kernels.json (target/kernels-arm64.json), if not
    /// given.
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

pub fn run(action: Action) -> Result<ExitCode, Failure> {
    match action {
        Action::Fetch { wanted } => {
            for series in &wanted.series {
                println!("{}", stock_kernel::fetch(wanted.arch, series)?.folder.display());
            }
            Ok(ExitCode::SUCCESS)
        }
        Action::Compare(arguments) => compare(arguments),
    }
}

fn compare(arguments: Arguments) -> Result<ExitCode, Failure> {
    let processors = || thread::available_parallelism().map_or(1, Into::into);
    let arch = arguments.wanted.arch;
    let options = Options {
        arch,
        series: arguments.wanted.series,
        jobs: arguments.jobs.unwrap_or_else(processors).max(1),
        kills: arguments.kills,
        seed: arguments.seed.unwrap_or_else(clock),
    };
    let comparison = kernels::compare(&options)?;
    let name = if arch == Arch::Amd64 { "kernels.json" } else { "kernels-arm64.json" };
    let output = arguments.output.unwrap_or_else(|| paths::target().join(name));
    write(&output, &comparison)
        .map_err(|error| format!("cannot write {}: {error}", output.display()))?;
    print!("{}", render::render(&comparison));
    Ok(if comparison.failed() == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Seconds since 1970.
fn clock() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs())
}

fn write(path: &Path, comparison: &Comparison) -> std::io::Result<()> {
    fs::write(path, serde_json::to_string_pretty(comparison)?)
}

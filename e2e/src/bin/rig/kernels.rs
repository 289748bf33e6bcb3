//! `kernels [SERIES…]`: compares what `node-probe check` says on stock kernels with the truth and with what others say.
//!
//! Prints the table, writes it to `target/kernels.json`, and ends with 0 where nothing of ours is wrong.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::Parser;
use e2e::kernels::{self, Arch, Comparison, Options, table};
use e2e::paths;

/// Compares what `node-probe check` says on stock kernels with the truth.
#[derive(Parser)]
struct Cli {
    /// Series of kernels (e2e/kernels.sh says which there are).
    #[arg(default_values = ["6.1", "6.12", "newest"])]
    series: Vec<String>,
    /// The guests' architecture.
    #[arg(long, value_enum, default_value = "amd64")]
    arch: Arch,
    /// How many machines run at a time; as many as there are processors, if not said.
    #[arg(long)]
    jobs: Option<usize>,
    /// How many checks are killed at random moments on each kernel, and then half as many agents.
    #[arg(long, default_value_t = 30)]
    kills: u32,
    /// What these moments are drawn with, to repeat a run; the clock, if not said.
    #[arg(long)]
    seed: Option<u64>,
    /// Where the comparison is written as JSON; target/kernels.json (target/kernels-arm64.json), if not said.
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let options = Options {
        arch: cli.arch,
        series: cli.series,
        jobs: cli
            .jobs
            .unwrap_or_else(|| thread::available_parallelism().map_or(1, Into::into))
            .max(1),
        kills: cli.kills,
        seed: cli.seed.unwrap_or_else(clock),
    };
    let comparison = match kernels::compare(&options) {
        Ok(comparison) => comparison,
        Err(error) => {
            eprintln!("kernels: {error}");
            return ExitCode::FAILURE;
        }
    };
    let name = if cli.arch == Arch::Amd64 { "kernels.json" } else { "kernels-arm64.json" };
    let output = cli.output.unwrap_or_else(|| paths::state().with_file_name(name));
    if let Err(error) = write(&output, &comparison) {
        eprintln!("kernels: cannot write {}: {error}", output.display());
        return ExitCode::FAILURE;
    }
    print!("{}", table::render(&comparison));
    if comparison.failed() == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Seconds since 1970.
fn clock() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs())
}

fn write(path: &Path, comparison: &Comparison) -> std::io::Result<()> {
    fs::write(path, serde_json::to_string_pretty(comparison)?)
}

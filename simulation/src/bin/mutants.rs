//! Switches on one mutant after the other, and prints after how many histories the simulation finds
//! each. Exit code 1 where one is not found.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Instant;

use clap::Parser;
use lsm_ready_simulation::mutants::{self, Mutant, PROGRAM, VARIABLE};

/// Runs the simulation against every mutant of the operator.
#[derive(Parser)]
struct Arguments {
    /// The most histories for one mutant.
    #[arg(long, default_value_t = 5_000)]
    histories: u64,
    /// Only mutants whose name contains this.
    #[arg(long, default_value = "")]
    only: String,
    /// The workspace.
    #[arg(long, default_value = ".")]
    workspace: PathBuf,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(0) => ExitCode::SUCCESS,
        Ok(missed) => {
            println!("{missed} mutants were not found");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("mutants: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Returns how many were not found.
fn run(arguments: &Arguments) -> Result<usize, String> {
    let program = build(&arguments.workspace)?;
    let mutants = mutants::all()?;
    let mut missed = 0;
    println!("| mutant | found after | in | by |\n|---|---|---|---|");
    for mutant in mutants.iter().filter(|mutant| mutant.name.contains(&arguments.only)) {
        if let Some(found) = hunt(&program, mutant, arguments.histories)? {
            println!("| {} | {found} |", mutant.name);
        } else {
            missed += 1;
            println!("| {} | not found in {} histories | | |", mutant.name, arguments.histories);
        }
    }
    Ok(missed)
}

/// Builds the copy with all mutants. Returns its program. The profile is that of the simulation, so
/// only our own crates are compiled again.
fn build(workspace: &Path) -> Result<PathBuf, String> {
    let workspace = workspace.canonicalize().map_err(|error| error.to_string())?;
    let (target, copy) = (workspace.join("target"), workspace.join("target/mutants"));
    mutants::copy(&workspace, &copy, &mutants::all()?)?;
    let built = Command::new("cargo")
        .args(["build", "-q", "--profile", "simulation", "-p", "lsm-ready-simulation"])
        .args(["--bin", PROGRAM])
        .current_dir(&copy)
        .env("CARGO_TARGET_DIR", &target)
        .status()
        .map_err(|error| format!("cargo: {error}"))?;
    if built.success() {
        Ok(target.join("simulation").join(PROGRAM))
    } else {
        Err("no build".into())
    }
}

/// Histories, seconds and the invariant, as cells of a table.
fn hunt(program: &Path, mutant: &Mutant, histories: u64) -> Result<Option<String>, String> {
    let begun = Instant::now();
    let output = Command::new(program)
        .args(["--brief", "--histories", &histories.to_string()])
        .env(VARIABLE, &mutant.name)
        .output()
        .map_err(|error| format!("{}: {error}", program.display()))?;
    if output.status.success() {
        return Ok(None);
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let ran = text.split_whitespace().next().unwrap_or_default();
    let by = text.lines().find_map(|line| line.strip_prefix("invariant: ")).unwrap_or("?");
    Ok(Some(format!("{ran} histories | {:.1} s | {by}", begun.elapsed().as_secs_f64())))
}

//! `vm --kernel FILE [--append "…"] … -- COMMAND [ARG…]`: boots a kernel, runs a static program in it and passes its
//! output and exit code on.
//!
//! Exit codes of its own: 124 the time was over, 125 the machine could not run or died; what the kernel said last goes
//! to standard error then.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use e2e::vm::{self, How, Machine, Securityfs};

const TIMED_OUT: u8 = 124;
const DIED: u8 = 125;

/// Boots a kernel in QEMU and runs one static program in it.
#[derive(Parser)]
#[command(name = "vm", arg_required_else_help = true)]
struct Cli {
    /// The kernel's image (e2e/kernels.sh fetches some).
    #[arg(long, value_name = "FILE")]
    kernel: PathBuf,
    /// Further boot parameters, for instance "lsm=landlock,bpf".
    #[arg(long, value_name = "PARAMETERS", default_value = "", allow_hyphen_values = true)]
    append: String,
    /// Memory of the machine.
    #[arg(long, value_name = "MB", default_value_t = 512)]
    memory: u32,
    /// A further file, and where it goes in the guest. May be repeated.
    #[arg(long = "file", value_name = "SRC=DEST", value_parser = file)]
    files: Vec<(PathBuf, String)>,
    /// Leave /sys/kernel/security empty.
    #[arg(long)]
    no_securityfs: bool,
    /// How long it may take from power-on to the end.
    #[arg(long, value_name = "SECONDS", default_value_t = 120)]
    timeout: u64,
    /// Write the kernel's own messages to this file.
    #[arg(long, value_name = "FILE")]
    console: Option<PathBuf>,
    /// A static program of this machine (with a slash in it) or one of the guest's (busybox), and its arguments.
    #[arg(last = true, required = true)]
    command: Vec<String>,
}

fn file(text: &str) -> Result<(PathBuf, String), String> {
    let (source, target) = text.split_once('=').ok_or("write SRC=DEST")?;
    if target.starts_with('/') {
        Ok((source.into(), target.to_owned()))
    } else {
        Err("DEST starts with /".to_owned())
    }
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let machine = Machine {
        kernel: cli.kernel,
        append: cli.append,
        memory: cli.memory,
        files: cli.files,
        securityfs: if cli.no_securityfs { Securityfs::Empty } else { Securityfs::Mounted },
        timeout: Duration::from_secs(cli.timeout),
    };
    let ended = match vm::run(&machine, &cli.command, &mut io::stdout().lock()) {
        Ok(ended) => ended,
        Err(error) => {
            eprintln!("vm: {error}");
            return ExitCode::from(DIED);
        }
    };
    io::stderr().write_all(&ended.stderr).ok();
    if let Some(path) = cli.console
        && let Err(error) = std::fs::write(&path, &ended.console)
    {
        eprintln!("vm: cannot write {}: {error}", path.display());
    }
    match ended.how {
        How::Exited(code) => ExitCode::from(code),
        How::TimedOut => failed("the time was over", &ended.console, TIMED_OUT),
        How::Died => failed("the machine went down before the command ended", &ended.console, DIED),
    }
}

fn failed(why: &str, console: &str, code: u8) -> ExitCode {
    let lines: Vec<&str> = console.lines().collect();
    // What led to a panic stands above it; below are registers.
    let end = lines
        .iter()
        .position(|line| line.contains("Kernel panic"))
        .map_or(lines.len(), |line| line + 1);
    let lines = &lines[..end];
    eprintln!("vm: {why}; the kernel's last lines:");
    for line in &lines[lines.len().saturating_sub(20)..] {
        eprintln!("  {line}");
    }
    ExitCode::from(code)
}

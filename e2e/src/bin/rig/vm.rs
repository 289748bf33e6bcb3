//! `rig vm`: boots a kernel, runs a static program in it and passes its output and exit code on.
//!
//! Exit codes of its own: 124 the time was over, 125 the machine could not run or died. The
//! kernel's last messages go to standard error then.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use e2e::vm::{self, How, Machine, Securityfs};

const TIMED_OUT: u8 = 124;
const DIED: u8 = 125;

#[derive(Args)]
pub struct Arguments {
    /// The kernel's image (`rig kernels fetch` fetches some).
    #[arg(long, value_name = "FILE")]
    kernel: PathBuf,
    /// Further boot parameters, for instance "lsm=landlock,bpf".
    #[arg(long, value_name = "PARAMETERS", default_value = "", allow_hyphen_values = true)]
    append: String,
    /// Memory of the machine.
    #[arg(long, value_name = "MB", default_value_t = 512)]
    memory: u32,
    /// Another file, and its path in the virtual machine. May be repeated.
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
    /// A static program of this machine (with a slash in it) or one of the virtual machine
    /// (busybox), and its arguments.
    #[arg(last = true, required = true)]
    command: Vec<String>,
}

fn file(text: &str) -> Result<(PathBuf, String), String> {
    let (source, target) = text.split_once('=').ok_or("use SRC=DEST, for example ./a=/bin/a")?;
    if target.starts_with('/') {
        Ok((source.into(), target.to_owned()))
    } else {
        Err(format!("invalid place {target:?}: use an absolute path, for example /bin/a"))
    }
}

pub fn run(arguments: Arguments) -> ExitCode {
    let machine = Machine {
        kernel: arguments.kernel,
        append: arguments.append,
        memory: arguments.memory,
        files: arguments.files,
        securityfs: if arguments.no_securityfs { Securityfs::Empty } else { Securityfs::Mounted },
        timeout: Duration::from_secs(arguments.timeout),
    };
    let ended = match vm::run(&machine, &arguments.command, &mut io::stdout().lock()) {
        Ok(ended) => ended,
        Err(error) => {
            eprintln!("rig: {error}");
            return ExitCode::from(DIED);
        }
    };
    io::stderr().write_all(&ended.stderr).ok();
    if let Some(path) = arguments.console
        && let Err(error) = std::fs::write(&path, &ended.console)
    {
        eprintln!("rig: cannot write {}: {error}", path.display());
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
    eprintln!("rig: {why}; the kernel's last lines:");
    for line in &lines[lines.len().saturating_sub(20)..] {
        eprintln!("  {line}");
    }
    ExitCode::from(code)
}

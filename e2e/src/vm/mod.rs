//! Boots a kernel in QEMU, runs one static program in it and takes its output and exit code.
//!
//! In: a [`Machine`] (kernel, boot parameters, files) and a command. Out: the command's standard
//! output while it runs, and then an [`Ended`] with its exit code, its standard error and the
//! kernel's own messages.
//!
//! # Flow
//! The initial ramdisk is written by [`initramfs`] and holds the program `guest` (e2e/guest) as
//! first process, busybox, and the machine's files. [`qemu`] runs it. The machine has four serial
//! ports: the kernel's console, the command's output, its errors, and its exit code.

mod architecture;
pub mod initramfs;
pub mod qemu;

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use qemu::{CharacterDevice, Hardware, bound_to_us};

/// What the machine has at `/sys/kernel/security`.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Securityfs {
    /// securityfs, mounted.
    #[default]
    Mounted,
    /// The empty directory that sysfs has there when nothing is mounted.
    Empty,
}

/// A machine to boot.
#[derive(Clone, Debug)]
pub struct Machine {
    /// The kernel's image ([`crate::stock_kernel`] fetches some).
    pub kernel: PathBuf,
    /// Further boot parameters.
    pub append: String,
    /// Memory in MiB.
    pub memory: u32,
    /// Files of this machine and where they go in the virtual one; they keep their permissions. A
    /// file for `/init` or `/bin/busybox` is used in place of this machine's own.
    pub files: Vec<(PathBuf, String)>,
    /// What the machine has at `/sys/kernel/security`.
    pub securityfs: Securityfs,
    /// How long the run may take, from power-on to the end.
    pub timeout: Duration,
}

/// How a run ended.
#[derive(Clone, Debug)]
pub struct Ended {
    /// The kind of end.
    pub how: How,
    /// The command's standard error.
    pub stderr: Vec<u8>,
    /// The messages of the kernel, and of QEMU itself.
    pub console: String,
}

/// The ways in which a run ends.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum How {
    /// The command ended with this exit code (128 and the number of the signal, as in a shell).
    Exited(u8),
    /// The run took too long, and the machine was turned off.
    TimedOut,
    /// The machine ended without an exit code: the kernel panicked or did not start.
    Died,
}

/// What keeps a machine from running.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The first process of the machine was not built.
    #[error("{} is missing: build it with `make guest`", _0.display())]
    NoGuest(PathBuf),
    /// busybox is missing or not static.
    #[error("there is no static busybox on the PATH: install the package busybox-static")]
    Busybox,
    /// QEMU cannot be started.
    #[error("cannot start {program}: {source} (package {package})")]
    Qemu {
        /// The program.
        program: &'static str,
        /// The package that has it.
        package: &'static str,
        source: io::Error,
    },
    /// Reading or writing on this machine failed.
    #[error("{doing}: {source}")]
    Io {
        /// What was being done.
        doing: &'static str,
        source: io::Error,
    },
}

/// Makes an [`Error::Io`] of what failed while doing that.
fn while_doing(doing: &'static str) -> impl Fn(io::Error) -> Error {
    move |source| Error::Io { doing, source }
}

/// Boots the machine, runs the command and copies its standard output to `stdout` as it comes.
///
/// The first word of the command is a static program of this machine if there is a slash in it, and
/// otherwise a program of the virtual machine: one of busybox, `guest`, or one of `machine.files`
/// in `/bin`. A command that fails is not an error.
pub fn run(machine: &Machine, command: &[String], stdout: &mut dyn Write) -> Result<Ended, Error> {
    let work =
        TempDir::with_prefix("vm-").map_err(while_doing("making a folder for the machine"))?;
    let initrd = work.path().join("initrd");
    initramfs::write_for_command(&initrd, machine, command)?;
    let mut qemu = start(machine, &initrd, work.path())?;
    let timed_out = pass_on(&mut qemu, machine.timeout, stdout);
    // QEMU has closed its output, so it has ended or is about to: wait() returns then.
    let how = match timed_out {
        Ok(true) => {
            qemu.kill().map_err(while_doing("powering the machine off"))?;
            How::TimedOut
        }
        Ok(false) => How::Died,
        Err(error) => {
            qemu.kill().ok();
            qemu.wait().ok();
            return Err(error);
        }
    };
    qemu.wait().map_err(while_doing("waiting for QEMU to end"))?;
    let read = |name: &str| fs::read(work.path().join(name)).unwrap_or_default();
    let code = String::from_utf8_lossy(&read("code")).trim().parse().ok();
    Ok(Ended {
        how: code.filter(|_| how == How::Died).map_or(how, How::Exited),
        stderr: read("err"),
        console: String::from_utf8_lossy(&[read("console"), read("qemu")].concat()).into_owned(),
    })
}

fn start(machine: &Machine, initrd: &Path, work: &Path) -> Result<Child, Error> {
    let port = |id| CharacterDevice { id, file: Some(work.join(id)) };
    let hardware = Hardware {
        kernel: machine.kernel.clone(),
        initrd: initrd.to_owned(),
        parameters: machine.append.clone(),
        memory: machine.memory,
        processors: 1,
        console: work.join("console"),
        serial_ports: vec![CharacterDevice { id: "out", file: None }, port("err"), port("code")],
        devices: Vec::new(),
    };
    let reading = while_doing("reading the kernel");
    let (program, arguments) =
        (hardware.program().map_err(&reading)?, hardware.arguments().map_err(&reading)?);
    let log = File::create(work.join("qemu")).map_err(while_doing("making QEMU's log"))?;
    let mut qemu = bound_to_us(program.name);
    qemu.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log);
    qemu.spawn().map_err(|source| Error::Qemu {
        program: program.name,
        package: program.package,
        source,
    })
}

/// Copies the output of the machine until QEMU closes it. Returns true when the time is over first.
fn pass_on(qemu: &mut Child, timeout: Duration, to: &mut dyn Write) -> Result<bool, Error> {
    let end = Instant::now() + timeout;
    let Some(mut from) = qemu.stdout.take() else {
        return Ok(false);
    };
    let (sender, pieces) = mpsc::channel();
    thread::spawn(move || {
        let mut piece = [0; 4096];
        while let Ok(length @ 1..) = from.read(&mut piece) {
            if sender.send(piece[..length].to_vec()).is_err() {
                return;
            }
        }
    });
    copy(&pieces, end, to).map_err(while_doing("passing the guest's output on"))
}

fn copy(pieces: &Receiver<Vec<u8>>, end: Instant, to: &mut dyn Write) -> io::Result<bool> {
    loop {
        match pieces.recv_timeout(end.saturating_duration_since(Instant::now())) {
            Ok(piece) => {
                to.write_all(&piece)?;
                to.flush()?;
            }
            Err(RecvTimeoutError::Timeout) => return Ok(true),
            Err(RecvTimeoutError::Disconnected) => return Ok(false),
        }
    }
}

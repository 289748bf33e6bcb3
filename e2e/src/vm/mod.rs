//! Boots a kernel in QEMU, runs one static program in it and takes its output and exit code.
//!
//! In: a [`Machine`] (kernel, boot parameters, files) and a command. Out: the command's standard output as it comes,
//! and how it [`Ended`], with its standard error and the kernel's own messages apart from them.
//!
//! # Flow
//! The initramfs is written by [`initramfs`] and holds busybox, the files and a generated [`init`] script, no more.
//! The guest has four serial ports: the kernel's console, the command's output, its errors, and its exit code.
//! The processor is emulated unless `VM_ACCEL=kvm` asks for more: a /dev/kvm that is there need not work. A kernel for
//! another processor than this machine's always runs on an emulated one.

mod architecture;
mod init;
mod initramfs;

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use architecture::Architecture;
pub use init::Securityfs;

/// A machine to boot.
#[derive(Clone, Debug)]
pub struct Machine {
    /// The kernel's image, as `e2e/kernels.sh` unpacks it.
    pub kernel: PathBuf,
    /// Further boot parameters.
    pub append: String,
    /// Memory in MiB.
    pub memory: u32,
    /// Files of this machine and where they go in the guest; they keep their mode. One that goes to `/bin/busybox` is the
    /// guest's shell, in place of this machine's busybox.
    pub files: Vec<(PathBuf, String)>,
    /// What the guest has at `/sys/kernel/security`.
    pub securityfs: Securityfs,
    /// How long it may take from power-on to the end.
    pub timeout: Duration,
}

/// How a run ended.
#[derive(Clone, Debug)]
pub struct Ended {
    /// The way.
    pub how: How,
    /// The command's standard error.
    pub stderr: Vec<u8>,
    /// What the kernel printed, and what QEMU itself had to say.
    pub console: String,
}

/// The ways in which a run ends.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum How {
    /// The command ended, with that exit code (128 and the signal's number for a signal, as in a shell).
    Exited(u8),
    /// It took too long and was powered off.
    TimedOut,
    /// The machine went down without an exit code: the kernel panicked or never came up.
    Died,
}

/// What keeps a machine from running.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file for the guest cannot be read.
    #[error("cannot put {} into the initramfs: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// busybox is missing or not static.
    #[error("the guest's shell is missing: install busybox-static (no static busybox on the PATH)")]
    Busybox,
    /// QEMU cannot be started.
    #[error("cannot start {program}: {source} (package {package})")]
    Qemu {
        /// The program.
        program: &'static str,
        /// What has it.
        package: &'static str,
        /// Why.
        source: io::Error,
    },
    /// Reading or writing on this side failed.
    #[error("{doing}: {source}")]
    Io {
        /// What was being done.
        doing: &'static str,
        /// Why.
        source: io::Error,
    },
}

/// Makes an [`Error::Io`] of whatever failed while doing that.
fn while_doing(doing: &'static str) -> impl Fn(io::Error) -> Error {
    move |source| Error::Io { doing, source }
}

/// Boots the machine, runs the command and copies its standard output to `stdout` as it comes.
///
/// The first word of the command is a static program of this machine if there is a slash in it, and a program of the
/// guest otherwise (busybox's, or one of `machine.files` in `/bin`).
///
/// # Errors
/// Where the machine cannot be started or its output cannot be passed on. A guest that fails is an [`Ended`].
pub fn run(machine: &Machine, command: &[String], stdout: &mut dyn Write) -> Result<Ended, Error> {
    let work =
        TempDir::with_prefix("vm-").map_err(while_doing("making a folder for the machine"))?;
    let initrd = work.path().join("initrd");
    initramfs::write(&initrd, machine, command)?;
    let mut qemu = start(machine, &initrd, work.path())?;
    let timed_out = pass_on(&mut qemu, machine.timeout, stdout);
    // It is gone, or on its way: wait() returns once it is.
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
        stderr: read("stderr"),
        console: String::from_utf8_lossy(&[read("console"), read("qemu")].concat()).into_owned(),
    })
}

fn start(machine: &Machine, initrd: &Path, work: &Path) -> Result<Child, Error> {
    let unreadable = |source| Error::File { path: machine.kernel.clone(), source };
    let architecture = Architecture::of(&fs::read(&machine.kernel).map_err(unreadable)?);
    let file = |name: &str| work.join(name).display().to_string();
    let port = |id: &str, name: &str| format!("file,id={id},path={}", file(name));
    let log = File::create(work.join("qemu")).map_err(while_doing("making QEMU's log"))?;
    let wanted = std::env::var("VM_ACCEL").ok().filter(|_| architecture.is_native());
    let accelerator = wanted.unwrap_or_else(|| "tcg".to_owned());
    let mut qemu = bound_to_us(architecture.qemu());
    qemu.args([
        "-accel",
        &accelerator,
        "-cpu",
        "max",
        "-smp",
        "1",
        "-m",
        &machine.memory.to_string(),
    ])
    .args(["-nodefaults", "-display", "none", "-no-reboot"])
    .args(["-chardev", "stdio,id=out,signal=off", "-chardev", &port("err", "stderr")])
    .args(["-chardev", &port("code", "code")])
    .args(architecture.serial_ports(&format!("file:{}", file("console"))))
    .arg("-kernel")
    .arg(&machine.kernel)
    .arg("-initrd")
    .arg(initrd)
    .args(["-append", &format!("{} quiet panic=-1 {}", architecture.parameters(), machine.append)])
    .stdin(Stdio::null())
    .stdout(Stdio::piped())
    .stderr(log);
    let (program, package) = (architecture.qemu(), architecture.package());
    qemu.spawn().map_err(|source| Error::Qemu { program, package, source })
}

/// The program, to be killed when this process goes without a chance to do it itself (setpriv is util-linux's).
fn bound_to_us(program: &str) -> Command {
    let has_setpriv =
        Command::new("setpriv").arg("--version").stdout(Stdio::null()).status().is_ok();
    if !has_setpriv {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--", program]);
    command
}

/// Copies the guest's output until QEMU closes it; true when the time is over first.
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

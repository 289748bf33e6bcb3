//! The first process in the initial ramdisk.
//!
//! In: [`Start`]. Out: the command's output and exit code at the serial ports and a machine that is
//! turned off; or, for a node, the first process of its root file system.

use std::convert::Infallible;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use e2e_guest::{MODULES, START, Start};
use rustix::mount::{MountFlags, mount, mount_move};
use rustix::process::{WaitOptions, WaitStatus, chdir, chroot, wait};
use rustix::system::{RebootCommand, init_module, reboot};
use rustix::termios::{OptionalActions, tcdrain, tcgetattr, tcsetattr};

use crate::shell;

/// The serial ports of the command's output, of its errors, and of its exit code.
const PORTS: [&str; 3] = ["/dev/ttyS1", "/dev/ttyS2", "/dev/ttyS3"];
/// The root file system, the node's own disk and the disk with the images, with the places where
/// they are mounted.
const DISKS: [(&str, &str); 3] =
    [("/dev/vda", "/new"), ("/dev/vdb", "/new/var"), ("/dev/vdc", "/new/var/lib/containerd")];
/// How long the kernel may take to find the disks after their driver was loaded.
const DISKS_FOUND: Duration = Duration::from_secs(30);

/// Does what the ramdisk says.
pub fn run() -> io::Result<Infallible> {
    match serde_json::from_slice(&fs::read(START)?)? {
        Start::Command { command, securityfs } => run_command(&command, securityfs),
        Start::Node { modules } => change_root(&modules),
    }
}

/// Turns the machine off. Returns only where the kernel refuses that.
pub fn power_off() {
    rustix::fs::sync();
    if let Err(error) = reboot(RebootCommand::PowerOff) {
        println!("guest: cannot turn the machine off: {error}");
    }
}

/// Mounts a file system without options.
pub fn mount_plain(kind: &str, target: &str) -> io::Result<()> {
    Ok(mount(kind, target, kind, MountFlags::empty(), None)?)
}

fn run_command(command: &[String], securityfs: bool) -> io::Result<Infallible> {
    for (kind, target) in [
        ("proc", "/proc"),
        ("sysfs", "/sys"),
        ("devtmpfs", "/dev"),
        ("tmpfs", "/tmp"),
        ("tmpfs", "/run"),
    ] {
        mount_plain(kind, target)?;
    }
    // A kernel without BPF has no such file system.
    mount_plain("bpf", "/sys/fs/bpf").ok();
    if securityfs {
        // Some tests boot kernels without securityfs.
        mount_plain("securityfs", "/sys/kernel/security").ok();
    }
    shell::must(Command::new("/bin/busybox").args(["--install", "-s", "/bin"]))?;
    let [output, errors, exit_code] = PORTS.map(raw_port);
    let code = run_with(command, &output?, &errors?)?;
    // The exit code is written last: a machine without one has died.
    let mut exit_code = exit_code?;
    writeln!(exit_code, "{code}")?;
    tcdrain(&exit_code)?;
    power_off();
    Err(io::Error::other("the machine is still on"))
}

/// A serial port that lets every byte through as it is.
fn raw_port(path: &str) -> io::Result<File> {
    let port = File::options().read(true).write(true).open(path)?;
    let mut settings = tcgetattr(&port)?;
    settings.make_raw();
    tcsetattr(&port, OptionalActions::Now, &settings)?;
    Ok(port)
}

/// Runs the command with its output at these ports and returns its exit code.
fn run_with(words: &[String], output: &File, errors: &File) -> io::Result<u8> {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let mut command = shell::command(&words);
    command.env_clear().envs([("PATH", "/bin"), ("HOME", "/"), ("TERM", "dumb")]);
    command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(errors.try_clone()?);
    let code = match command.spawn() {
        Ok(child) => wait_for(child.id())?,
        Err(error) => {
            writeln!(&*errors, "cannot run {words:?}: {error}")?;
            127
        }
    };
    tcdrain(output)?;
    tcdrain(errors)?;
    Ok(code)
}

/// Waits for a child, and meanwhile for all processes whose parents have ended: they become ours.
fn wait_for(child: u32) -> io::Result<u8> {
    loop {
        if let Some((pid, status)) = wait(WaitOptions::empty())?
            && pid.as_raw_nonzero().get().cast_unsigned() == child
        {
            return Ok(code(status));
        }
    }
}

fn code(status: WaitStatus) -> u8 {
    let code =
        status.exit_status().or_else(|| status.terminating_signal().map(|signal| 128 + signal));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1)
}

/// Loads the drivers of the disks and continues with the first process of the root file system on
/// them.
fn change_root(modules: &[String]) -> io::Result<Infallible> {
    mount_plain("devtmpfs", "/dev")?;
    for module in modules {
        let image = fs::read(Path::new(MODULES).join(module))?;
        if let Err(error) = init_module(&image, c"") {
            println!("guest: cannot load {module}: {error}");
        }
    }
    shell::until(DISKS_FOUND, || DISKS.iter().all(|(disk, _)| Path::new(disk).exists()));
    for (number, (disk, target)) in DISKS.into_iter().enumerate() {
        // All nodes share the root.
        let (flags, options) = if number == 0 {
            (MountFlags::RDONLY, Some(c"noload"))
        } else {
            (MountFlags::empty(), None)
        };
        mount(disk, target, "ext4", flags, options).map_err(|error| {
            io::Error::other(format!("cannot mount {disk} at {target}: {error}"))
        })?;
    }
    mount_move("/dev", "/new/dev")?;
    chdir("/new")?;
    mount_move(".", "/")?;
    chroot(".")?;
    chdir("/")?;
    Err(Command::new("/init").exec())
}

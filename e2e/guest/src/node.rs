//! The first process of a node: mounts, network, containerd, kubelet; and the control port.
//!
//! The root is read-only and shared by all nodes. What a node has of its own is on its second disk,
//! /var, where the rig has put its configuration into /var/node. containerd's folder is a third
//! disk, with the images that every pod needs. Logs go to the rig through ports of their own, as do
//! the requests at the control port:
//!
//! - `import SIZE`, followed by SIZE bytes of an image archive
//! - `poweroff`
//!
//! One line comes back: `ok`, or `failed: …`.

use std::convert::Infallible;
use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader, Read, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use e2e_guest::{NODE_SETTINGS, NodeSettings};
use rustix::mount::{MountPropagationFlags, mount_change};
use rustix::process::{WaitOptions, wait};
use rustix::system::sethostname;

use crate::{init, shell};

const PATH: &str = "/bin:/sbin:/usr/bin:/usr/sbin";
const SOCKET: &str = "/run/containerd/containerd.sock";
/// How long containerd may take to listen, on an emulated processor.
const LISTENS: Duration = Duration::from_mins(4);
/// The file for an image archive while it is imported.
const ARCHIVE: &str = "/var/import.tar";
/// How often an empty port is read.
const PAUSE: Duration = Duration::from_millis(100);
/// How long an archive may stop before its end.
const PATIENCE: Duration = Duration::from_secs(10);

/// Starts the node and waits for processes that end, for as long as the machine runs.
pub fn run() -> io::Result<Infallible> {
    mount_all()?;
    let node: NodeSettings = serde_json::from_slice(&fs::read(NODE_SETTINGS)?)?;
    let list = fs::read_to_string("/sys/kernel/security/lsm").unwrap_or_default();
    println!("guest: node {} runs with lsm={list}", node.name);
    set_up_network(&node)?;
    let configuration = ["-c", "/var/node/containerd.toml"];
    program("containerd").args(configuration).spawn_to("containerd")?;
    if !shell::until(LISTENS, || Path::new(SOCKET).exists()) {
        println!("guest: containerd does not listen at {SOCKET}");
    }
    program("kubelet")
        .args(["--config", "/var/node/kubelet.json", "--kubeconfig", "/var/node/kubeconfig"])
        .args(["--hostname-override", &node.name, "--node-ip", &node.address])
        .spawn_to("kubelet")?;
    // A process of its own waits for what it starts itself; this one waits for everything.
    program("/init").arg("control").spawn()?;
    let uptime = fs::read_to_string("/proc/uptime").unwrap_or_default();
    println!(
        "guest: node {} is up {} s after power-on",
        node.name,
        uptime.split(' ').next().unwrap_or("?")
    );
    loop {
        wait(WaitOptions::empty())?;
    }
}

fn mount_all() -> io::Result<()> {
    for (kind, target) in [
        ("proc", "/proc"),
        ("sysfs", "/sys"),
        ("tmpfs", "/run"),
        ("tmpfs", "/tmp"),
        ("devpts", "/dev/pts"),
        ("tmpfs", "/dev/shm"),
        ("cgroup2", "/sys/fs/cgroup"),
        ("bpf", "/sys/fs/bpf"),
        ("securityfs", "/sys/kernel/security"),
    ] {
        if target.starts_with("/dev/") {
            fs::create_dir_all(target)?;
        }
        init::mount_plain(kind, target).map_err(|error| {
            io::Error::other(format!("cannot mount {kind} at {target}: {error}"))
        })?;
    }
    mount_change("/", MountPropagationFlags::SHARED | MountPropagationFlags::REC)?;
    fs::write("/sys/fs/cgroup/cgroup.subtree_control", "+cpuset +cpu +memory +pids +io")
}

fn set_up_network(node: &NodeSettings) -> io::Result<()> {
    sethostname(node.name.as_bytes())?;
    let NodeSettings { address, gateway, .. } = node;
    for line in [
        "link set lo up".to_owned(),
        "link set eth0 up".to_owned(),
        format!("addr add {address}/24 dev eth0"),
        format!("route add default via {gateway}"),
    ] {
        shell::must(program("ip").args(line.split(' ')))?;
    }
    fs::write("/proc/sys/net/ipv4/ip_forward", "1")
}

fn program(name: &str) -> Command {
    let mut command = Command::new(name);
    command.env("PATH", PATH);
    command
}

trait SpawnTo {
    /// Starts the program with its output at the virtio port of that name.
    fn spawn_to(&mut self, port: &str) -> io::Result<()>;
}

impl SpawnTo for Command {
    fn spawn_to(&mut self, port: &str) -> io::Result<()> {
        let log = File::options().write(true).open(port_device(port)?)?;
        self.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).spawn()?;
        Ok(())
    }
}

/// The device of a virtio port.
fn port_device(name: &str) -> io::Result<PathBuf> {
    for port in fs::read_dir("/sys/class/virtio-ports")? {
        let port = port?;
        if fs::read_to_string(port.path().join("name"))?.trim() == name {
            return Ok(Path::new("/dev").join(port.file_name()));
        }
    }
    Err(io::Error::other(format!("there is no virtio port {name}")))
}

/// The control port. It reads as "end of file" while the rig is not connected and for a moment
/// after, also in the middle of an archive, so only an end that lasts is one.
struct Port {
    file: File,
    patience: Option<Duration>,
}

impl Read for Port {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let end = self.patience.map(|patience| Instant::now() + patience);
        loop {
            let length = self.file.read(buffer)?;
            if length > 0 || end.is_some_and(|end| Instant::now() >= end) {
                return Ok(length);
            }
            thread::sleep(PAUSE);
        }
    }
}

/// Serves the control port until the machine is turned off.
pub fn control() -> io::Result<u8> {
    let file = File::options().read(true).write(true).open(port_device("control")?)?;
    let mut port = BufReader::new(Port { file, patience: None });
    loop {
        let mut line = String::new();
        port.read_line(&mut line)?;
        let outcome = match line.trim_end().split_once(' ') {
            Some(("import", size)) => import(&mut port, size),
            None if line.trim_end() == "poweroff" => {
                rustix::fs::sync();
                writeln!(port.get_mut().file, "ok")?;
                init::power_off();
                Ok(())
            }
            _ => Err(io::Error::other(format!("unknown request {:?}", line.trim_end()))),
        };
        match outcome {
            Ok(()) => writeln!(port.get_mut().file, "ok")?,
            Err(error) => writeln!(port.get_mut().file, "failed: {error}")?,
        }
    }
}

/// Takes an archive from the port and imports it.
fn import(port: &mut BufReader<Port>, size: &str) -> io::Result<()> {
    let size: u64 = size.parse().map_err(io::Error::other)?;
    port.get_mut().patience = Some(PATIENCE);
    let copied = io::copy(&mut port.by_ref().take(size), &mut File::create(ARCHIVE)?);
    port.get_mut().patience = None;
    let copied = copied?;
    if copied < size {
        return Err(io::Error::other(format!("the archive ended after {copied} of {size} bytes")));
    }
    let output = program("ctr").args(["-n", "k8s.io", "images", "import", ARCHIVE]).output()?;
    fs::remove_file(ARCHIVE)?;
    if output.status.success() {
        return Ok(());
    }
    let errors = String::from_utf8_lossy(&output.stderr);
    Err(io::Error::other(errors.trim().lines().last().unwrap_or("ctr failed").to_owned()))
}

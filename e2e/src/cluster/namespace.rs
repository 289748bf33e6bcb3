//! The network namespace of the whole cluster. No traffic goes into it or out of it.
//!
//! In: the nodes. Out: a bridge with an interface for each virtual machine, and routes to the pods
//! of each.

use std::fs::{self, File};
use std::io;
use std::os::fd::AsFd as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::node::{GATEWAY, Node};
use crate::command::{self, run_line};
use crate::process::Record;

/// The namespace's name, as in `ip netns`.
pub const NAME: &str = "lsm-ready";
const FOLDER: &str = "/run/netns";

/// The namespace could not be entered.
#[derive(Debug, thiserror::Error)]
#[error("cannot enter the network namespace {NAME}: {0}; is the cluster up?")]
pub struct NotEntered(#[from] io::Error);

/// The file of the namespace, for `nsenter --net=FILE`.
pub fn file() -> PathBuf {
    Path::new(FOLDER).join(NAME)
}

/// Makes the namespace with a bridge, and an interface and a route for each virtual machine.
pub fn create(nodes: &[Node]) -> Result<(), command::Error> {
    run_line(&format!("ip netns add {NAME}"))?;
    let ip = |rest: &str| run_line(&format!("ip -n {NAME} {rest}"));
    ip("link set lo up")?;
    ip("link add br0 type bridge")?;
    ip(&format!("addr add {GATEWAY}/24 dev br0"))?;
    ip("link set br0 up")?;
    for node in nodes.iter().filter(|node| node.is_vm()) {
        let tap = node.tap();
        ip(&format!("tuntap add dev {tap} mode tap"))?;
        ip(&format!("link set {tap} master br0 up"))?;
        ip(&format!("route add {} via {} dev br0", node.pods(), node.address()))?;
    }
    run_line(&format!("nsenter --net={} sysctl -qw net.ipv4.ip_forward=1", file().display()))?;
    Ok(())
}

/// Moves this thread into the namespace, with all processes and threads that it starts from now on.
///
/// `ip netns exec` would mount another sysfs too, in which a kubelet finds no cgroups.
pub fn enter() -> Result<(), NotEntered> {
    let namespace = File::open(file())?;
    move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))
        .map_err(io::Error::from)?;
    Ok(())
}

/// The processes in the namespace, without this one.
pub fn members() -> Vec<Record> {
    let identity = |path: &Path| fs::metadata(path).ok().map(|found| (found.dev(), found.ino()));
    let Some(ours) = identity(&file()) else {
        return Vec::new();
    };
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let inside = pids.filter(|pid| *pid != std::process::id());
    let inside =
        inside.filter(|pid| identity(&PathBuf::from(format!("/proc/{pid}/ns/net"))) == Some(ours));
    inside.filter_map(Record::of).collect()
}

/// Whether the folder of `ip netns` exists. It is mounted when the first namespace is made.
pub fn folder_exists() -> bool {
    Path::new(FOLDER).exists()
}

/// Removes the namespace and, with `folder`, the folder of namespaces when no other is left in it.
pub fn remove(folder: bool) -> Result<(), command::Error> {
    if file().exists() {
        run_line(&format!("ip netns del {NAME}"))?;
    }
    let empty = fs::read_dir(FOLDER).is_ok_and(|mut entries| entries.next().is_none());
    if folder && empty {
        // Some versions of `ip` mount something there.
        let _ = run_line(&format!("umount {FOLDER}"));
        let _ = fs::remove_dir(FOLDER);
    }
    Ok(())
}

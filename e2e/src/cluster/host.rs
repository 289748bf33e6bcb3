//! The node on this machine's kernel.
//!
//! In: the cluster's folder and the node's certificate. Out: containerd and a kubelet in a mount
//! namespace of their own, in which securityfs is mounted. The machine's mounts and kernel settings
//! stay as they are.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::config::{self, Places};
use super::node::Node;
use super::{Error, cgroup};
use crate::command::run_long;
use crate::control_plane::program;
use crate::paths::remove_dir;
use crate::process::{Processes, Record};
use crate::wait;

const MOUNTS: &str = include_str!("host.sh");
/// Folders over which the node mounts its own. Those that are missing are made, and removed in the
/// end.
const MOUNT_POINTS: [&str; 2] = ["/var/lib/cni", "/var/lib/kubelet"];
const CONTAINERD: &str = "containerd";
const SOCKET: Duration = Duration::from_secs(30);

/// The node on this machine.
#[derive(Clone, Debug)]
pub struct Host {
    dir: PathBuf,
    processes: Processes,
}

impl Host {
    /// The node whose state is in `dir`.
    pub fn new(dir: PathBuf, processes: Processes) -> Self {
        Self { dir, processes }
    }

    /// The folder for its certificates.
    pub fn node_dir(&self) -> PathBuf {
        self.dir.join("node")
    }

    /// Starts containerd, which holds the mount namespace.
    pub fn start_containerd(&self, node: &Node) -> Result<(), Error> {
        let config = self.dir.join("containerd.toml");
        self.write_files(node, &config).map_err(Error::io("prepare the node on this machine"))?;
        let mut command = Command::new("unshare");
        command.args(["--mount", "--propagation=private", "--", "sh", "-c", MOUNTS, "host.sh"]);
        command.arg(&self.dir).args(["containerd", "--config"]).arg(&config);
        self.processes.spawn(CONTAINERD, &mut command)?;
        Ok(())
    }

    fn write_files(&self, node: &Node, config: &Path) -> io::Result<()> {
        let (state, dir) = (self.dir.join("containerd"), self.node_dir());
        let places = Places { node: &dir, containerd: &state };
        let made: Vec<&str> =
            MOUNT_POINTS.into_iter().filter(|path| !Path::new(path).exists()).collect();
        fs::create_dir_all(&self.dir)?;
        fs::write(self.made(), made.join("\n"))?;
        for folder in MOUNT_POINTS.map(PathBuf::from).into_iter().chain([self.dir.join("kubelet")])
        {
            fs::create_dir_all(folder)?;
        }
        fs::create_dir_all(dir.join("cni"))?;
        fs::write(dir.join("cni/10-pods.conflist"), config::network(node).to_string())?;
        let kubelet = config::kubelet(&places, cgroup::ROOT);
        fs::write(self.dir.join("kubelet.json"), kubelet.to_string())?;
        fs::write(config, config::containerd(&places))?;
        cgroup::create()
    }

    /// Starts the kubelet as soon as containerd listens.
    pub async fn start_kubelet(&self, node: &Node) -> Result<(), Error> {
        let containerd = self.containerd()?;
        let socket =
            PathBuf::from(format!("/proc/{}/root/run/containerd/containerd.sock", containerd.pid));
        wait::until(SOCKET, "containerd to listen", async || {
            if socket.exists() { Ok(()) } else { Err("no socket") }
        })
        .await?;
        let kubelet = program(
            "kubelet",
            [
                format!("--config={}", self.dir.join("kubelet.json").display()),
                format!("--kubeconfig={}", self.node_dir().join("kubeconfig").display()),
                format!("--hostname-override={}", node.name),
                format!("--node-ip={}", node.address()),
            ],
        );
        self.processes.spawn("kubelet", &mut inside(containerd, &kubelet))?;
        Ok(())
    }

    /// Puts an image archive into containerd.
    pub async fn import(&self, archive: &Path) -> Result<(), Error> {
        let file = File::open(archive).map_err(Error::io(format!("open {}", archive.display())))?;
        let mut import = Command::new("ctr");
        import.args(["--namespace=k8s.io", "images", "import", "-"]);
        run_long(inside(self.containerd()?, &import), Some(file)).await?;
        Ok(())
    }

    /// Removes what was made outside the cluster's folder, and the folder of this node.
    pub fn remove(&self) -> io::Result<()> {
        for path in fs::read_to_string(self.made()).unwrap_or_default().lines() {
            // A folder that holds anything is not ours: ours only had something mounted over it.
            let _ = fs::remove_dir(path);
        }
        remove_dir(&self.dir)
    }

    fn made(&self) -> PathBuf {
        self.dir.join("made-folders")
    }

    fn containerd(&self) -> Result<Record, Error> {
        self.processes.get(CONTAINERD).ok_or(Error::NotUp)
    }
}

/// The same command in the mount namespace of a process.
fn inside(process: Record, command: &Command) -> Command {
    let mut entering = Command::new("nsenter");
    entering.arg(format!("--mount=/proc/{}/ns/mnt", process.pid)).arg("--");
    entering.arg(command.get_program()).args(command.get_args());
    entering
}

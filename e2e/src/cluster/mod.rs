//! A whole cluster on one machine: control plane, a node on this kernel, and nodes in virtual
//! machines.
//!
//! In: the nodes that are wanted and image archives. Out: a [`Cluster`] in which every node is
//! Ready, all of it inside one network namespace, with state and logs in `target/e2e/cluster/`.
//! [`Cluster::down`] removes all of it, whatever state it is in.

pub mod bake;
pub mod cgroup;
pub mod config;
pub mod control;
pub mod disk;
mod down;
pub mod host;
pub mod namespace;
pub mod node;
mod progress;
mod reboot;
pub mod root_disk;
mod run;
mod up;
pub mod vm;

use std::fs;
use std::io;
use std::net::IpAddr;
use std::path::PathBuf;
use std::process::Command;

use k8s_openapi::api::core::v1 as core;
use kube::{Api, Client};

pub use self::node::{Node, Place};
pub use self::up::Wanted;
use crate::control_plane::{self, ControlPlane};
use crate::process::{self, Ended, Processes};
use crate::wait::TimedOut;
use crate::{api, command, paths, pki};

/// What goes wrong with a cluster.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Network namespaces, mounts and taps need root.
    #[error(
        "a cluster needs root for its network namespace, mounts and containers: run it with sudo"
    )]
    NotRoot,
    /// No cluster is up.
    #[error("the cluster is not up: start it with `make cluster-up`")]
    NotUp,
    /// The cluster has no such virtual machine.
    #[error("the cluster has no virtual machine {name:?}: use one of {existing}")]
    NoVm {
        /// The name that was asked for.
        name: String,
        /// The names of its virtual machines.
        existing: String,
    },
    /// A description of nodes that is invalid.
    #[error(transparent)]
    Node(#[from] node::Error),
    /// The API server.
    #[error(transparent)]
    Api(#[from] api::Error),
    /// The files of the control plane.
    #[error(transparent)]
    ControlPlane(#[from] control_plane::Error),
    /// Certificates.
    #[error(transparent)]
    Pki(#[from] pki::Error),
    /// A program that failed.
    #[error(transparent)]
    Command(#[from] command::Error),
    /// The network namespace.
    #[error(transparent)]
    Namespace(#[from] namespace::NotEntered),
    /// A virtual machine's control port.
    #[error(transparent)]
    Control(#[from] control::Error),
    /// The kernel of the virtual machines.
    #[error(transparent)]
    Kernel(#[from] crate::stock_kernel::Error),
    /// A virtual machine.
    #[error(transparent)]
    Vm(#[from] crate::vm::Error),
    /// An image.
    #[error(transparent)]
    Image(#[from] crate::image::Error),
    /// A process.
    #[error(transparent)]
    Process(#[from] process::Error),
    /// A program that should not have ended.
    #[error(transparent)]
    Ended(#[from] Ended),
    /// A virtual machine that should not have ended.
    #[error("the virtual machine {name} ended by itself; the end of its console:\n{text}")]
    Fell {
        /// The node.
        name: String,
        /// The last lines of its console.
        text: String,
    },
    /// Something did not happen in time.
    #[error(transparent)]
    TimedOut(#[from] TimedOut),
    /// A request to the API server.
    #[error("the API server: {0}")]
    Kube(#[from] kube::Error),
    /// A signal ended it.
    #[error("interrupted")]
    Interrupted,
    /// A file.
    #[error("cannot {doing}: {source}")]
    Io {
        /// What was being done.
        doing: String,
        source: io::Error,
    },
}

impl Error {
    fn io(doing: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let doing = doing.into();
        |source| Self::Io { doing, source }
    }
}

/// The cluster of this checkout, whether it is up or not.
#[derive(Clone, Debug)]
pub struct Cluster {
    dir: PathBuf,
}

impl Cluster {
    /// The cluster of this checkout.
    pub fn here() -> Self {
        Self { dir: paths::state().join("cluster") }
    }

    /// The administrator's kubeconfig. Its server can be reached only from inside the namespace.
    pub fn kubeconfig(&self) -> PathBuf {
        self.plane().kubeconfig()
    }

    /// The API server's audit log: a JSON line for each request to write.
    pub fn audit_log(&self) -> PathBuf {
        self.plane().audit_log()
    }

    /// Moves this thread, and all that it starts, into the cluster's network namespace.
    pub fn enter(&self) -> Result<(), Error> {
        require_root()?;
        if !namespace::file().exists() {
            return Err(Error::NotUp);
        }
        Ok(namespace::enter()?)
    }

    /// An administrator's client, for a process inside the namespace.
    pub async fn client(&self) -> Result<Client, Error> {
        Ok(api::client(&self.kubeconfig()).await?)
    }

    /// A command with the cluster's KUBECONFIG and with kubectl on its PATH.
    pub fn exec(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        let path =
            std::env::var("PATH").unwrap_or_else(|_| "/usr/sbin:/usr/bin:/sbin:/bin".to_owned());
        command.env("PATH", format!("{}:{path}", paths::programs().display()));
        command.env("KUBECONFIG", self.kubeconfig());
        command
    }

    /// The nodes with which it was started, with the `lsm=` lists that they run now.
    pub fn nodes(&self) -> Result<Vec<Node>, Error> {
        let text = fs::read(self.nodes_file()).map_err(|_| Error::NotUp)?;
        serde_json::from_slice(&text).map_err(|_| Error::NotUp)
    }

    /// Puts image archives into every node.
    pub async fn load(&self, archives: &[PathBuf]) -> Result<(), Error> {
        let nodes = self.nodes()?;
        futures::future::try_join_all(nodes.iter().map(|node| self.load_into(node, archives)))
            .await?;
        Ok(())
    }

    async fn load_into(&self, node: &Node, archives: &[PathBuf]) -> Result<(), Error> {
        for archive in archives {
            match node.place {
                Place::Host => self.host().import(archive).await?,
                Place::Vm { .. } => {
                    self.vm(node).import(archive).await.map_err(|error| match error {
                        Error::Control(control::Error::Closed(_)) => self.fell(&node.name),
                        error => error,
                    })?;
                }
            }
        }
        Ok(())
    }

    /// The error for a program that ended by itself. For an emulator it has the console of the
    /// machine, as the emulator's own log says nothing.
    fn ended(&self, ended: Ended) -> Error {
        let is_guest = self
            .nodes()
            .is_ok_and(|nodes| nodes.iter().any(|node| node.is_vm() && node.name == ended.name));
        if is_guest { self.fell(&ended.name) } else { ended.into() }
    }

    fn fell(&self, name: &str) -> Error {
        let text = process::tail(&vm::console(&self.vms_dir(), name), 30);
        Error::Fell { name: name.to_owned(), text }
    }

    /// The processes of the cluster on this machine, by name.
    pub fn processes(&self) -> Processes {
        Processes::new(self.dir.join("processes"))
    }

    fn write_nodes(&self, nodes: &[Node]) -> Result<(), Error> {
        let text = serde_json::to_vec_pretty(nodes).map_err(io::Error::from);
        text.and_then(|text| fs::write(self.nodes_file(), text))
            .map_err(Error::io("write the list of nodes"))
    }

    fn nodes_file(&self) -> PathBuf {
        self.dir.join("nodes.json")
    }

    fn vms_dir(&self) -> PathBuf {
        self.dir.join("vms")
    }

    fn vm(&self, node: &Node) -> vm::Vm {
        vm::Vm::new(node, &self.vms_dir(), self.processes())
    }

    fn host(&self) -> host::Host {
        host::Host::new(self.dir.join("host"), self.processes())
    }

    fn plane(&self) -> ControlPlane {
        ControlPlane {
            dir: self.dir.clone(),
            address: IpAddr::V4(node::GATEWAY),
            port: 6443,
            etcd: (2379, 2380),
        }
    }
}

/// Why a node is not Ready; none where it is.
fn not_ready(node: &core::Node) -> Option<String> {
    let conditions =
        node.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    match conditions.iter().find(|condition| condition.type_ == "Ready") {
        Some(ready) if ready.status == "True" => None,
        Some(ready) => Some(ready.message.clone().unwrap_or_else(|| "not ready".to_owned())),
        None => Some("no report from its kubelet".to_owned()),
    }
}

/// The id of the boot that a node reports.
fn boot_id(node: &core::Node) -> Option<&str> {
    Some(node.status.as_ref()?.node_info.as_ref()?.boot_id.as_str())
}

async fn get_node(client: &Client, name: &str) -> Result<core::Node, String> {
    let node = Api::<core::Node>::all(client.clone())
        .get_opt(name)
        .await
        .map_err(|error| error.to_string())?;
    node.ok_or_else(|| "it has not registered".to_owned())
}

fn require_root() -> Result<(), Error> {
    if rustix::process::geteuid().is_root() { Ok(()) } else { Err(Error::NotRoot) }
}

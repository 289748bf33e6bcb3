//! `rig cluster`: a real Kubernetes cluster on this machine, with nodes on stock kernels in virtual
//! machines.

use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::PathBuf;
use std::process::{ExitCode, ExitStatus};

use clap::Subcommand;
use e2e::cluster::{Cluster, Error, Node, Place, Wanted, node};
use k8s_openapi::api::core::v1 as core;
use kube::Api;
use kube::api::ListParams;

use crate::Failure;

#[derive(Subcommand)]
pub enum Action {
    /// Starts it and returns when every node is Ready.
    Up {
        /// The nodes: host, vm:lsm, vm:nolsm, vm:NAME=LSM,LSM (vm:NAME=default: the kernel's own
        /// list).
        #[arg(long, default_value = "host vm:lsm vm:nolsm")]
        nodes: String,
        /// Image archives that every node is to have.
        #[arg(long, value_delimiter = ',')]
        images: Vec<PathBuf>,
    },
    /// Starts it, runs a command as `exec` does, and ends it again. A cluster that was up before
    /// stays; KEEP=1 keeps it too.
    Run {
        /// The nodes, as for `up`.
        #[arg(long, default_value = "host vm:lsm vm:nolsm")]
        nodes: String,
        /// Image archives that every node is to have.
        #[arg(long, value_delimiter = ',')]
        images: Vec<PathBuf>,
        /// The command and its arguments; its exit code is passed on.
        #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
        command: Vec<String>,
    },
    /// Ends it. Logs stay in target/e2e/cluster.
    Down,
    /// Prints what runs.
    Status,
    /// Puts image archives into every node.
    Load {
        /// The archives.
        #[arg(required = true)]
        images: Vec<PathBuf>,
    },
    /// Turns a virtual machine off and on again with another list of LSMs.
    Reboot {
        /// The node.
        node: String,
        /// The kernel's `lsm=` list; "default" for the kernel's own.
        #[arg(long)]
        lsm: String,
    },
    /// Runs a command that can reach the cluster, with KUBECONFIG set and kubectl on its PATH.
    Exec {
        /// The command and its arguments.
        #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
        command: Vec<String>,
    },
}

pub async fn run(action: Action) -> Result<ExitCode, Failure> {
    Ok(run_on(&Cluster::here(), action).await?)
}

async fn run_on(cluster: &Cluster, action: Action) -> Result<ExitCode, Error> {
    match action {
        Action::Up { nodes, images } => {
            let nodes = node::parse(nodes.split_whitespace())?;
            cluster.up(&Wanted { nodes, images }).await?;
            println!("{}", cluster.kubeconfig().display());
        }
        Action::Run { nodes, images, command } => {
            let nodes = node::parse(nodes.split_whitespace())?;
            let keep = std::env::var_os("KEEP").is_some_and(|keep| !keep.is_empty());
            let status = cluster.run_in(&Wanted { nodes, images }, &command, keep).await?;
            return Ok(code(status));
        }
        Action::Down => cluster.down().await?,
        Action::Status => status(cluster).await?,
        Action::Load { images } => cluster.load(&images).await?,
        Action::Reboot { node, lsm } => {
            cluster.enter()?;
            println!("{}", cluster.reboot(&node, &lsm).await?);
        }
        Action::Exec { command } => {
            cluster.enter()?;
            let (program, arguments) = command.split_first().ok_or(Error::NotUp)?;
            let source = cluster.exec(program).args(arguments).exec();
            return Err(Error::Io { doing: format!("run {program}"), source });
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// A command's exit code as our own; 128 and the signal's number where one ended it, as in a shell.
fn code(status: ExitStatus) -> ExitCode {
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(1);
    ExitCode::from(u8::try_from(code).unwrap_or(1))
}

async fn status(cluster: &Cluster) -> Result<(), Error> {
    let nodes = cluster.nodes()?;
    for (name, process) in cluster.processes().all() {
        let memory =
            resident(process.pid).map_or_else(|| "ended".to_owned(), |mib| format!("{mib} MiB"));
        println!("process {name}: pid {}, {memory}", process.pid);
    }
    cluster.enter()?;
    let api = Api::<core::Node>::all(cluster.client().await?);
    let registered = api.list(&ListParams::default()).await?;
    for node in nodes {
        let found =
            registered.iter().find(|found| found.metadata.name.as_deref() == Some(&node.name));
        println!("node {}: {}, {}", node.name, place(&node), found.map_or("not registered", ready));
    }
    Ok(())
}

fn place(node: &Node) -> String {
    match &node.place {
        Place::Host => "this machine".to_owned(),
        Place::Vm { lsm: Some(list) } => format!("virtual machine, lsm={list}"),
        Place::Vm { lsm: None } => "virtual machine, the kernel's own list".to_owned(),
    }
}

fn ready(node: &core::Node) -> &'static str {
    let conditions =
        node.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    let ready =
        conditions.iter().any(|condition| condition.type_ == "Ready" && condition.status == "True");
    if ready { "Ready" } else { "not ready" }
}

/// Resident memory of a process.
fn resident(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.trim().strip_suffix(" kB")?.parse::<u64>().ok()? / 1024)
}

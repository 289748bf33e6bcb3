//! Removing the cluster, whatever state it is in.
//!
//! All recorded processes are ended, and all others in our network namespace or our cgroup: only
//! ours are there. Then the cgroup, the namespace and the files are removed. Logs stay.

use std::fs;
use std::io;
use std::time::Duration;

use rustix::process::Signal;

use super::vm::Vm;
use super::{Cluster, Error, cgroup, namespace, require_root};
use crate::paths::{remove_dir, remove_file};
use crate::process::Record;
use crate::wait;

/// How long another process that starts the cluster may take to stop and to remove what it has
/// started.
const GIVE_UP: Duration = Duration::from_mins(1);
/// How long all processes may take to end.
const GONE: Duration = Duration::from_secs(30);

impl Cluster {
    /// Ends and removes everything but the logs. Nothing happens when no cluster is up.
    pub async fn down(&self) -> Result<(), Error> {
        // The list of nodes is written before anything is started, and removed last.
        let starts = self.starter().get("up").is_some();
        if !starts && !self.nodes_file().exists() && !namespace::file().exists() {
            return Ok(());
        }
        require_root()?;
        self.stop_starter().await?;
        wait::until(GONE, "all processes of the cluster to be gone", async || {
            let left = self.survivors();
            for process in &left {
                process.signal(Signal::KILL);
            }
            if left.is_empty() { Ok(()) } else { Err(format!("{} are left", left.len())) }
        })
        .await?;
        self.processes().kill_all().await?;
        cgroup::remove().await?;
        namespace::remove(self.made_netns_folder().exists())?;
        self.remove_files()
            .map_err(Error::io(format!("remove the cluster's files in {}", self.dir.display())))
    }

    /// Asks another process that is starting the cluster to stop. It removes what it has started.
    async fn stop_starter(&self) -> Result<(), Error> {
        let me = Record::of(std::process::id());
        let Some(starter) = self.starter().get("up").filter(|starter| Some(*starter) != me) else {
            return Ok(());
        };
        starter.signal(Signal::TERM);
        let gone = async || {
            if starter.lives() { Err("it still runs") } else { Ok(()) }
        };
        if wait::until(GIVE_UP, "the start of the cluster to give up", gone).await.is_err() {
            starter.signal(Signal::KILL);
        }
        Ok(())
    }

    fn survivors(&self) -> Vec<Record> {
        let recorded = self
            .processes()
            .all()
            .into_iter()
            .map(|(_, record)| record)
            .filter(|record| record.lives());
        recorded.chain(cgroup::members()).chain(namespace::members()).collect()
    }

    fn remove_files(&self) -> io::Result<()> {
        self.host().remove()?;
        for vm in fs::read_dir(self.vms_dir()).into_iter().flatten().flatten() {
            Vm::remove(&vm.path())?;
        }
        for name in ["etcd", "pki", "starting"] {
            remove_dir(&self.dir.join(name))?;
        }
        [self.kubeconfig(), self.made_netns_folder(), self.nodes_file()]
            .iter()
            .try_for_each(|path| remove_file(path))
    }

    /// The file that is there when we have made the folder of network namespaces.
    pub(super) fn made_netns_folder(&self) -> std::path::PathBuf {
        self.dir.join("made-netns-folder")
    }
}

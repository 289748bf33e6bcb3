//! Starting the cluster.
//!
//! Everything that does not depend on another part is started at once: the virtual machines boot
//! while the control plane starts, and kubelets retry until it answers.

use std::collections::BTreeMap;
use std::fs;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use futures::future::try_join_all;
use kube::Client;

use super::node::Node;
use super::progress::Progress;
use super::root_disk::BootFiles;
use super::{Cluster, Error, Place, bake, config, get_node, namespace, not_ready, require_root};
use crate::command::{run, run_line};
use crate::image::Image;
use crate::paths::remove_dir;
use crate::pki::{Authority, Subject};
use crate::process::Record;
use crate::wait;
use crate::{api, paths};

/// How long nodes may take to be Ready. Virtual machines take 20 to 40 seconds on two cores.
const NODES_READY: Duration = Duration::from_mins(4);

/// How often a start is tried in which a virtual machine ends by itself. On a busy machine an
/// emulated kernel can miss an event and panic, which ends its machine.
const STARTS: u32 = 3;

/// The cluster that is wanted.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// Its nodes.
    pub nodes: Vec<Node>,
    /// Image archives that every node is to have.
    pub images: Vec<PathBuf>,
}

/// What nodes are started from.
struct Built {
    boot: BootFiles,
    /// The disk with the images, for virtual machines.
    images: PathBuf,
}

impl Cluster {
    /// Starts the cluster and returns when every node is Ready and has the images. A cluster that
    /// is up with the same nodes only gets the images. When this fails, only logs are left.
    pub async fn up(&self, wanted: &Wanted) -> Result<(), Error> {
        require_root()?;
        readable(&wanted.images)?;
        let progress = Progress::start();
        if self.is_up_with(&wanted.nodes) {
            progress.say("the cluster is up already; loading images");
            return self.load(&wanted.images).await;
        }
        self.down().await?;
        for more in (0..STARTS).rev() {
            let outcome = tokio::select! {
                outcome = self.start(wanted, progress) => outcome,
                () = interruption() => Err(Error::Interrupted),
            };
            let Err(error) = outcome else { break };
            progress.say("failed; removing everything");
            self.down().await?;
            match error {
                Error::Fell { .. } if more > 0 => progress.say(&format!("{error}\nstarting again")),
                error => return Err(error),
            }
        }
        self.starter().forget("up");
        Ok(())
    }

    /// The record of the process that is starting the cluster.
    pub(super) fn starter(&self) -> crate::process::Processes {
        crate::process::Processes::new(self.dir.join("starting"))
    }

    async fn start(&self, wanted: &Wanted, progress: Progress) -> Result<(), Error> {
        // The logs of the cluster before.
        remove_dir(&self.dir).map_err(Error::io("remove the logs of an earlier cluster"))?;
        if let Some(me) = Record::of(std::process::id()) {
            self.starter().record("up", me)?;
        }
        let built = self.build(wanted, progress).await?;
        self.write_nodes(&wanted.nodes)?;
        if !namespace::folder_exists() {
            fs::write(self.made_netns_folder(), "")
                .map_err(Error::io("note that a folder was made"))?;
        }
        namespace::create(&wanted.nodes)?;
        namespace::enter()?;
        let processes = self.processes();
        tokio::select! {
            outcome = self.run(wanted, &built, progress) => outcome,
            ended = processes.an_end() => Err(self.ended(ended)),
        }
    }

    /// Builds what nodes boot from, where it is not there yet.
    async fn build(&self, wanted: &Wanted, progress: Progress) -> Result<Built, Error> {
        let mut boot = BootFiles::places();
        api::ensure_binary().await?;
        write_pause(&pause())?;
        let mut images = PathBuf::new();
        if wanted.nodes.iter().any(Node::is_vm) {
            // On another thread, so that a signal is handled meanwhile.
            let built = tokio::task::spawn_blocking(BootFiles::build).await;
            boot = built.map_err(|error| Error::io("build the disks")(error.into()))??;
            images = bake::bake(&[&[pause()], &wanted.images[..]].concat()).await?;
        }
        progress.say("programs, kernel and disks are there");
        Ok(Built { boot, images })
    }

    async fn run(&self, wanted: &Wanted, built: &Built, progress: Progress) -> Result<(), Error> {
        let (plane, processes) = (self.plane(), self.processes());
        let authority = plane.prepare()?;
        processes.spawn("etcd", &mut plane.etcd())?;
        processes.spawn("kube-apiserver", &mut plane.api_server())?;
        for node in &wanted.nodes {
            self.start_node(node, &authority, built)?;
        }
        progress.say("control plane and nodes are starting");
        let nodes =
            try_join_all(wanted.nodes.iter().map(|node| self.fill(node, &wanted.images, progress)));
        tokio::try_join!(self.finish(&wanted.nodes, progress), nodes)?;
        Ok(())
    }

    /// Starts the part of a node that needs no API server.
    fn start_node(&self, node: &Node, authority: &Authority, built: &Built) -> Result<(), Error> {
        match &node.place {
            Place::Host => {
                self.write_identity(node, authority, &self.host().node_dir())?;
                self.host().start_containerd(node)
            }
            Place::Vm { lsm } => {
                let vm = self.vm(node);
                self.write_identity(node, authority, &vm.node_dir())?;
                vm.make_disks(node, &built.images)?;
                vm.power_on(&built.boot, node, lsm.as_deref())
            }
        }
    }

    /// Writes a kubelet's certificate, for its server and its client, and its kubeconfig.
    fn write_identity(&self, node: &Node, authority: &Authority, dir: &Path) -> Result<(), Error> {
        let user = format!("system:node:{}", node.name);
        let (hosts, addresses) = ([node.name.as_str()], [node.address().into()]);
        let subject = Subject {
            name: &user,
            group: Some("system:nodes"),
            hosts: &hosts,
            addresses: &addresses,
        };
        authority.issue(&subject)?.write(dir, "kubelet")?;
        let client = Subject::client(&user, Some("system:nodes"));
        authority.write_kubeconfig(&dir.join("kubeconfig"), &self.plane().url(), &client)?;
        let certificate = self.plane().pki().join("ca.crt");
        fs::copy(certificate, dir.join("ca.crt"))
            .map_err(Error::io("copy the authority's certificate"))?;
        Ok(())
    }

    /// Starts the rest of a node and puts the images into it. A virtual machine has them on its
    /// disk.
    async fn fill(&self, node: &Node, images: &[PathBuf], progress: Progress) -> Result<(), Error> {
        if node.is_vm() {
            return Ok(());
        }
        self.host().start_kubelet(node).await?;
        self.host().import(&pause()).await?;
        self.load_into(node, images).await?;
        if !images.is_empty() {
            progress.say(&format!("node {} has the images", node.name));
        }
        Ok(())
    }

    /// Starts the rest of the control plane and waits for the nodes.
    async fn finish(&self, nodes: &[Node], progress: Progress) -> Result<(), Error> {
        let (plane, processes) = (self.plane(), self.processes());
        api::ready(&self.kubeconfig(), &processes).await?;
        progress.say("the API server is ready");
        processes.spawn("kube-controller-manager", &mut plane.controller_manager())?;
        processes.spawn("kube-scheduler", &mut plane.scheduler())?;
        let first = nodes.first().map_or("host", |node| node.name.as_str());
        processes.spawn("kube-proxy", &mut plane.proxy(first))?;
        let client = self.client().await?;
        try_join_all(nodes.iter().map(|node| self.node_ready(&client, node, progress))).await?;
        Ok(())
    }

    async fn node_ready(
        &self,
        client: &Client,
        node: &Node,
        progress: Progress,
    ) -> Result<(), Error> {
        let what =
            format!("node {} to be Ready (its logs are below {})", node.name, self.dir.display());
        wait::until(NODES_READY, &what, async || {
            not_ready(&get_node(client, &node.name).await?).map_or(Ok(()), Err)
        })
        .await?;
        progress.say(&format!("node {} is Ready", node.name));
        Ok(())
    }

    /// Whether the cluster is up with exactly these nodes. Their `lsm=` lists may differ after
    /// reboots.
    pub(super) fn is_up_with(&self, nodes: &[Node]) -> bool {
        let names = |nodes: &[Node]| nodes.iter().map(|node| node.name.clone()).collect::<Vec<_>>();
        let same = self.nodes().is_ok_and(|existing| names(&existing) == names(nodes));
        let runs = !self.processes().all().is_empty() && self.processes().ended().is_empty();
        same && runs && self.starter().all().is_empty() && self.answers()
    }

    /// Whether the API server is ready. A child process asks, because this one may still need the
    /// network outside.
    fn answers(&self) -> bool {
        let kubectl = paths::programs().join("kubectl");
        let mut ask = Command::new("nsenter");
        ask.arg(format!("--net={}", namespace::file().display())).arg(kubectl);
        ask.arg("--kubeconfig").arg(self.kubeconfig()).args([
            "--request-timeout=5s",
            "get",
            "--raw=/readyz",
        ]);
        run(&mut ask).is_ok()
    }
}

/// Fails where an archive cannot be read, before anything is started.
fn readable(archives: &[PathBuf]) -> Result<(), Error> {
    archives.iter().try_for_each(|archive| match File::open(archive) {
        Ok(_) => Ok(()),
        Err(source) => Err(Error::Io {
            doing: format!("open the image archive {}", archive.display()),
            source,
        }),
    })
}

fn pause() -> PathBuf {
    paths::state().join("pause.tar")
}

/// Writes the image that holds a pod's namespaces open: busybox that sleeps.
fn write_pause(path: &Path) -> Result<(), Error> {
    let which = run_line("which busybox")?;
    let image = Image {
        name: config::PAUSE.to_owned(),
        entrypoint: ["/bin/busybox", "sleep", "infinity"].map(str::to_owned).to_vec(),
        user: None,
        architecture: "amd64".to_owned(),
        files: BTreeMap::from([("/bin/busybox".to_owned(), PathBuf::from(which))]),
        labels: BTreeMap::new(),
    };
    let file = File::create(path).map_err(Error::io(format!("create {}", path.display())))?;
    image.write(file)?;
    Ok(())
}

/// Waits for a signal that asks this process to stop.
pub(super) async fn interruption() {
    use tokio::signal::unix::{SignalKind, signal};
    let kinds = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()];
    let signals = kinds.into_iter().filter_map(|kind| signal(kind).ok());
    let waiting = signals.map(|mut signal| Box::pin(async move { signal.recv().await }));
    futures::future::select_all(waiting).await;
}

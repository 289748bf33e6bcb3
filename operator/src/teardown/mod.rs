//! The operator's own end: when lsm-ready is uninstalled, its leader removes what it wrote to Nodes
//! and DaemonSets.
//!
//! ## Flow
//! The leader puts a finalizer on the few objects without which it could not clean up: its
//! ServiceAccount, its ClusterRoles and their bindings. When one of them, or its namespace, is being
//! deleted → stop all other work → clean up, as long as the token works → remove the finalizers. At
//! an orderly end that is no uninstallation: remove the finalizers only.
//!
//! ## Guarantees
//! - Where no operator ever led, or where it ended in order, there is no finalizer, and every
//!   deletion ends at once.
//! - A living leader always removes its finalizers, also when the cleanup failed: the deletion ends
//!   within [`CLEAN_WITHIN`] and some seconds.
//! - A deletion of the ClusterRole `lsm-ready-patching` or its binding alone is no uninstallation.
//!   They are let go.
//!
//! ## Assumptions
//! The API server takes a token for 60 s after the deletion of its ServiceAccount began
//! (`pkg/serviceaccount/claims.go` of Kubernetes), as long as the object exists. A container that is
//! killed during the cleanup starts again in the same pod, or another replica cleans up after
//! [`STANDBY_WAITS`]. See docs/adr/0035-cleanup.md.

mod guarded;
mod release;

use std::future::Future;
use std::time::Duration;

use futures::future::join_all;
use futures::stream::select_all;
use futures::{StreamExt, TryStreamExt};
use kube::{Client, Config};
use kube_runtime::{WatchStreamExt, watcher};
use lsm_ready_cleanup::{Cluster, Mode, Names, traces};
use tokio::time::{sleep, timeout};
use tracing::{error, info, warn};

use guarded::{Guarded, Step, guarded, step};
use release::Pending;

/// How long a cleanup may take, so that the token still works for removing the finalizers.
pub const CLEAN_WITHIN: Duration = Duration::from_secs(40);
/// How long a replica that does not lead leaves the cleanup to the leader.
const STANDBY_WAITS: Duration = Duration::from_secs(15);
/// How long one look at the objects may take.
const REQUESTS_WITHIN: Duration = Duration::from_secs(5);
/// How often the finalizers are tried to be removed.
const ATTEMPTS: u32 = 3;

/// Cleans up when lsm-ready is uninstalled. Its requests are its own: they do not depend on the
/// Lease, which may be gone by then.
pub struct Teardown {
    config: Config,
    client: Client,
    guarded: Vec<Guarded>,
}

impl Teardown {
    /// For the operator in that namespace.
    pub async fn connect(namespace: &str) -> kube::Result<Self> {
        let config = Config::infer().await.map_err(kube::Error::InferConfig)?;
        let client = Client::try_from(config.clone())?;
        Ok(Self { config, client, guarded: guarded(namespace) })
    }

    /// Does the leader's work. Cleans up instead as soon as lsm-ready is being uninstalled.
    pub async fn while_leading<E>(
        &self,
        work: impl Future<Output = Result<(), E>>,
    ) -> Result<(), E> {
        let worked = tokio::select! {
            worked = work => Some(worked),
            () = self.deletion(Role::Leader) => None,
        };
        match worked {
            // Another replica may lead by now. It needs the finalizers.
            Some(Err(error)) if !self.is_being_deleted().await => Err(error),
            Some(Ok(())) if !self.is_being_deleted().await => {
                self.let_go().await;
                Ok(())
            }
            None | Some(_) => {
                self.clean_up().await;
                Ok(())
            }
        }
    }

    /// Cleans up where the leader has died during its cleanup. Returns only after that.
    pub async fn instead_of_the_leader(&self) {
        self.deletion(Role::Standby).await;
        sleep(STANDBY_WAITS).await;
        self.clean_up().await;
    }

    /// Returns when lsm-ready is being uninstalled. A leader sets the finalizers meanwhile.
    async fn deletion(&self, role: Role) {
        let watches = self.guarded.iter().map(|guarded| {
            let config = watcher::Config::default().fields(&guarded.field_selector());
            let events = watcher::watcher(guarded.api(&self.client), config);
            let objects = events.default_backoff().applied_objects();
            objects.map_ok(move |object| (guarded, object)).boxed()
        });
        let mut changes = select_all(watches);
        while let Some(change) = changes.next().await {
            let (guarded, object) = match change {
                Ok(change) => change,
                // Without the right to watch, there is no cleanup. Everything else works.
                Err(error) => {
                    warn!(%error, "cannot watch an object of the installation");
                    continue;
                }
            };
            match step(guarded, &object.metadata, role) {
                Step::CleanUp => {
                    info!(object = guarded.name, kind = guarded.kind.kind, "is being deleted");
                    return;
                }
                Step::Hold(patch) | Step::LetGo(patch) => {
                    if let Err(error) = guarded.patch(&self.client, &patch).await {
                        warn!(%guarded, %error, "the finalizer was not changed");
                    }
                }
                Step::Nothing => {}
            }
        }
    }

    /// Whether an object whose deletion is an uninstallation is being deleted.
    async fn is_being_deleted(&self) -> bool {
        let looks = self.guarded.iter().filter(|guarded| guarded.means_uninstall).map(async |g| {
            let object = g.api(&self.client).get_opt(g.name.as_str()).await;
            object.is_ok_and(|object| {
                object.is_some_and(|object| object.metadata.deletion_timestamp.is_some())
            })
        });
        let looked = timeout(REQUESTS_WITHIN, join_all(looks)).await;
        looked.is_ok_and(|answers| answers.contains(&true))
    }

    /// Removes what is on Nodes and DaemonSets, and then the finalizers.
    async fn clean_up(&self) {
        info!("lsm-ready is being uninstalled: cleaning up");
        let cluster = Cluster {
            client: self.client.clone(),
            names: Names::OfThisVersion,
            mode: Mode::Remove,
        };
        match timeout(CLEAN_WITHIN, traces::remove(&cluster)).await {
            Ok(report) if report.failed.is_empty() => info!("removed:\n{}", report.lines()),
            Ok(report) => error!(
                "not everything was removed: run kubectl lsm-ready cleanup. What failed:\n{}",
                report.errors()
            ),
            Err(_) => error!(
                ?CLEAN_WITHIN,
                "the cleanup was not finished in time: run kubectl lsm-ready cleanup"
            ),
        }
        self.let_go().await;
    }

    /// Removes the finalizers. Errors are logged: nothing else can be done about them.
    async fn let_go(&self) {
        let mut errors = Vec::new();
        for _ in 0..ATTEMPTS {
            let (pending, unread) = self.pending().await;
            errors = release::together(&self.config, pending).await;
            errors.extend(unread);
            if errors.is_empty() {
                return;
            }
        }
        for error in errors {
            warn!("a finalizer may be left: run kubectl lsm-ready cleanup: {error}");
        }
    }

    /// The objects that have our finalizer, and why some cannot be read.
    async fn pending(&self) -> (Vec<Pending>, Vec<String>) {
        let reads = self.guarded.iter().map(async |guarded| {
            let api = guarded.api(&self.client);
            match timeout(REQUESTS_WITHIN, api.get_opt(&guarded.name)).await {
                Ok(Ok(object)) => {
                    Ok(object.and_then(|object| Pending::of(guarded, &object.metadata)))
                }
                Ok(Err(error)) => Err(format!("{guarded}: {error}")),
                Err(_) => Err(format!("{guarded}: no answer in time")),
            }
        });
        let (mut pending, mut unread) = (Vec::new(), Vec::new());
        for read in join_all(reads).await {
            match read {
                Ok(found) => pending.extend(found),
                Err(error) => unread.push(error),
            }
        }
        (pending, unread)
    }
}

/// Whether this replica leads.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Role {
    Leader,
    Standby,
}

//! The operator's own end: when lsm-ready is uninstalled, its leader removes what it wrote to Nodes
//! and DaemonSets.
//!
//! ## Flow
//! The leader puts a finalizer on the few objects without which it could not clean up: its
//! ServiceAccount, its ClusterRoles and their bindings. When one of them, or its namespace, is
//! being deleted → stop all other work → clean up, as long as the token works → remove the
//! finalizers.
//!
//! A leader that ends in order waits for what comes next. Another replica leads → leave the
//! finalizers to it. The deletion begins → clean up. Neither within [`SUCCESSOR_WITHIN`] → remove
//! the finalizers only.
//!
//! ## Guarantees
//! - A change of the leader writes no finalizer.
//! - Where no operator ever led, or where the last one ended in order, there is no finalizer, and
//!   every deletion ends at once.
//! - A living leader always removes its finalizers, also when the cleanup failed: the deletion ends
//!   within [`CLEAN_WITHIN`] and some seconds.
//! - A deletion of the ClusterRole `lsm-ready-patching` or its binding alone is no uninstallation.
//!   They are let go after [`ALONE_AFTER`]. Until then the right to remove a mount stays, because a
//!   tool may delete the rest a moment later.
//!
//! ## Assumptions
//! The API server takes a token for 60 s after the deletion of its ServiceAccount began
//! (`pkg/serviceaccount/claims.go` of Kubernetes), as long as the object exists. A container that
//! is killed during the cleanup starts again in the same pod, or another replica cleans up after
//! [`STANDBY_WAITS`]. See docs/adr/0035-cleanup.md.

mod guarded;
mod release;

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::future::join_all;
use futures::stream::select_all;
use futures::{Stream, StreamExt};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::{Client, Config};
use kube_runtime::WatchStreamExt;
use kube_runtime::watcher::Event;
use lsm_ready_cleanup::{Cluster, Mode, Names, traces};
use tokio::time::{Instant, interval, timeout};
use tracing::{error, info, warn};

use crate::run::connection::{self, Held, KeepAlive};
use crate::run::election::{Identity, successor};
use crate::watch::follow::{Follow, Lists};
use guarded::{Guarded, Step, guarded, step};
use release::Pending;

/// How long a cleanup may take, so that the token still works for removing the finalizers.
pub const CLEAN_WITHIN: Duration = Duration::from_secs(40);
/// How long a replica that does not lead leaves the cleanup to the leader.
const STANDBY_WAITS: Duration = Duration::from_secs(15);
/// How long a leader that has ended waits for another replica to lead, or for an uninstallation. A
/// tool that deletes the operator and its rights one after the other needs some seconds.
const SUCCESSOR_WITHIN: Duration = Duration::from_secs(5);
/// How long the right to patch DaemonSets is kept after its deletion began. If the deletion of the
/// rest begins within this time, it is an uninstallation.
const ALONE_AFTER: Duration = Duration::from_secs(5);
/// How often a replica looks whether it leads.
const LOOK: Duration = Duration::from_millis(500);
/// How long one look at the objects may take.
const REQUESTS_WITHIN: Duration = Duration::from_secs(5);
/// How often the finalizers are tried to be removed.
const ATTEMPTS: u32 = 3;

/// Cleans up when lsm-ready is uninstalled. Its requests are not fenced: the Lease may be gone by
/// then, and what they do is right whoever leads.
pub struct Teardown {
    config: Config,
    client: Client,
    me: Identity,
    held: Held,
    /// Whether this replica has led.
    led: AtomicBool,
    guarded: Vec<Guarded>,
}

impl Teardown {
    /// For this replica. `held` says whether it leads.
    pub fn new(config: &Config, me: &Identity, held: Held) -> kube::Result<Self> {
        Ok(Self {
            client: connection::client(config, KeepAlive::WORK, &Held::without_election())?,
            config: config.clone(),
            me: me.clone(),
            held,
            led: AtomicBool::new(false),
            guarded: guarded(&me.namespace),
        })
    }

    /// Does the work. Stops it and cleans up as soon as lsm-ready is being uninstalled.
    pub async fn beside<E>(&self, work: impl Future<Output = Result<(), E>>) -> Result<(), E> {
        let worked = tokio::select! {
            biased;
            // First: it must be noticed also where the operator always has work.
            () = self.deletion(STANDBY_WAITS) => {
                self.clean_up().await;
                return Ok(());
            }
            worked = work => worked,
        };
        if !self.led.load(Ordering::Relaxed) {
            return worked;
        }
        let next = match &worked {
            _ if self.is_being_deleted().await => Next::Uninstallation,
            Ok(()) => self.next().await,
            Err(_) => Next::Leader,
        };
        match next {
            Next::Uninstallation => self.clean_up().await,
            Next::Leader => {}
            Next::Nothing => self.let_go(Release::OneByOne).await,
        }
        worked
    }

    /// What comes after the orderly end of this leader.
    async fn next(&self) -> Next {
        let next = async {
            tokio::select! {
                biased;
                () = self.deletion(Duration::ZERO) => Next::Uninstallation,
                () = successor::leads(&self.client, &self.me) => Next::Leader,
            }
        };
        timeout(SUCCESSOR_WITHIN, next).await.unwrap_or(Next::Nothing)
    }

    fn role(&self) -> Role {
        if self.held.until(Instant::now()).is_none() {
            return Role::Standby;
        }
        self.led.store(true, Ordering::Relaxed);
        Role::Leader
    }

    /// Returns when lsm-ready is being uninstalled. A leader sets the finalizers meanwhile. A
    /// replica that does not lead returns after `patience`.
    async fn deletion(&self, patience: Duration) {
        let mut changes = self.changes();
        let mut ticks = interval(LOOK);
        // When each object was last seen as one that stays, or first seen at all.
        let mut stayed_until = BTreeMap::new();
        let mut objects = BTreeMap::new();
        let mut deleted_at = None;
        loop {
            tokio::select! {
                biased;
                // First: what follows is done after each change too, and ticks can come in bursts.
                Some(change) = changes.next() => change.remember(&mut objects),
                _ = ticks.tick() => {}
            }
            let role = self.role();
            for (index, object) in std::mem::take(&mut objects) {
                let guarded = &self.guarded[index];
                if object.deletion_timestamp.is_none() {
                    stayed_until.remove(&index);
                }
                let since = *stayed_until.entry(index).or_insert_with(Instant::now);
                let step = step(guarded, &object, role, since.elapsed() >= ALONE_AFTER);
                if step == Step::CleanUp && deleted_at.is_none() {
                    info!("{guarded} is being deleted");
                    deleted_at = Some(Instant::now());
                }
                if let Some(object) = self.take(step, guarded, object).await {
                    objects.insert(index, object);
                }
            }
            let is_mine = role == Role::Leader
                || deleted_at.is_some_and(|since: Instant| since.elapsed() >= patience);
            if deleted_at.is_some() && is_mine {
                return;
            }
        }
    }

    /// The changes of all objects.
    fn changes(&self) -> impl Stream<Item = Change> {
        select_all(self.guarded.iter().enumerate().map(|(index, guarded)| {
            let follow = Follow::new(guarded.api(&self.client), Lists::Paged);
            let events = follow.fields(guarded.field_selector()).events().default_backoff();
            let changes = events.filter_map(move |event| async move {
                match event {
                    Ok(Event::Apply(object) | Event::InitApply(object)) => {
                        Some(Change { index, object: Some(object.metadata) })
                    }
                    Ok(Event::Delete(_)) => Some(Change { index, object: None }),
                    Ok(Event::Init | Event::InitDone) => None,
                    // Without the right to watch there is no cleanup. Everything else works.
                    Err(error) => {
                        warn!(%error, "cannot watch {guarded}");
                        None
                    }
                }
            });
            changes.boxed()
        }))
    }

    /// Does what the step says. Returns the object as it is then. None where only a later change
    /// of the object can help.
    async fn take(&self, step: Step, guarded: &Guarded, object: ObjectMeta) -> Option<ObjectMeta> {
        let (Step::Hold(patch) | Step::LetGo(patch)) = step else { return Some(object) };
        match timeout(REQUESTS_WITHIN, guarded.patch(&self.client, &patch)).await {
            Ok(Ok(patched)) => return Some(patched),
            Ok(Err(error)) => warn!(%error, "the finalizer of {guarded} was not changed"),
            Err(_) => warn!("the finalizer of {guarded} was not changed: no answer in time"),
        }
        None
    }

    /// Whether an object whose deletion is an uninstallation is being deleted.
    async fn is_being_deleted(&self) -> bool {
        let looks = self.guarded.iter().filter(|guarded| guarded.means_uninstall).map(async |g| {
            let object = g.api(&self.client).get_opt(&g.name).await;
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
        self.let_go(Release::Together).await;
    }

    /// Removes the finalizers. Errors are logged: nothing else can be done about them.
    async fn let_go(&self, release: Release) {
        let mut errors = Vec::new();
        for _ in 0..ATTEMPTS {
            let (pending, unread) = self.pending().await;
            errors = release::remove(&self.config, pending, release).await;
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

/// A change of the guarded object with that index.
struct Change {
    index: usize,
    /// None: it is gone.
    object: Option<ObjectMeta>,
}

impl Change {
    fn remember(self, objects: &mut BTreeMap<usize, ObjectMeta>) {
        match self.object {
            Some(object) => drop(objects.insert(self.index, object)),
            None => drop(objects.remove(&self.index)),
        }
    }
}

/// Whether this replica leads.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Role {
    Leader,
    Standby,
}

/// What comes after a leader has ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Next {
    Uninstallation,
    /// Another replica, or this container once more.
    Leader,
    Nothing,
}

/// How finalizers are removed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Release {
    /// The objects stay.
    OneByOne,
    /// The objects are being deleted, and with each of them a right may go.
    Together,
}

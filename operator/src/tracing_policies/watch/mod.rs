//! Watches TracingPolicies and TracingPoliciesNamespaced, in any installed version, also if none is
//! installed.
//!
//! ## Flow
//! 1. Discovery: find the version of `cilium.io` that has the kind. If there is none, repeat after
//!    [`LOOK_AGAIN_AFTER`].
//! 2. List and watch that version. Repeat the discovery every [`REDISCOVER_AFTER`], and start again
//!    if the version has changed.
//! 3. Each change goes into [`Writer`]. It is published at once, or together with others
//!    [`PUBLISH_AFTER`] the last time. The Nodes and policies that it concerns are reconciled.
//!
//! ## Guarantees
//! - The watch needs only the right to read the two kinds. Everybody may read the API server's
//!   discovery.
//! - A CRD that is installed is found within [`LOOK_AGAIN_AFTER`], one that changes its version
//!   within [`REDISCOVER_AFTER`], a removed one at once.
//! - An object for which there was no room ([`super::kept`]) is listed again within
//!   [`REDISCOVER_AFTER`] after there is room.
//! - There is no hot loop: each discovery waits.
//! - A state is logged when it begins, not each time it is found again.
//!
//! ## Errors
//! If the list is refused or fails, the error is noted and the known objects stay. The list is
//! tried again within five seconds.

use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::{StreamExt, future, pin_mut};
use kube::discovery::{self, ApiResource};
use kube::error::DiscoveryError;
use kube::{Api, Client, Resource};
use kube_runtime::watcher::{self, Event};
use lsm_ready_tetragon::tracing_policy::{GROUP, KINDS, Name};
use parking_lot::Mutex;
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep, sleep_until};
use tracing::{debug, info, warn};

use crate::context::metrics::Metrics;
use crate::tracing_policies::entry::Entry;
use crate::tracing_policies::kept::Kept;
use crate::tracing_policies::object::Seen;
use crate::tracing_policies::snapshot::{ReadError, Writer};
use crate::watch::LIST_AGAIN_AFTER;
use crate::watch::follow::{Follow, Lists};
use crate::watch::log_limit::LogLimit;
use crate::watch::retry::{Retries, code};

/// Time between two discoveries of the installed version, while one is watched.
pub const REDISCOVER_AFTER: Duration = Duration::from_secs(30);

/// The same while none is installed, or the discovery fails.
pub const LOOK_AGAIN_AFTER: Duration = Duration::from_secs(5);

/// Time between two publications of changed objects. Each of them makes the operator reconcile
/// every Node, and somebody may create thousands of objects.
pub const PUBLISH_AFTER: Duration = Duration::from_secs(1);

/// Pause after a watch has ended, because its resource is gone.
const PAUSE_AFTER_WATCH: Duration = Duration::from_secs(2);

/// Text of the log.
const CHANGED: &str = "Tetragon's policies changed";

/// Watches both kinds. Never returns. Calls `on_change` after each change.
pub async fn run(client: Client, writer: Writer, on_change: &(dyn Fn() + Sync), metrics: &Metrics) {
    let watch =
        |kind| KindWatch::new(client.clone(), writer.clone(), on_change, metrics.clone(), kind);
    future::join(watch(0).run(), watch(1).run()).await;
}

/// The watch of one kind.
struct KindWatch<'a> {
    client: Client,
    writer: Writer,
    on_change: &'a (dyn Fn() + Sync),
    metrics: Metrics,
    /// Index into [`KINDS`].
    kind: usize,
    log: Mutex<LogLimit>,
    has_failed: AtomicBool,
}

impl<'a> KindWatch<'a> {
    fn new(
        client: Client,
        writer: Writer,
        on_change: &'a (dyn Fn() + Sync),
        metrics: Metrics,
        kind: usize,
    ) -> Self {
        let (log, has_failed) = (Mutex::default(), AtomicBool::new(false));
        Self { client, writer, on_change, metrics, kind, log, has_failed }
    }

    fn name(&self) -> &'static str {
        KINDS[self.kind].0
    }

    fn plural(&self) -> &'static str {
        KINDS[self.kind].1
    }

    async fn run(self) {
        loop {
            match self.installed().await {
                Ok(Some(resource)) => {
                    info!(
                        kind = self.name(),
                        version = resource.version,
                        "watching Tetragon's policies"
                    );
                    self.watch(&resource).await;
                    self.publish();
                    sleep(PAUSE_AFTER_WATCH).await;
                    continue;
                }
                Ok(None) => {
                    self.changed(self.writer.absent(self.kind), "Tetragon's CRD is not installed");
                }
                Err(error) => self.read_failed(ReadError::Failed(self.plural(), error.to_string())),
            }
            sleep(LOOK_AGAIN_AFTER).await;
        }
    }

    /// The most stable version that has the kind. The group's preferred version may lack it:
    /// Cilium's own kinds are in `cilium.io/v2`.
    fn installed(&self) -> impl Future<Output = kube::Result<Option<ApiResource>>> {
        let (kind, plural) = KINDS[self.kind];
        let client = self.client.clone();
        async move {
            let group = match discovery::group(&client, GROUP).await {
                Err(kube::Error::Discovery(
                    DiscoveryError::MissingApiGroup(_) | DiscoveryError::EmptyApiGroup(_),
                )) => {
                    return Ok(None);
                }
                group => group?,
            };
            let resources =
                group.resources_by_stability().into_iter().map(|(resource, _)| resource);
            Ok(resources
                .into_iter()
                .find(|resource| resource.kind == kind && resource.plural == plural))
        }
    }

    /// Lists and watches until the installed version changes.
    async fn watch(&self, resource: &ApiResource) {
        let follow = || {
            let api: Api<Seen> = Api::all_with(self.client.clone(), resource);
            Follow::new(api, Lists::Paged).events()
        };
        let events = follow();
        pin_mut!(events);
        let mut retries = Retries::default();
        let mut discoveries = interval_at(Instant::now() + REDISCOVER_AFTER, REDISCOVER_AFTER);
        discoveries.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut list = Kept::default();
        let (mut may_publish, mut listed) = (Instant::now(), Instant::now());
        loop {
            tokio::select! {
                biased;
                // First, so that a stream that is never empty does not keep these from their turn.
                () = sleep_until(may_publish), if self.writer.has_changes() => {
                    self.publish();
                    may_publish = Instant::now() + PUBLISH_AFTER;
                }
                _ = discoveries.tick() => match self.installed().await {
                    Ok(found) if found.as_ref() != Some(resource) => return,
                    // Objects that were left out are listed again.
                    Ok(_) if self.writer.has_room(self.kind) => return,
                    Ok(_) => {}
                    Err(error) => debug!(kind = self.name(), %error, "discovery failed"),
                },
                () = sleep_until(listed + LIST_AGAIN_AFTER) => {
                    events.set(follow());
                    listed = Instant::now();
                }
                event = events.next() => match event {
                    Some(Ok(event)) => {
                        retries.saw(&event, Instant::now());
                        if matches!(event, Event::InitDone) {
                            listed = Instant::now();
                        }
                        self.apply(event, &mut list);
                    }
                    Some(Err(error)) => {
                        if self.must_rediscover(&error) {
                            return;
                        }
                        sleep(retries.failed(&error, Instant::now())).await;
                    }
                    None => return,
                },
            }
        }
    }

    fn apply(&self, event: Event<Seen>, list: &mut Kept) {
        match event {
            Event::Init => *list = Kept::default(),
            Event::InitApply(seen) => {
                let name = self.noted(&seen);
                list.insert(name, seen.object);
            }
            Event::InitDone => {
                let differs = self.writer.listed(self.kind, std::mem::take(list));
                self.changed(differs, CHANGED);
            }
            Event::Apply(seen) => {
                let name = self.noted(&seen);
                self.writer.set(self.kind, name, seen.object);
            }
            Event::Delete(seen) => {
                let name = Name::of(seen.meta());
                self.log.lock().forget(&name.to_string());
                self.writer.remove(self.kind, &name);
            }
        }
    }

    fn publish(&self) {
        self.changed(self.writer.publish(), CHANGED);
    }

    /// The object's name. An object that cannot be read is logged and counted.
    fn noted(&self, seen: &Seen) -> Name {
        let name = Name::of(seen.meta());
        if let Entry::Unreadable { error, .. } = &seen.object.entry {
            let text = name.to_string();
            if self.log.lock().allows(&text, error, Instant::now()) {
                warn!(kind = self.name(), name = text, error, "object cannot be read");
            }
            self.metrics.skipped(self.name());
        }
        name
    }

    /// Notes an error of the watch. Returns whether the watch must end and begin with a discovery.
    fn must_rediscover(&self, error: &watcher::Error) -> bool {
        self.metrics.watch_failed(self.name());
        let code = code(error);
        match error {
            watcher::Error::InitialListFailed(_) if code == Some(403) => {
                self.read_failed(ReadError::Forbidden(self.plural()));
                false
            }
            watcher::Error::InitialListFailed(_) if code != Some(404) => {
                self.read_failed(ReadError::Failed(self.plural(), error.to_string()));
                false
            }
            // A watch that lost its right does not recover; a new list does.
            _ if matches!(code, Some(403 | 404)) => true,
            _ => {
                debug!(kind = self.name(), %error, "the watch ended and is restarted");
                false
            }
        }
    }

    /// Policies say why, and nodes are not ready for them. Where nothing was read yet, that takes two
    /// failures: the operator has just started, and the nodes show what was read before.
    fn read_failed(&self, error: ReadError) {
        let text = error.to_string();
        let is_refusal = matches!(error, ReadError::Forbidden(_));
        let is_first = !self.has_failed.swap(true, Ordering::Relaxed);
        if is_first && !is_refusal && self.writer.is_pending(self.kind) {
            warn!(kind = self.name(), "{text}: trying again");
            return;
        }
        if self.writer.failed(self.kind, error) {
            warn!(kind = self.name(), "{text}");
            (self.on_change)();
        }
    }

    fn changed(&self, differs: bool, change: &str) {
        if differs {
            info!(kind = self.name(), "{change}");
            (self.on_change)();
        }
    }
}

#[cfg(test)]
mod scenarios;

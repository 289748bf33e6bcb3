//! Follows TracingPolicies and TracingPoliciesNamespaced in whatever version is installed, and also where none is.
//!
//! ## Flow
//! look which version of `cilium.io` has the kind → none: look again later → one: list and watch it; look again now and
//! then whether it is still that one → what changes goes into [`Writer`], and those concerned are looked at again.
//!
//! ## Guarantees
//! Only reading, with the rights to read those two kinds; what is installed is read from the API server's discovery, which
//! everybody may read. A CRD that comes, goes or changes its version is found within [`LOOK_AGAIN`] (a deleted one at once).
//! There is no hot loop: each look waits. A state is logged when it begins, not each time that it is found again.
//!
//! ## Errors
//! Where the list is refused or fails, that is noted and what was known stays; kube's backoff tries again.

use std::collections::BTreeMap;
use std::future::Future;
use std::time::Duration;

use futures::{StreamExt, future, pin_mut};
use kube::core::DynamicObject;
use kube::discovery::{self, ApiResource};
use kube::error::DiscoveryError;
use kube::{Api, Client};
use kube_runtime::WatchStreamExt;
use kube_runtime::watcher::{self, Event, watcher};
use lsm_ready_tetragon::tracing_policy::{GROUP, KINDS, Name, TracingPolicy};
use serde_json::Value;
use tokio::time::{MissedTickBehavior, interval_at, sleep};
use tracing::{debug, info, warn};

use crate::context::metrics::Metrics;
use crate::tracing_policies::expectation::Wish;
use crate::tracing_policies::snapshot::{Entry, Object, Trouble, Writer};
use crate::watch::triggers::Routes;

/// How often it is looked which version is installed.
pub const LOOK_AGAIN: Duration = Duration::from_secs(30);

/// How long after a watch ended because its resource is gone.
const AFTER_A_WATCH: Duration = Duration::from_secs(2);

/// Follows both kinds; ends only when dropped.
pub async fn run(client: Client, writer: Writer, routes: &Routes, metrics: &Metrics) {
    let one = |kind| Follower {
        client: client.clone(),
        writer: writer.clone(),
        routes,
        metrics: metrics.clone(),
        kind,
    };
    future::join(one(0).follow(), one(1).follow()).await;
}

/// Follows one kind.
struct Follower<'a> {
    client: Client,
    writer: Writer,
    routes: &'a Routes,
    metrics: Metrics,
    /// Index into [`KINDS`].
    kind: usize,
}

impl Follower<'_> {
    fn name(&self) -> &'static str {
        KINDS[self.kind].0
    }

    fn plural(&self) -> &'static str {
        KINDS[self.kind].1
    }

    async fn follow(self) {
        loop {
            match self.installed().await {
                Ok(Some(resource)) => {
                    info!(
                        kind = self.name(),
                        version = resource.version,
                        "following Tetragon's policies"
                    );
                    self.watch(&resource).await;
                    sleep(AFTER_A_WATCH).await;
                    continue;
                }
                Ok(None) => {
                    self.changed(self.writer.absent(self.kind), "Tetragon's CRD is not installed");
                }
                Err(error) => self.troubled(Trouble::Unread(self.plural(), error.to_string())),
            }
            sleep(LOOK_AGAIN).await;
        }
    }

    /// The most stable version that has the kind. The group's preferred one may have other kinds alone: Cilium's own are
    /// in `cilium.io/v2`.
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

    /// Lists and watches, until another version is installed or none.
    async fn watch(&self, resource: &ApiResource) {
        let api: Api<DynamicObject> = Api::all_with(self.client.clone(), resource);
        let events = watcher(api, watcher::Config::default()).default_backoff();
        pin_mut!(events);
        let mut looks = interval_at(tokio::time::Instant::now() + LOOK_AGAIN, LOOK_AGAIN);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut list = BTreeMap::new();
        loop {
            tokio::select! {
                event = events.next() => match event {
                    Some(Ok(event)) => self.take(event, &mut list),
                    Some(Err(error)) => if self.failed(&error) { return },
                    None => return,
                },
                _ = looks.tick() => match self.installed().await {
                    Ok(found) if found.as_ref() != Some(resource) => return,
                    Ok(_) => {}
                    Err(error) => debug!(kind = self.name(), %error, "what is installed could not be read"),
                },
            }
        }
    }

    fn take(&self, event: Event<DynamicObject>, list: &mut BTreeMap<Name, Object>) {
        let differs = match event {
            Event::Init => {
                list.clear();
                false
            }
            Event::InitApply(object) => {
                list.insert(Name::of(&object.metadata), self.read(&object));
                false
            }
            Event::InitDone => self.writer.listed(self.kind, std::mem::take(list)),
            Event::Apply(object) => {
                self.writer.set(self.kind, Name::of(&object.metadata), self.read(&object))
            }
            Event::Delete(object) => self.writer.remove(self.kind, &Name::of(&object.metadata)),
        };
        self.changed(differs, "Tetragon's policies changed");
    }

    fn read(&self, object: &DynamicObject) -> Object {
        let spec = object.data.get("spec").unwrap_or(&Value::Null);
        Object { entry: self.entry(object, spec), wish: Wish::of(&object.metadata, spec) }
    }

    fn entry(&self, object: &DynamicObject, spec: &Value) -> Entry {
        match TracingPolicy::from_cluster(&object.metadata, spec) {
            Ok(policy) => Entry::Read(policy.into()),
            Err(error) => {
                let name = Name::of(&object.metadata);
                warn!(kind = self.name(), %name, %error, "object does not parse and is left out");
                self.metrics.skipped(self.name());
                Entry::Unreadable {
                    labels: object.metadata.labels.clone().unwrap_or_default(),
                    error: error.to_string(),
                }
            }
        }
    }

    /// Notes why the watch failed; whether it has to begin with what is installed.
    fn failed(&self, error: &watcher::Error) -> bool {
        self.metrics.watch_failed(self.name());
        let code = code(error);
        match error {
            watcher::Error::InitialListFailed(_) if code == Some(403) => {
                self.troubled(Trouble::Forbidden(self.plural()));
                false
            }
            watcher::Error::InitialListFailed(_) if code != Some(404) => {
                self.troubled(Trouble::Unread(self.plural(), error.to_string()));
                false
            }
            // Only a new list says that a right is back.
            _ if matches!(code, Some(403 | 404)) => true,
            _ => {
                debug!(kind = self.name(), %error, "watch broke and is begun again");
                false
            }
        }
    }

    fn troubled(&self, trouble: Trouble) {
        let said = trouble.to_string();
        if self.writer.troubled(self.kind, trouble) {
            warn!(kind = self.name(), "{said}");
            self.routes.tracing_policies();
        }
    }

    fn changed(&self, differs: bool, what: &str) {
        if differs {
            info!(kind = self.name(), "{what}");
            self.routes.tracing_policies();
        }
    }
}

/// The API server's code, where it answered.
fn code(error: &watcher::Error) -> Option<u16> {
    use watcher::Error::{
        InitialListFailed, NoResourceVersion, WatchError, WatchFailed, WatchStartFailed,
    };
    match error {
        InitialListFailed(kube::Error::Api(status))
        | WatchStartFailed(kube::Error::Api(status))
        | WatchFailed(kube::Error::Api(status))
        | WatchError(status) => Some(status.code),
        InitialListFailed(_) | WatchStartFailed(_) | WatchFailed(_) | NoResourceVersion => None,
    }
}

#[cfg(test)]
mod scenarios;

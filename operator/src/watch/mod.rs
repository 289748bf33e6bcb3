//! The watches that fill the stores and trigger the controllers.
//!
//! ## Flow
//! list and watch → parse and trim ([`guard`], [`kept`]) → set aside what cannot be parsed
//! ([`unparsable`]) → keep what is bounded: the oldest policies ([`policy_bound`]), the DaemonSets
//! that matter ([`named`]), the contents of the hook profiles that are used ([`contents`]) → store
//! → trigger: the keys of the objects that the change concerns go into the queues.
//!
//! ## Guarantees
//! - A key is queued only after the store has the change. After a watch had to list again,
//!   everything is queued, because a deletion in the gap has no event of its own. A change that no
//!   controller reads, such as a kubelet's heartbeat, queues nothing.
//! - An object that cannot be parsed changes nothing: its last version stays in force until the
//!   object is deleted.
//! - Memory is bounded, whatever is written to the API server; docs/limits.md has the numbers.
//!
//! ## Order
//! Hook profiles are listed after the reports, which say whose content is needed. DaemonSets are
//! listed after the policies, which say which of them matter.
//!
//! ## Errors
//! A watch that breaks is restarted within five seconds ([`retry`]), logged and counted. Where all
//! objects have to be listed again and again, the lists become seldom. The stores keep their
//! objects meanwhile, so no label changes because the API server is unreachable.

pub mod changes;
pub mod contents;
mod fetch;
mod fields;
pub(crate) mod fill;
pub mod first_list;
pub(crate) mod follow;
pub mod guard;
pub mod kept;
pub mod key;
pub(crate) mod log_limit;
mod messages;
pub mod named;
pub mod packed_node;
pub mod policy_bound;
pub mod profile;
pub mod queue;
pub(crate) mod retry;
#[cfg(test)]
mod scenarios;
pub mod store;
pub(crate) mod stored;
#[cfg(test)]
mod storms;
pub mod triggers;
pub mod unparsable;

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use futures::future;
use k8s_openapi::api::core::v1::Node;
use kube::{Api, Client, Resource, ResourceExt};
use kube_runtime::reflector::{Lookup, store::Writer};
use kube_runtime::watcher::{self, Event};
use lsm_ready_crds::LsmPolicy;
use lsm_ready_crds::text::truncate;
use serde::de::DeserializeOwned;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, sleep_until};
use tracing::warn;

use crate::context::metrics::Metrics;
use crate::run::memory;
use crate::run::readiness::Readiness;
use crate::tracing_policies;
use crate::watch::fill::Filler;
use crate::watch::first_list::FirstList;
use crate::watch::follow::{Follow, Lists};
use crate::watch::guard::{Guard, MAX_ERROR};
use crate::watch::kept::Kept;
use crate::watch::log_limit::LogLimit;
use crate::watch::named::NamedDaemonSets;
use crate::watch::policy_bound::PolicyBound;
use crate::watch::profile::Profile;
use crate::watch::retry::{Retries, code};
use crate::watch::store::{Stores, Writers};
use crate::watch::triggers::Triggers;
use crate::watch::unparsable::{Parse, Unparsable};

/// Shortest time between two lists that are made because more objects have to be kept.
const LIST_INTERVAL: Duration = Duration::from_secs(1);
/// Objects are listed again after this time, whatever the watch says: an event that got lost on the
/// way, which Kubernetes rules out, must not leave a label wrong for ever.
pub(crate) const LIST_AGAIN_AFTER: Duration = Duration::from_mins(15);

/// Runs the watches with that client's rights, until the future is dropped.
pub async fn run(client: Client, writers: Writers, triggers: Triggers) {
    let triggers = Arc::new(triggers);
    let metrics = &triggers.context().metrics;
    let changed = || triggers.tracing_policies();
    let tracing =
        tracing_policies::watch::run(client.clone(), writers.tracing_policies, &changed, metrics);
    let lists = &triggers.context().stores.first_lists;
    let nodes = watch(&client, writers.nodes, nodes(&triggers).streamed());
    let reports = Parts::plain(&triggers, &lists.reports, Triggers::report).streamed();
    let reports = watch(&client, writers.reports, reports);
    let policies = watch(&client, writers.policies, policies(&triggers));
    let profiles = async {
        lists.reports.wait().await;
        watch(&client, writers.profiles, profiles(&triggers)).await;
    };
    let daemon_sets = async {
        lists.policies.wait().await;
        watch(&client, writers.daemon_sets, daemon_sets(&triggers)).await;
    };
    let contents = fetch::contents(&client, &triggers);
    let watches = future::join5(nodes, reports, profiles, policies, daemon_sets);
    Box::pin(future::join3(watches, tracing, contents)).await;
}

/// A kind of object that can be watched and kept in a store.
pub trait Watched:
    Resource<DynamicType = ()>
    + Lookup<DynamicType = ()>
    + Clone
    + Debug
    + DeserializeOwned
    + Send
    + Sync
    + 'static
{
}

impl<K> Watched for K where
    K: Resource<DynamicType = ()>
        + Lookup<DynamicType = ()>
        + Clone
        + Debug
        + DeserializeOwned
        + Send
        + Sync
        + 'static
{
}

/// Gets an event, and the object as the store had it.
type Trigger<'a, K> = Box<dyn Fn(&Event<K>, Option<&<K as Kept>::Stored>) + Send + Sync + 'a>;

/// What is particular to the watch of one kind.
struct Parts<'a, K: Kept> {
    metrics: Metrics,
    readiness: Readiness,
    unparsable: Unparsable,
    /// Called when an object is gone of which no version could be parsed.
    on_unread_gone: Box<dyn Fn() + Send + Sync>,
    /// Which objects enter the store.
    keep: Box<dyn FnMut(Event<K>) -> Vec<Event<K>> + Send>,
    /// Called after the store has the change.
    trigger: Trigger<'a, K>,
    /// Is notified when the objects have to be listed again.
    must_list: Arc<Notify>,
    first_list: FirstList,
    lists: Lists,
}

impl<'a, K: Kept> Parts<'a, K> {
    /// Every object enters the store.
    fn plain(
        triggers: &'a Triggers,
        first_list: &FirstList,
        trigger: fn(&Triggers, &Event<K>),
    ) -> Self {
        Self {
            metrics: triggers.context().metrics.clone(),
            readiness: triggers.context().readiness.clone(),
            unparsable: Unparsable::default(),
            on_unread_gone: Box::new(|| {}),
            keep: Box::new(|event| vec![event]),
            trigger: Box::new(move |event, _| trigger(triggers, event)),
            must_list: Arc::default(),
            first_list: first_list.clone(),
            lists: Lists::Paged,
        }
    }

    fn streamed(self) -> Self {
        Self { lists: Lists::Streamed, ..self }
    }
}

/// By which labels policies selected a Node until now, its trigger has to know.
fn nodes(triggers: &Triggers) -> Parts<'_, Node> {
    let first_list = &triggers.context().stores.first_lists.nodes;
    let plain = Parts::plain(triggers, first_list, |_, _| {});
    Parts { trigger: Box::new(|event, before| triggers.node(event, before)), ..plain }
}

/// The oldest policies enter the store.
fn policies(triggers: &Arc<Triggers>) -> Parts<'_, LsmPolicy> {
    let stores = &triggers.context().stores;
    let mut bound = PolicyBound::new(stores.excess_policies.clone());
    let must_list = Arc::new(Notify::new());
    let (asked, gone) = (must_list.clone(), triggers.clone());
    let keep = move |event| {
        let passed = bound.pass(event);
        if passed.must_list {
            asked.notify_one();
        }
        passed.events
    };
    Parts {
        unparsable: stores.unparsable_policies.clone(),
        on_unread_gone: Box::new(move || gone.unread_policy_gone()),
        keep: Box::new(keep),
        must_list,
        ..Parts::plain(triggers, &stores.first_lists.policies, Triggers::policy)
    }
}

/// Every profile enters the store without its content, which is put aside.
fn profiles(triggers: &Triggers) -> Parts<'_, Profile> {
    let stores = &triggers.context().stores;
    let contents = stores.contents.clone();
    let keep = move |mut event: Event<Profile>| {
        if let Event::InitApply(profile) | Event::Apply(profile) = &mut event
            && let Some(content) = profile.take_content()
        {
            contents.offer(&profile.name_any(), content);
        }
        vec![event]
    };
    let plain = Parts::plain(triggers, &stores.first_lists.profiles, Triggers::profile);
    Parts { keep: Box::new(keep), ..plain }
}

/// The DaemonSets that matter enter the store.
fn daemon_sets(triggers: &Triggers) -> Parts<'_, k8s_openapi::api::apps::v1::DaemonSet> {
    let Stores { wanted_daemon_sets: wanted, daemon_sets, first_lists, .. } =
        &triggers.context().stores;
    let must_list = wanted.grown();
    let named = NamedDaemonSets { wanted: wanted.clone(), store: daemon_sets.clone() };
    let keep = move |event| named.pass(event).into_iter().collect();
    let plain = Parts::plain(triggers, &first_lists.daemon_sets, Triggers::daemon_set);
    Parts { keep: Box::new(keep), must_list, ..plain }
}

/// One watch, from the API server to the triggers.
async fn watch<K: Kept>(client: &Client, writer: Writer<K::Stored>, parts: Parts<'_, K>) {
    let Parts { metrics, readiness, unparsable, on_unread_gone, mut keep, trigger, .. } = parts;
    let (must_list, first_list, lists) = (parts.must_list, parts.first_list, parts.lists);
    let api: Api<Guard<K>> = Api::all(client.clone());
    let mut parse = Parse::new(unparsable, writer.as_reader(), metrics.clone(), on_unread_gone);
    let mut filler = Filler::new(writer);
    let mut health = Health::of(metrics, readiness);
    loop {
        let mut events = Follow::new(api.clone(), lists);
        let (mut is_listing, mut listed) = (true, Instant::now());
        loop {
            let event = tokio::select! {
                biased;
                () = asked(&must_list, listed), if !is_listing => break,
                event = events.next() => event,
            };
            match event {
                Ok(event) => {
                    health.saw(&event);
                    match &event {
                        Event::Init => is_listing = true,
                        Event::InitDone => (is_listing, listed) = (false, Instant::now()),
                        Event::InitApply(_) | Event::Apply(_) | Event::Delete(_) => {}
                    }
                    for event in parse.pass(event).into_iter().flat_map(&mut keep) {
                        let before = filler.stored(&event);
                        filler.apply(&event);
                        trigger(&event, before.as_deref());
                        if matches!(event, Event::InitDone) {
                            first_list.done();
                            memory::give_back();
                        }
                    }
                }
                Err(error) => {
                    sleep(health.failed::<K>(&error)).await;
                    // The resource or the right is gone. A watch does not recover from that.
                    if matches!(code(&error), Some(403 | 404)) {
                        break;
                    }
                }
            }
        }
    }
}

/// Returns when a further list is asked for, and the last one is not too recent, or is old.
async fn asked(must_list: &Notify, listed: Instant) {
    sleep_until(listed + LIST_INTERVAL).await;
    tokio::select! {
        biased;
        () = must_list.notified() => {}
        () = sleep_until(listed + LIST_AGAIN_AFTER) => {}
    }
}

/// What is known of a watch's failures.
struct Health {
    metrics: Metrics,
    readiness: Readiness,
    retries: Retries,
    log: LogLimit,
}

impl Health {
    fn of(metrics: Metrics, readiness: Readiness) -> Self {
        let (retries, log) = (Retries::default(), LogLimit::default());
        Self { metrics, readiness, retries, log }
    }

    /// Counts a failure, logs it if it is a new one, and returns how long to wait.
    fn failed<K: Kept>(&mut self, error: &watcher::Error) -> Duration {
        let (kind, now) = (<K as Resource>::kind(&()), Instant::now());
        let wait = self.retries.failed(error, now);
        self.metrics.watch_failed(&kind);
        self.readiness.watch_failed(&kind, error);
        let error = truncate(&error.to_string(), MAX_ERROR);
        if self.log.allows("", &error, now) {
            warn!(%kind, error, "watch broke, restarting it");
        }
        wait
    }

    fn saw<K>(&mut self, event: &Event<K>) {
        self.retries.saw(event, Instant::now());
        if matches!(event, Event::Apply(_) | Event::Delete(_)) {
            self.log.forget("");
        }
    }
}

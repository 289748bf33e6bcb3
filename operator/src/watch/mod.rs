//! The watches that fill the stores and trigger the controllers.
//!
//! ## Flow
//! list and watch → skip, log and count objects that cannot be parsed → trim → store → trigger: the
//! keys of the objects that the change concerns go into the queues.
//!
//! ## Guarantees
//! A key is queued only after the store has the change. After a watch had to list again, everything
//! is queued, because a deletion in the gap has no event of its own. A change that no controller
//! reads, such as a kubelet's heartbeat, queues nothing.
//!
//! ## Errors
//! A watch that breaks is restarted with backoff, logged and counted. The stores keep their objects
//! meanwhile, so no label changes because the API server is unreachable.

pub mod digest_cache;
pub mod key;
pub mod queue;
#[cfg(test)]
mod scenarios;
pub mod store;
pub mod triggers;

use std::fmt::Debug;
use std::future::Future;

use futures::{Stream, StreamExt, TryStreamExt, future};
use kube::core::DeserializeGuard;
use kube::{Api, Client, Resource, ResourceExt};
use kube_runtime::WatchStreamExt;
use kube_runtime::reflector::{self, Lookup, ObjectRef, Store, store::Writer};
use kube_runtime::watcher::{self, Event, watcher};
use serde::de::DeserializeOwned;
use tracing::warn;

use crate::context::Context;
use crate::context::metrics::Metrics;
use crate::run::connection::watch_config;
use crate::tracing_policies;
use crate::watch::store::{Writers, trim, trim_node, trim_report};
use crate::watch::triggers::Triggers;

/// Runs the watches with that client's rights, until the future is dropped.
pub async fn run(client: Client, writers: Writers, triggers: Triggers) {
    let ctx = triggers.context();
    let nodes = watch(&client, writers.nodes, trim_node, ctx, |event| triggers.node(event));
    let reports = watch(&client, writers.reports, trim_report, ctx, |event| triggers.report(event));
    let profiles = watch(&client, writers.profiles, trim, ctx, |event| triggers.profile(event));
    let policies = watch(&client, writers.policies, trim, ctx, |event| triggers.policy(event));
    let daemon_sets =
        watch(&client, writers.daemon_sets, trim, ctx, |event| triggers.daemon_set(event));
    let changed = || triggers.tracing_policies();
    let (client, writer) = (client.clone(), writers.tracing_policies);
    let tracing = tracing_policies::watch::run(client, writer, &changed, &ctx.metrics);
    Box::pin(future::join(future::join5(nodes, reports, profiles, policies, daemon_sets), tracing))
        .await;
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

/// One watch, from the API server to the triggers.
fn watch<K: Watched>(
    client: &Client,
    writer: Writer<K>,
    trim: fn(&mut K),
    ctx: &Context,
    trigger: impl Fn(&Event<K>),
) -> impl Future<Output = ()> {
    let api: Api<DeserializeGuard<K>> = Api::all(client.clone());
    let readiness = ctx.readiness.clone();
    let events = watcher(api, watch_config())
        .default_backoff()
        .inspect_err(move |error| readiness.watch_failed(&<K as Resource>::kind(&()), error));
    let events = parsed(events, writer.as_reader(), ctx.metrics.clone()).modify(trim);
    reflector::reflector(writer, events).for_each(move |event| {
        if let Ok(event) = &event {
            trigger(event);
        }
        future::ready(())
    })
}

/// Passes on the events of objects that can be parsed. Logs and counts the others, and the watch's
/// own errors.
fn parsed<K: Watched>(
    events: impl Stream<Item = watcher::Result<Event<DeserializeGuard<K>>>>,
    store: Store<K>,
    metrics: Metrics,
) -> impl Stream<Item = watcher::Result<Event<K>>> {
    events.filter_map(move |event| {
        let event = match event {
            Ok(Event::Apply(object)) => parse(object, &metrics).map(Event::Apply),
            Ok(Event::InitApply(object)) => parse(object, &metrics).map(Event::InitApply),
            Ok(Event::Delete(object)) => {
                // A deleted object leaves the store, also if it can no longer be parsed.
                let stored = store.get(&key(&object));
                let stored = stored.map(|stored| K::clone(&stored));
                parse(object, &metrics).or(stored).map(Event::Delete)
            }
            Ok(Event::Init) => Some(Event::Init),
            Ok(Event::InitDone) => Some(Event::InitDone),
            Err(error) => {
                let kind = <K as Resource>::kind(&());
                warn!(%kind, %error, "watch broke, restarting it");
                metrics.watch_failed(&kind);
                None
            }
        };
        future::ready(event.map(Ok))
    })
}

fn key<K: Watched>(object: &DeserializeGuard<K>) -> ObjectRef<K> {
    let key = ObjectRef::new(&object.name_any());
    match &object.meta().namespace {
        Some(namespace) => key.within(namespace),
        None => key,
    }
}

fn parse<K: Watched>(object: DeserializeGuard<K>, metrics: &Metrics) -> Option<K> {
    object
        .0
        .inspect_err(|invalid| {
            let kind = <K as Resource>::kind(&());
            let name = invalid.metadata.name.as_deref().unwrap_or_default();
            let namespace = invalid.metadata.namespace.as_deref().unwrap_or_default();
            let error = &invalid.error;
            warn!(%kind, namespace, name, error, "skipping object: it cannot be parsed");
            metrics.skipped(&kind);
        })
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use lsm_ready_crds::{Evidence, LsmNode};
    use serde_json::json;

    fn guarded(evidence: &str) -> DeserializeGuard<LsmNode> {
        // A reason that is no text cannot be read.
        let reason = if evidence == "Divined" { json!(7) } else { json!("R") };
        let status = json!({"evidence": evidence, "reason": reason});
        let object = json!({"metadata": {"name": "n1"}, "status": status});
        serde_json::from_value(object).unwrap()
    }

    #[tokio::test]
    async fn an_object_that_cannot_be_parsed_is_skipped_and_counted() {
        let metrics = Metrics::default();
        let events = futures::stream::iter([
            Ok(Event::Init),
            Ok(Event::InitApply(guarded("Divined"))),
            Ok(Event::InitApply(guarded("Denied"))),
            Ok(Event::InitDone),
            Err(watcher::Error::NoResourceVersion),
            Ok(Event::Apply(guarded("Divined"))),
        ]);
        let (store, _) = reflector::store();
        let seen: Vec<_> = parsed(events, store, metrics.clone()).collect().await;
        let seen: Vec<_> = seen.into_iter().map(|event| event.unwrap().to_string()).collect();
        assert_eq!(seen, ["Init", "InitApply(n1)", "InitDone"]);
        let text = metrics.encode().unwrap();
        assert!(text.contains(r#"lsm_ready_skipped_objects_total{kind="LsmNode"} 2"#), "{text}");
        assert!(text.contains(r#"lsm_ready_watch_errors_total{kind="LsmNode"} 1"#), "{text}");
    }

    #[tokio::test]
    async fn a_deleted_object_that_cannot_be_parsed_is_deleted_as_it_is_stored() {
        let (store, mut writer) = reflector::store();
        writer.apply_watcher_event(&Event::Apply(guarded("Denied").0.unwrap()));
        let events = futures::stream::iter([Ok(Event::Delete(guarded("Divined")))]);
        let seen: Vec<_> = parsed(events, store, Metrics::default()).collect().await;
        let [Ok(Event::Delete(deleted))] = seen.as_slice() else { panic!("{seen:?}") };
        assert_eq!(deleted.status.as_ref().unwrap().evidence, Evidence::Denied);
    }
}

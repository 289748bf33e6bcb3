//! The watches that fill the stores and tell the controllers what changed.
//!
//! ## Flow
//! list and watch → objects that do not parse are skipped with a warning and counted → trimmed → stored → routed: the
//! keys that the change concerns go into the queues.
//!
//! ## Guarantees
//! A key is queued only after the store has the change. When a watch had to list anew, everything is queued, since
//! deletions in the gap have no event of their own. A change that no plan reads (a kubelet's heartbeat) queues nothing.
//!
//! ## Errors
//! A watch that breaks is begun again with backoff, logged and counted; the stores keep what they had, so no label moves
//! because the API server was away.

pub mod digests;
pub mod key;
pub mod queue;
pub mod store;
pub mod triggers;

use std::fmt::Debug;
use std::future::Future;

use futures::{Stream, StreamExt, future};
use kube::core::DeserializeGuard;
use kube::{Api, Client, Resource};
use kube_runtime::WatchStreamExt;
use kube_runtime::reflector::{self, Lookup, store::Writer};
use kube_runtime::watcher::{self, Event, watcher};
use serde::de::DeserializeOwned;
use tracing::warn;

use crate::context::metrics::Metrics;
use crate::tracing_policies;
use crate::watch::store::{Writers, trim, trim_node};
use crate::watch::triggers::Routes;

/// Runs the watches; ends only when dropped.
pub async fn run(client: Client, writers: Writers, routes: Routes, metrics: Metrics) {
    let nodes = fill(&client, writers.nodes, trim_node, &metrics, |event| routes.node(event));
    let reports = fill(&client, writers.reports, trim, &metrics, |event| routes.report(event));
    let profiles = fill(&client, writers.profiles, trim, &metrics, |event| routes.profile(event));
    let policies = fill(&client, writers.policies, trim, &metrics, |event| routes.policy(event));
    let daemon_sets =
        fill(&client, writers.daemon_sets, trim, &metrics, |event| routes.daemon_set(event));
    let tracing =
        tracing_policies::watch::run(client.clone(), writers.tracing_policies, &routes, &metrics);
    Box::pin(future::join(future::join5(nodes, reports, profiles, policies, daemon_sets), tracing))
        .await;
}

/// One watch, from the API server to the queues.
fn fill<K>(
    client: &Client,
    writer: Writer<K>,
    trim: fn(&mut K),
    metrics: &Metrics,
    route: impl Fn(&Event<K>),
) -> impl Future<Output = ()>
where
    K: Resource<DynamicType = ()>
        + Lookup<DynamicType = ()>
        + Clone
        + Debug
        + DeserializeOwned
        + Send
        + Sync
        + 'static,
{
    let api: Api<DeserializeGuard<K>> = Api::all(client.clone());
    let events =
        parsed(watcher(api, watcher::Config::default()).default_backoff(), metrics.clone())
            .modify(trim);
    reflector::reflector(writer, events).for_each(move |event| {
        if let Ok(event) = &event {
            route(event);
        }
        future::ready(())
    })
}

/// The events of objects that parse; the others and the watch's own errors are logged and counted.
fn parsed<K>(
    events: impl Stream<Item = watcher::Result<Event<DeserializeGuard<K>>>>,
    metrics: Metrics,
) -> impl Stream<Item = watcher::Result<Event<K>>>
where
    K: Resource<DynamicType = ()>,
{
    events.filter_map(move |event| {
        let event = match event {
            Ok(Event::Apply(object)) => open(object, &metrics).map(Event::Apply),
            Ok(Event::InitApply(object)) => open(object, &metrics).map(Event::InitApply),
            Ok(Event::Delete(object)) => open(object, &metrics).map(Event::Delete),
            Ok(Event::Init) => Some(Event::Init),
            Ok(Event::InitDone) => Some(Event::InitDone),
            Err(error) => {
                let kind = K::kind(&());
                warn!(%kind, %error, "watch broke and is begun again");
                metrics.watch_failed(&kind);
                None
            }
        };
        future::ready(event.map(Ok))
    })
}

fn open<K: Resource<DynamicType = ()>>(
    object: DeserializeGuard<K>,
    metrics: &Metrics,
) -> Option<K> {
    object
        .0
        .inspect_err(|invalid| {
            let kind = K::kind(&());
            let name = invalid.metadata.name.as_deref().unwrap_or_default();
            let namespace = invalid.metadata.namespace.as_deref().unwrap_or_default();
            warn!(%kind, namespace, name, error = invalid.error, "object does not parse and is left out");
            metrics.skipped(&kind);
        })
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use lsm_ready_crds::LsmNode;
    use serde_json::json;

    fn guarded(evidence: &str) -> DeserializeGuard<LsmNode> {
        let object = json!({"metadata": {"name": "n1"}, "status": {"evidence": evidence}});
        serde_json::from_value(object).unwrap()
    }

    #[tokio::test]
    async fn what_does_not_parse_is_left_out_and_counted() {
        let metrics = Metrics::default();
        let events = futures::stream::iter([
            Ok(Event::Init),
            Ok(Event::InitApply(guarded("Divined"))),
            Ok(Event::InitApply(guarded("Denied"))),
            Ok(Event::InitDone),
            Err(watcher::Error::NoResourceVersion),
            Ok(Event::Apply(guarded("Divined"))),
        ]);
        let seen: Vec<_> = parsed(events, metrics.clone()).collect().await;
        let seen: Vec<_> = seen.into_iter().map(|event| event.unwrap().to_string()).collect();
        assert_eq!(seen, ["Init", "InitApply(n1)", "InitDone"]);
        let text = metrics.encode().unwrap();
        assert!(text.contains(r#"lsm_ready_skipped_objects_total{kind="LsmNode"} 2"#), "{text}");
        assert!(text.contains(r#"lsm_ready_watch_errors_total{kind="LsmNode"} 1"#), "{text}");
    }
}

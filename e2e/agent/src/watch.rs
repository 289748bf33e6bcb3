//! Watches TracingPolicies with the pod's ServiceAccount.
//!
//! In: the API server. Out: [`Policies`] kept up to date. Where the kind is not there, or may not be read, it asks again
//! with a growing interval and says nothing, as an agent without policies has nothing to say.

use anyhow::Context as _;
use futures::TryStreamExt as _;
use kube::core::{ApiResource, DynamicObject, GroupVersionKind};
use kube::{Api, Client, ResourceExt as _};
use kube_runtime::WatchStreamExt as _;
use kube_runtime::watcher::{Config, Event, watcher};

use crate::table::{Edition, Policies};

/// Follows the policies of the cluster; ends only when there is no cluster to talk to.
///
/// # Errors
/// When loading a policy panicked.
pub async fn watch(policies: &Policies) -> anyhow::Result<()> {
    let Ok(client) = Client::try_default().await else {
        println!("level=info msg=\"not in a cluster: no tracing policies\"");
        return std::future::pending().await;
    };
    let kind = ApiResource::from_gvk_with_plural(
        &GroupVersionKind::gvk("cilium.io", "v1alpha1", "TracingPolicy"),
        "tracingpolicies",
    );
    let events = watcher(Api::<DynamicObject>::all_with(client, &kind), Config::default()).default_backoff();
    futures::pin_mut!(events);
    let mut listed = Vec::new();
    loop {
        // An error is answered by the stream's own backoff.
        let Ok(Some(event)) = events.try_next().await else { continue };
        match event {
            Event::Init => listed.clear(),
            Event::InitApply(object) => {
                listed.push(object.name_any());
                apply(policies, object).await?;
            }
            Event::InitDone => policies.retain(&listed),
            Event::Apply(object) => apply(policies, object).await?,
            Event::Delete(object) => policies.remove(&object.name_any()),
        }
    }
}

/// Loading blocks, and gRPC is to say meanwhile that it goes on.
async fn apply(policies: &Policies, object: DynamicObject) -> anyhow::Result<()> {
    let policies = policies.clone();
    let load = move || {
        let generation = object.metadata.generation.unwrap_or_default();
        let edition = Edition { name: object.name_any(), uid: object.uid().unwrap_or_default(), generation };
        policies.apply(&edition, &object.data["spec"]);
    };
    tokio::task::spawn_blocking(load).await.context("load a policy")
}

//! Watches TracingPolicies with the pod's ServiceAccount.
//!
//! In: the API server. Out: up-to-date [`Policies`]. Tetragon begins to watch only when both of its
//! kinds exist. Where policies may not be read, the watch retries with a growing interval and logs
//! nothing.

use std::time::Duration;

use anyhow::Context as _;
use futures::TryStreamExt as _;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::core::{ApiResource, DynamicObject, GroupVersionKind};
use kube::{Api, Client, ResourceExt as _};
use kube_runtime::WatchStreamExt as _;
use kube_runtime::watcher::{Config, Event, watcher};

use crate::policies::{Edition, Policies};

/// The kinds that must exist before Tetragon continues, by the names of their definitions.
const KINDS: [&str; 2] = ["tracingpolicies.cilium.io", "tracingpoliciesnamespaced.cilium.io"];
const PERIOD: Duration = Duration::from_secs(1);

/// A client for the cluster, if the agent runs in one.
pub async fn client() -> Option<Client> {
    let client = Client::try_default().await.ok();
    if client.is_none() {
        println!("level=info msg=\"not in a cluster: no tracing policies\"");
    }
    client
}

/// Waits until both kinds exist, for as long as it takes.
pub async fn wait_for_kinds(client: Option<&Client>) {
    let Some(client) = client else { return };
    println!("level=info msg=\"Waiting for required CRDs\" crds=\"{}\"", KINDS.join(" "));
    let definitions = Api::<CustomResourceDefinition>::all(client.clone());
    for kind in KINDS {
        // An error and a missing kind are handled alike: the agent asks again.
        while definitions.get_opt(kind).await.ok().flatten().is_none() {
            tokio::time::sleep(PERIOD).await;
        }
    }
    println!("level=info msg=\"Found all the required CRDs\"");
}

/// Follows the policies of the cluster. Without a cluster it waits for ever.
pub async fn watch(client: Option<Client>, policies: &Policies) -> anyhow::Result<()> {
    let Some(client) = client else {
        return std::future::pending().await;
    };
    let kind = ApiResource::from_gvk_with_plural(
        &GroupVersionKind::gvk("cilium.io", "v1alpha1", "TracingPolicy"),
        "tracingpolicies",
    );
    let events =
        watcher(Api::<DynamicObject>::all_with(client, &kind), Config::default()).default_backoff();
    futures::pin_mut!(events);
    let mut listed = Vec::new();
    loop {
        // After an error the stream waits by itself.
        let Ok(Some(event)) = events.try_next().await else {
            continue;
        };
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

/// Loads a policy on another thread, so that gRPC can list it as loading meanwhile.
async fn apply(policies: &Policies, object: DynamicObject) -> anyhow::Result<()> {
    let policies = policies.clone();
    let load = move || {
        let generation = object.metadata.generation.unwrap_or_default();
        let edition =
            Edition { name: object.name_any(), uid: object.uid().unwrap_or_default(), generation };
        policies.apply(&edition, &object.data["spec"]);
    };
    tokio::task::spawn_blocking(load).await.context("load a policy")
}

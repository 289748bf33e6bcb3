//! Removes what is on Nodes and DaemonSets.
//!
//! ## Flow
//! everything of DaemonSets, which are few and which need a right of their own → labels and taints
//! of all Nodes, because these act on workloads → the conditions → all once more, until a pass
//! finds nothing.

use std::future::ready;

use futures::StreamExt;
use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::Node;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::Patch;
use kube::core::PartialObjectMeta;
use kube::{Api, ResourceExt};

use crate::cluster::{self, Change, Cluster, Error, Mode, Outcome, Pages, Steps};
use crate::report::Report;
use crate::{daemon_set, node};

/// Writes that run at once.
const CONCURRENCY: usize = 32;
/// Passes over all objects at most. The first two remove; the others find what somebody else wrote
/// meanwhile. A pass that removes nothing is the last.
const PASSES: usize = 5;

/// What of a Node a pass removes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Part {
    /// Labels and taints: what acts on workloads. The condition goes with them where one request is
    /// enough.
    Metadata,
    /// The condition too.
    All,
}

/// Removes everything of ours from Nodes and DaemonSets.
pub async fn remove(cluster: &Cluster) -> Report {
    let mut total = Report::default();
    if cluster.mode == Mode::DryRun {
        total.add(nodes(cluster, Part::All).await);
        total.add(Box::pin(daemon_sets(cluster)).await);
        return total;
    }
    for pass in 0..PASSES {
        let part = if pass == 0 { Part::Metadata } else { Part::All };
        let mut found = Box::pin(daemon_sets(cluster)).await;
        found.add(nodes(cluster, part).await);
        let is_over = pass > 0 && found.done.is_empty();
        // The last pass knows best what failed.
        total.failed.clone_from(&found.failed);
        total.add(found);
        if is_over {
            break;
        }
    }
    total
}

async fn nodes(cluster: &Cluster, part: Part) -> Report {
    let api = Api::<Node>::all(cluster.client.clone());
    let metadata = Api::<PartialObjectMeta<Node>>::all(cluster.client.clone());
    let mut report = Report::default();
    let next = |node: &Node| node_change(cluster, node, part);
    let clean = async |node: Node| {
        let name = node.name_any();
        // Of the answer only the metadata is asked for: a whole Node has about 15 KB.
        let send = async |node: Node, change: &Change| {
            Ok(after(node, change, cluster::send(&metadata, &name, change).await?.metadata))
        };
        let outcome = cluster.change_by(&api, &name, node, Steps { next, send }).await;
        (name, outcome)
    };
    let nodes = Pages::new(api.clone()).objects();
    let unclean =
        nodes.filter(|node| ready(node.as_ref().map_or(true, |node| next(node).is_some())));
    let mut changes = std::pin::pin!(
        unclean.map(async |node| Ok::<_, Error>(clean(node?).await)).buffer_unordered(CONCURRENCY)
    );
    while let Some(change) = changes.next().await {
        match change {
            Ok((name, outcome)) => note(&mut report, "Node", name, outcome),
            Err(error) => report.failed("Nodes".to_owned(), error),
        }
    }
    report
}

/// The Node after that change was accepted.
fn after(mut node: Node, change: &Change, metadata: ObjectMeta) -> Node {
    node.metadata = metadata;
    if change.status {
        node.status = None;
    } else {
        node.spec = None;
    }
    node
}

fn node_change(cluster: &Cluster, node: &Node, part: Part) -> Option<Change> {
    let names = cluster.names;
    if let Some(patch) = node::whole_patch(node, names) {
        return Some(Change { patch: Patch::Strategic(patch), status: true });
    }
    if let Some(patch) = node::metadata_patch(node, names) {
        return Some(Change { patch: Patch::Merge(patch), status: false });
    }
    let patch = (part == Part::All).then(|| node::status_patch(node, names)).flatten()?;
    Some(Change { patch: Patch::Strategic(patch), status: true })
}

async fn daemon_sets(cluster: &Cluster) -> Report {
    let mut report = Report::default();
    let all = match Pages::new(Api::<DaemonSet>::all(cluster.client.clone())).all().await {
        Ok(all) => all,
        Err(error) => {
            report.failed("DaemonSets".to_owned(), error);
            return report;
        }
    };
    let next = |object: &DaemonSet| {
        Some(Change { patch: Patch::Strategic(daemon_set::patch(object)?), status: false })
    };
    for object in all.into_iter().filter(|object| next(object).is_some()) {
        let (namespace, name) = (object.namespace().unwrap_or_default(), object.name_any());
        let api = Api::<DaemonSet>::namespaced(cluster.client.clone(), &namespace);
        let outcome = cluster.change(&api, &name, object, next).await;
        note(&mut report, "DaemonSet", format!("{namespace}/{name}"), outcome);
    }
    report
}

fn note(report: &mut Report, kind: &'static str, name: String, outcome: Result<Outcome, Error>) {
    match outcome {
        Ok(Outcome::Removed) => report.did(kind, name),
        Ok(Outcome::Clean) => {}
        Err(error) => report.failed(format!("{kind} {name}"), error),
    }
}

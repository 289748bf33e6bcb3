//! What has to be removed from a Node. Pure.
//!
//! In: a Node as it was read. Out: a patch that removes everything of ours and changes nothing
//! else, or None. Each patch has the UID and the resourceVersion of the Node as preconditions.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Node, Taint};
use kube::ResourceExt;
use serde_json::{Value, json};

use crate::metadata::{finalizers, preconditions};
use crate::ours::Names;

/// A strategic merge patch of the Node's status that removes the labels too, where that is all. The
/// API server lets a write to the status of a Node change its labels: kubelets use that
/// (`nodeStatusStrategy` in `pkg/registry/core/node/strategy.go` of Kubernetes). So one request is
/// enough for a Node without our taint.
pub fn whole_patch(node: &Node, names: Names) -> Option<Value> {
    let mut metadata = metadata_patch(node, names)?;
    let mut patch = status_patch(node, names)?;
    let is_all = metadata.get("spec").is_none() && metadata["metadata"]["finalizers"].is_null();
    is_all.then(|| {
        patch["metadata"] = metadata["metadata"].take();
        patch
    })
}

/// A merge patch for labels, taints and finalizers.
pub fn metadata_patch(node: &Node, names: Names) -> Option<Value> {
    let labels: BTreeMap<&String, Option<()>> =
        node.labels().keys().filter(|key| names.has_label(key)).map(|key| (key, None)).collect();
    let taints = foreign_taints(node, names);
    let finalizers = finalizers(&node.metadata);
    if labels.is_empty() && taints.is_none() && finalizers.is_none() {
        return None;
    }
    let mut patch = json!({ "metadata": preconditions(&node.metadata) });
    if !labels.is_empty() {
        patch["metadata"]["labels"] = json!(labels);
    }
    if let Some(finalizers) = finalizers {
        patch["metadata"]["finalizers"] = json!(finalizers);
    }
    if let Some(taints) = taints {
        patch["spec"] = json!({ "taints": taints });
    }
    Some(patch)
}

/// The taints of others, where one of ours is there.
fn foreign_taints(node: &Node, names: Names) -> Option<Vec<&Taint>> {
    let taints = node.spec.as_ref()?.taints.as_ref()?;
    let foreign: Vec<&Taint> = taints.iter().filter(|taint| !names.has_taint(&taint.key)).collect();
    (foreign.len() < taints.len()).then_some(foreign)
}

/// A strategic merge patch of the Node's status: the API server merges conditions by their type.
pub fn status_patch(node: &Node, names: Names) -> Option<Value> {
    let conditions = node.status.as_ref()?.conditions.as_ref()?;
    let ours: Vec<Value> = conditions
        .iter()
        .filter(|condition| names.has_condition(&condition.type_))
        .map(|condition| json!({"type": condition.type_, "$patch": "delete"}))
        .collect();
    let patch = json!({"metadata": preconditions(&node.metadata), "status": {"conditions": ours}});
    (!ours.is_empty()).then_some(patch)
}

#[cfg(test)]
mod tests;

//! Writes a node plan. No other module changes Nodes.

use k8s_openapi::api::core::v1::Node;
use kube::api::{Patch, PatchParams};
use kube::{Api, ResourceExt};
use lsm_ready_crds::names::{FIELD_MANAGER, NODE_LABEL_PREFIX};
use serde_json::{Value, json};
use tracing::info;

use crate::context::Context;
use crate::node::plan::Plan;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("patching labels and taints of node {0}: {1}")]
    Patch(String, #[source] Box<kube::Error>),
    #[error("patching the condition of node {0}: {1}")]
    Status(String, #[source] Box<kube::Error>),
}

impl Error {
    /// The value of the metrics' label `outcome`.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Patch(..) => "patch",
            Self::Status(..) => "status",
        }
    }
}

pub(super) async fn apply(node: &Node, plan: &Plan, ctx: &Context) -> Result<(), Error> {
    let api = Api::<Node>::all(ctx.client.clone());
    let name = node.name_any();
    let params =
        PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
    if let Some(patch) = metadata_patch(node, plan) {
        api.patch(&name, &params, &Patch::Merge(patch))
            .await
            .map_err(|error| Error::Patch(name.clone(), Box::new(error)))?;
        ctx.metrics.wrote("Node");
        info!(node = name, changes = summary(plan), "node changed");
    }
    if let Some(patch) = status_patch(node, plan) {
        api.patch_status(&name, &params, &Patch::Strategic(patch))
            .await
            .map_err(|error| Error::Status(name.clone(), Box::new(error)))?;
        ctx.metrics.wrote("Node/status");
    }
    Ok(())
}

/// The changes in one line, for example `bpf=true policy.old- taints`.
fn summary(plan: &Plan) -> String {
    let short = |key: &str| key.strip_prefix(NODE_LABEL_PREFIX).unwrap_or(key).to_owned();
    let labels = plan.labels.iter().map(|(key, value)| match value {
        Some(value) => format!("{}={value}", short(key)),
        None => format!("{}-", short(key)),
    });
    labels.chain(plan.taints.iter().map(|_| "taints".to_owned())).collect::<Vec<_>>().join(" ")
}

/// Labels and taints as one merge patch.
fn metadata_patch(node: &Node, plan: &Plan) -> Option<Value> {
    if plan.labels.is_empty() && plan.taints.is_none() {
        return None;
    }
    let mut patch = json!({"metadata": {"uid": node.metadata.uid}});
    if !plan.labels.is_empty() {
        patch["metadata"]["labels"] = json!(plan.labels);
    }
    if let Some(taints) = &plan.taints {
        // A merge patch replaces the whole list of taints. With the resourceVersion that we saw, it
        // cannot drop a taint that someone else adds meanwhile. Labels merge by key and need only
        // the UID.
        patch["metadata"]["resourceVersion"] = json!(node.metadata.resource_version);
        patch["spec"] = json!({ "taints": taints });
    }
    Some(patch)
}

/// The condition as a strategic merge patch, which merges conditions by their type.
fn status_patch(node: &Node, plan: &Plan) -> Option<Value> {
    let condition = plan.condition.as_ref()?;
    Some(json!({"metadata": {"uid": node.metadata.uid}, "status": {"conditions": [condition]}}))
}

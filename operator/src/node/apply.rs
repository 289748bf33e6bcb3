//! Writes a node plan. No other module changes Nodes.

use k8s_openapi::api::core::v1::Node;
use kube::api::{Patch, PatchParams};
use kube::{Api, Resource, ResourceExt};
use kube_runtime::events::{Event, EventType};
use lsm_ready_crds::ConditionReason;
use lsm_ready_crds::names::{FIELD_MANAGER, NODE_LABEL_PREFIX};
use serde_json::{Value, json};
use tracing::{info, warn};

use crate::context::Context;
use crate::context::backoff::is_conflict;
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

/// What became of a write.
pub(super) enum Outcome {
    Done,
    /// The Node was changed since it was seen.
    Conflict,
}

pub(super) async fn apply(node: &Node, plan: &Plan, ctx: &Context) -> Result<Outcome, Error> {
    let api = Api::<Node>::all(ctx.client.clone());
    let name = node.name_any();
    let params =
        PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
    let mut version = node.resource_version();
    if let Some(patch) = metadata_patch(node, plan) {
        let written = match api.patch(&name, &params, &Patch::Merge(patch)).await {
            Ok(written) => written,
            Err(error) if is_conflict(&error) => return Ok(conflict(ctx)),
            Err(error) => return Err(Error::Patch(name, Box::new(error))),
        };
        version = written.resource_version();
        wrote("Node", &written, ctx);
        info!(node = name, changes = summary(plan), "node changed");
    }
    if let Some(patch) = status_patch(node, version.as_deref(), plan) {
        match api.patch_status(&name, &params, &Patch::Strategic(patch)).await {
            Ok(written) => wrote("Node/status", &written, ctx),
            Err(error) if is_conflict(&error) => return Ok(conflict(ctx)),
            Err(error) => return Err(Error::Status(name, Box::new(error))),
        }
    }
    Ok(Outcome::Done)
}

fn wrote(kind: &str, written: &Node, ctx: &Context) {
    ctx.metrics.wrote(kind);
    ctx.contests.wrote(written, (ctx.now)());
    ctx.forget_if_gone(written);
}

fn conflict(ctx: &Context) -> Outcome {
    ctx.metrics.conflicted("Node");
    Outcome::Conflict
}

/// Publishes an Event that others keep changing our fields. If it cannot be published, that is only
/// logged, because the metrics count the changes too.
pub(super) async fn announce_contest(node: &Node, changes: u32, ctx: &Context) {
    let event = Event {
        type_: EventType::Warning,
        reason: ConditionReason::Contested.code().into(),
        note: Some(format!(
            "others changed lsm-ready's labels, taints or condition {changes} times after \
             lsm-ready had written them, so lsm-ready waits up to five minutes before it writes \
             them again; find out who writes them: kubectl get node {} -o yaml \
             --show-managed-fields",
            node.name_any()
        )),
        action: "Write".into(),
        secondary: None,
    };
    match ctx.events.publish(&event, &node.object_ref(&())).await {
        Ok(()) => ctx.metrics.wrote("Event"),
        Err(error) => warn!(node = node.name_any(), %error, "event not published"),
    }
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

/// Labels and taints as one merge patch. With the resourceVersion that we saw it cannot drop a taint
/// that someone else adds meanwhile, and a leader that is none any more cannot undo what the new one
/// wrote.
fn metadata_patch(node: &Node, plan: &Plan) -> Option<Value> {
    if plan.labels.is_empty() && plan.taints.is_none() {
        return None;
    }
    let mut patch = json!({"metadata": precondition(node, node.resource_version().as_deref())});
    if !plan.labels.is_empty() {
        patch["metadata"]["labels"] = json!(plan.labels);
    }
    if let Some(taints) = &plan.taints {
        patch["spec"] = json!({ "taints": taints });
    }
    Some(patch)
}

/// The condition as a strategic merge patch, which merges conditions by their type.
fn status_patch(node: &Node, version: Option<&str>, plan: &Plan) -> Option<Value> {
    let condition = plan.condition.as_ref()?;
    let metadata = precondition(node, version);
    Some(json!({"metadata": metadata, "status": {"conditions": [condition]}}))
}

fn precondition(node: &Node, version: Option<&str>) -> Value {
    json!({"uid": node.metadata.uid, "resourceVersion": version})
}

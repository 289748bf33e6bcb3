//! Writes a node plan. No other module changes Nodes.
//!
//! The API server takes labels in a patch of a Node's status too, so that labels and condition
//! change together, by one write. A server that left the labels out would get them by the next
//! reconcile, which finds nothing else to write.

use http::HeaderValue;
use http::header::ACCEPT;
use k8s_openapi::api::core::v1::Node;
use kube::api::{Patch, PatchParams};
use kube::core::Request;
use kube::{Resource, ResourceExt};
use kube_runtime::events::{Event, EventType};
use lsm_ready_crds::ConditionReason;
use lsm_ready_crds::names::{FIELD_MANAGER, NODE_CONDITION, NODE_LABEL_PREFIX};
use serde::Deserialize;
use serde_json::{Value, json};
use tracing::{debug, info, warn};

use crate::context::Context;
use crate::context::backoff::is_conflict;
use crate::context::lines::Line;
use crate::node::judge::conditions;
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

/// Writes what differs: a patch of the Node's status with the condition and the labels, so that they
/// always agree, and a patch of the Node where taints differ, which only that can change.
pub(super) async fn apply(node: &Node, plan: &Plan, ctx: &Context) -> Result<Outcome, Error> {
    let mut write = Write { node, ctx, version: node.resource_version(), left: Plan::default() };
    let mut of_node = Plan { condition: None, ..plan.clone() };
    if plan.condition.is_some() {
        let labels = std::mem::take(&mut of_node.labels);
        let of_status = Plan { labels, condition: plan.condition.clone(), ..Plan::default() };
        if !write.send(Some("status"), &of_status).await? {
            return Ok(conflict(ctx));
        }
    }
    if (!of_node.labels.is_empty() || of_node.taints.is_some())
        && !write.send(None, &of_node).await?
    {
        return Ok(conflict(ctx));
    }
    if !plan.labels.is_empty() || plan.taints.is_some() {
        log(node, plan, ctx);
    }
    Ok(Outcome::Done)
}

/// The writes to one Node.
struct Write<'a> {
    node: &'a Node,
    ctx: &'a Context,
    /// The resourceVersion that the next write is based on.
    version: Option<String>,
    /// What has been written.
    left: Plan,
}

/// The answer to a write, without what the operator knows already.
#[derive(Deserialize)]
struct Written {
    metadata: WrittenMetadata,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WrittenMetadata {
    resource_version: Option<String>,
}

/// Asks for the metadata of what was written only: a Node has 12 kB and more.
const METADATA: HeaderValue =
    HeaderValue::from_static("application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1");

impl Write<'_> {
    /// Writes a part of a plan to the Node, or to its status. Returns whether the Node was still as
    /// it had been seen.
    async fn send(&mut self, subresource: Option<&str>, part: &Plan) -> Result<bool, Error> {
        let name = self.node.name_any();
        let sent = async {
            let request = self.request(&name, subresource, part);
            let mut request = request.map_err(kube::Error::BuildRequest)?;
            request.headers_mut().insert(ACCEPT, METADATA);
            self.ctx.client.request::<Written>(request).await
        };
        let written = match (sent.await, subresource) {
            (Ok(written), _) => written,
            (Err(error), _) if is_conflict(&error) => return Ok(false),
            (Err(error), None) => return Err(Error::Patch(name, Box::new(error))),
            (Err(error), Some(_)) => return Err(Error::Status(name, Box::new(error))),
        };
        self.version = written.metadata.resource_version;
        self.left.add(part);
        let Self { node, ctx, .. } = *self;
        ctx.metrics.wrote(if subresource.is_none() { "Node" } else { "Node/status" });
        ctx.contests.wrote(node, &self.left, self.version.as_deref(), (ctx.instant)());
        ctx.forget_if_gone(node);
        Ok(true)
    }

    fn request(
        &self,
        name: &str,
        subresource: Option<&str>,
        part: &Plan,
    ) -> Result<http::Request<Vec<u8>>, kube::core::request::Error> {
        let params =
            PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
        let request = Request::new(Node::url_path(&(), None));
        let body = body(self.node, self.version.as_deref(), part);
        match subresource {
            None => request.patch(name, &params, &Patch::Merge(body)),
            Some(status) => {
                request.patch_subresource(status, name, &params, &Patch::Strategic(body))
            }
        }
    }
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

fn log(node: &Node, plan: &Plan, ctx: &Context) {
    let (node, changes) = (node.name_any(), summary(plan));
    let line = ctx.node_lines.next((ctx.instant)());
    if line == Line::LeaveOut {
        debug!(node, changes, "node changed");
        return;
    }
    info!(node, changes, "node changed");
    if line == Line::LogAsLast {
        info!("many nodes change: more lines are left out for a minute; --log debug has them");
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

/// The body of a patch. As a merge patch it replaces the list of taints; as a strategic merge patch
/// it merges conditions by their type; of several with our type, one is left. With the
/// resourceVersion that was seen it cannot drop a taint that someone else adds meanwhile, and a
/// leader that is none any more cannot undo what the new one wrote.
fn body(node: &Node, version: Option<&str>, part: &Plan) -> Value {
    let mut body = json!({"metadata": {"uid": node.metadata.uid, "resourceVersion": version}});
    if !part.labels.is_empty() {
        body["metadata"]["labels"] = json!(part.labels);
    }
    if let Some(taints) = &part.taints {
        body["spec"] = json!({ "taints": taints });
    }
    if let Some(condition) = &part.condition {
        let ours = json!(condition);
        let all = json!({"type": NODE_CONDITION, "$patch": "delete"});
        let several = conditions(node).count() > 1;
        body["status"] = json!({"conditions": if several { vec![all, ours] } else { vec![ours] }});
    }
    body
}

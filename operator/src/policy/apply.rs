//! Writes a policy's status, and an Event where Ready changed.

use kube::api::{Patch, PatchParams};
use kube::{Api, Resource, ResourceExt};
use kube_runtime::events::{Event, EventType};
use lsm_ready_crds::conditions::{READY, find};
use lsm_ready_crds::names::FIELD_MANAGER;
use lsm_ready_crds::{LsmPolicy, LsmPolicyStatus};
use serde_json::json;
use tracing::{info, warn};

use crate::context::Context;

#[derive(Debug, thiserror::Error)]
#[error("writing the status of LsmPolicy {0}: {1}")]
pub struct Error(String, #[source] Box<kube::Error>);

impl Error {
    /// The value of the metrics' label `outcome`.
    pub const fn reason(&self) -> &'static str {
        "status"
    }
}

/// Applies the status where it differs. Only the operator writes it, so the apply is forced.
pub(super) async fn apply(
    policy: &LsmPolicy,
    status: LsmPolicyStatus,
    ctx: &Context,
) -> Result<(), Error> {
    if policy.status.as_ref() == Some(&status) {
        return Ok(());
    }
    let name = policy.name_any();
    let patch = json!({
        "apiVersion": LsmPolicy::api_version(&()),
        "kind": LsmPolicy::kind(&()),
        "metadata": {"name": name, "uid": policy.metadata.uid},
        "status": status,
    });
    Api::<LsmPolicy>::all(ctx.client.clone())
        .patch_status(&name, &PatchParams::apply(FIELD_MANAGER).force(), &Patch::Apply(patch))
        .await
        .map_err(|error| Error(name.clone(), Box::new(error)))?;
    ctx.metrics.wrote("LsmPolicy/status");
    info!(policy = name, nodes = status.nodes.summary, "policy status changed");
    announce(policy, &status, ctx).await;
    Ok(())
}

/// Publishes an Event where Ready changed. A new policy counts as Unknown before. If the Event
/// cannot be published, that is only logged, because the status has the same content.
async fn announce(policy: &LsmPolicy, status: &LsmPolicyStatus, ctx: &Context) {
    let before = policy.status.as_ref().and_then(|status| find(&status.conditions, READY));
    let Some(after) = find(&status.conditions, READY).cloned() else {
        return;
    };
    if before.map_or("Unknown", |before| before.status.as_str()) == after.status {
        return;
    }
    let event = Event {
        type_: if after.status == "True" { EventType::Normal } else { EventType::Warning },
        reason: after.reason,
        note: Some(after.message),
        action: "Evaluate".into(),
        secondary: None,
    };
    match ctx.events.publish(&event, &policy.object_ref(&())).await {
        Ok(()) => ctx.metrics.wrote("Event"),
        Err(error) => warn!(policy = policy.name_any(), %error, "event not published"),
    }
}

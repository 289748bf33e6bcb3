//! Writes a policy's status, and an Event where Ready changed.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{Patch, PatchParams};
use kube::{Api, Resource, ResourceExt};
use kube_runtime::events::{Event, EventType};
use lsm_ready_crds::conditions::{CHANGES_HELD, READY, find};
use lsm_ready_crds::names::FIELD_MANAGER;
use lsm_ready_crds::text::truncate;
use lsm_ready_crds::{LsmPolicy, LsmPolicyStatus};
use serde::Serialize;
use serde_json::{Value, json};
use tracing::{info, warn};

use crate::breaker::{CLOSED, MAX_NOTE};
use crate::context::Context;
use crate::context::backoff::is_conflict;

#[derive(Debug, thiserror::Error)]
#[error("writing the status of LsmPolicy {0}: {1}")]
pub struct Error(String, #[source] Box<kube::Error>);

impl Error {
    /// The value of the metrics' label `outcome`.
    pub const fn reason(&self) -> &'static str {
        "status"
    }
}

/// What became of a write.
pub(super) enum Outcome {
    Done,
    /// The policy was changed since it was seen.
    Conflict,
}

/// Applies the status where it differs. Only the operator writes it, so the apply is forced.
pub(super) async fn apply(
    policy: &LsmPolicy,
    status: LsmPolicyStatus,
    ctx: &Context,
) -> Result<Outcome, Error> {
    if policy.status.as_ref() == Some(&status) {
        return Ok(Outcome::Done);
    }
    let name = policy.name_any();
    let patch = status_patch(&policy.metadata, &status);
    let written = Api::<LsmPolicy>::all(ctx.client.clone())
        .patch_status(&name, &PatchParams::apply(FIELD_MANAGER).force(), &Patch::Apply(patch))
        .await;
    let written = match written {
        Ok(written) => written,
        Err(error) if is_conflict(&error) => {
            ctx.metrics.conflicted("LsmPolicy");
            return Ok(Outcome::Conflict);
        }
        Err(error) => return Err(Error(name, Box::new(error))),
    };
    let (uid, version) = (policy.uid().unwrap_or_default(), written.resource_version());
    ctx.rate_limit.wrote(&uid, version.as_deref(), (ctx.instant)());
    ctx.metrics.wrote("LsmPolicy/status");
    info!(policy = name, nodes = status.nodes.summary, "policy status changed");
    announce(policy, &status, ctx).await;
    Ok(Outcome::Done)
}

/// The object of a server-side apply of a policy's status, with the version that was seen.
pub(crate) fn status_patch(seen: &ObjectMeta, status: &impl Serialize) -> Value {
    json!({
        "apiVersion": LsmPolicy::api_version(&()),
        "kind": LsmPolicy::kind(&()),
        "metadata": {"name": seen.name, "uid": seen.uid, "resourceVersion": seen.resource_version},
        "status": status,
    })
}

/// Publishes an Event where Ready changed, and one where the circuit breaker opened or closed.
async fn announce(policy: &LsmPolicy, status: &LsmPolicyStatus, ctx: &Context) {
    for event in ready_event(policy, status).into_iter().chain(breaker_event(policy, status)) {
        // If the Event cannot be published, that is only logged: the status has the same content.
        match ctx.events.publish(&event, &policy.object_ref(&())).await {
            Ok(()) => ctx.metrics.wrote("Event"),
            Err(error) => warn!(policy = policy.name_any(), %error, "event not published"),
        }
    }
}

fn breaker_event(policy: &LsmPolicy, status: &LsmPolicyStatus) -> Option<Event> {
    let held = |status: &LsmPolicyStatus| {
        find(&status.conditions, CHANGES_HELD).filter(|held| held.status == "True").cloned()
    };
    let (type_, reason, note) = match (policy.status.as_ref().and_then(held), held(status)) {
        (None, Some(held)) => (EventType::Warning, "BreakerOpened", held.message),
        (Some(_), None) => (EventType::Normal, "BreakerClosed", CLOSED.to_owned()),
        (None, None) | (Some(_), Some(_)) => return None,
    };
    let note = Some(truncate(&note, MAX_NOTE));
    Some(Event { type_, reason: reason.into(), note, action: "Hold".into(), secondary: None })
}

/// An Event where Ready changed. A new policy counts as Unknown before.
fn ready_event(policy: &LsmPolicy, status: &LsmPolicyStatus) -> Option<Event> {
    let before = policy.status.as_ref().and_then(|status| find(&status.conditions, READY));
    let after = find(&status.conditions, READY).cloned()?;
    if before.map_or("Unknown", |before| before.status.as_str()) == after.status {
        return None;
    }
    Some(Event {
        type_: if after.status == "True" { EventType::Normal } else { EventType::Warning },
        reason: after.reason,
        note: Some(after.message),
        action: "Evaluate".into(),
        secondary: None,
    })
}

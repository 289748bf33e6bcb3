//! The Event about hook profiles with a false name: which node published them.
//!
//! An Event is published at most once a minute, because one node can publish thousands of false
//! profiles. The metric counts all of them.

use std::time::Duration;

use k8s_openapi::api::core::v1::ObjectReference;
use kube::Resource;
use kube_runtime::events::{Event, EventType};
use lsm_ready_crds::LsmHookProfile;
use lsm_ready_crds::text::truncate;
use tokio::time::Instant;
use tracing::warn;

use super::Memory;
use super::plan::{Deletion, Why};
use crate::context::Context;

/// Shortest time between two Events.
const INTERVAL: Duration = Duration::from_mins(1);
/// Maximum length of a node's name in the note: that of a Node.
const MAX_NODE: usize = 253;

/// Publishes an Event about the first false profile, unless there was one recently. If it cannot be
/// published, that is only logged.
pub(super) async fn publish(
    deleted: &[Deletion],
    memory: &mut Memory,
    now: Instant,
    ctx: &Context,
) {
    let mut lies = deleted.iter().filter(|deletion| deletion.why == Why::FalseName);
    let Some(first) = lies.next() else { return };
    let is_recent = |told: Instant| now.saturating_duration_since(told) < INTERVAL;
    if memory.told.is_some_and(is_recent) {
        return;
    }
    memory.told = Some(now);
    let note = note(first, lies.count());
    warn!(profile = first.name, node = first.node, "{note}");
    let event = Event {
        type_: EventType::Warning,
        reason: "FalseHookProfile".to_owned(),
        note: Some(note),
        action: "Delete".to_owned(),
        secondary: None,
    };
    let about = ObjectReference {
        api_version: Some(LsmHookProfile::api_version(&()).into_owned()),
        kind: Some(LsmHookProfile::kind(&()).into_owned()),
        name: Some(first.name.clone()),
        uid: Some(first.uid.clone()),
        ..ObjectReference::default()
    };
    match ctx.events.publish(&event, &about).await {
        Ok(()) => ctx.metrics.wrote("Event"),
        Err(error) => warn!(profile = first.name, %error, "event not published"),
    }
}

fn note(first: &Deletion, others: usize) -> String {
    let node = first.node.as_deref().map_or_else(
        || "by an unknown node".to_owned(),
        |node| format!("by node {:?}", truncate(node, MAX_NODE)),
    );
    let others = match others {
        0 => String::new(),
        others => format!(" {others} others were deleted with it."),
    };
    let held = if first.has_finalizers {
        " Its finalizers keep it: remove them, because the true profile needs the name."
    } else {
        ""
    };
    format!(
        "the profile was published {node}, and its name is not the digest of its content, so it \
         was deleted.{others}{held} Find out who wrote it: no probe of lsm-ready does that"
    )
}

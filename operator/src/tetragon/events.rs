//! Kubernetes Events on the DaemonSet, for those who look there and not at the policies: what was
//! changed, and that the mount is contested. The policies' status says the same, so an Event that
//! cannot be published is only logged.

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::DaemonSet;
use kube::Resource;
use kube_runtime::events::{Event, EventType};
use lsm_ready_crds::ConditionReason;
use tracing::warn;

use super::rollout::agents::Agent;
use super::state::DaemonSetState;
use super::write::Write;
use crate::context::Context;
use crate::watch::key::DaemonSetKey;

/// The DaemonSet was changed.
pub(super) fn written(write: &Write) -> Event {
    match write {
        Write::Mount { container } => {
            let note = format!("added the host's securityfs, read-only, to container {container}");
            event(EventType::Normal, "SecurityfsMounted", note)
        }
        Write::Remove => {
            let note = "removed the mount of securityfs that lsm-ready had added";
            event(EventType::Normal, "SecurityfsRemoved", note.to_owned())
        }
        Write::TakeBack { cause, .. } => {
            let note = format!(
                "removed the mount of securityfs again, because an agent could not be created with \
                 it: {cause}. lsm-ready adds it again when the pod template or the policy's \
                 request changes"
            );
            event(EventType::Warning, "SecurityfsTakenBack", note)
        }
    }
}

/// A stale agent was evicted.
pub(super) fn restarted(agent: &Agent, since: Timestamp) -> Event {
    let note = format!(
        "evicted pod {} on {}: its agent was started before the node could deny through LSM BPF \
         (since {since:.0})",
        agent.pod, agent.node
    );
    event(EventType::Normal, "StaleAgentRestarted", note)
}

/// The mount is contested since this reconcile.
pub(super) fn contested(before: &DaemonSetState, after: &DaemonSetState) -> Option<Event> {
    let until = after.reverts.paused_until().filter(|_| before.reverts.paused_until().is_none())?;
    let note = format!(
        "another manager keeps removing the mount of securityfs; lsm-ready pauses until {until:.0}"
    );
    Some(event(EventType::Warning, ConditionReason::Contested.code(), note))
}

fn event(type_: EventType, reason: &str, note: String) -> Event {
    Event {
        type_,
        reason: reason.to_owned(),
        note: Some(note),
        action: "Apply".to_owned(),
        secondary: None,
    }
}

/// Publishes an Event on the DaemonSet.
pub(super) async fn publish(event: &Event, daemon_set: &DaemonSet, ctx: &Context) {
    let key = DaemonSetKey::of(daemon_set);
    if event.type_ == EventType::Warning {
        warn!(daemon_set = %key, reason = event.reason, note = event.note, "warning event");
    }
    match ctx.events.publish(event, &daemon_set.object_ref(&())).await {
        Ok(()) => ctx.metrics.wrote("Event"),
        Err(error) => warn!(daemon_set = %key, %error, "event not published"),
    }
}

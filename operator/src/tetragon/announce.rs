//! Events on the DaemonSet itself, for those who look there and not at the policies: what was changed, and that it is
//! contested. The policies' status says the same, so an Event that is lost is only logged.

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::DaemonSet;
use kube::Resource;
use kube_runtime::events::{Event, EventType};
use lsm_ready_crds::ConditionReason;
use tracing::warn;

use super::memory::Remembered;
use super::rollout::agents::Agent;
use super::step::Write;
use crate::context::Context;
use crate::watch::key::DaemonSetKey;

/// An Event about what was written.
pub(super) fn written(write: &Write) -> Event {
    match write {
        Write::Mount { container } => {
            let note = format!("added the host's securityfs, read-only, to container {container}");
            event(EventType::Normal, "SecurityfsMounted", note)
        }
        Write::GiveBack => {
            let note = "took out the mount of securityfs that lsm-ready had added";
            event(EventType::Normal, "SecurityfsGivenBack", note.to_owned())
        }
        Write::TakeBack { said, .. } => {
            let note = format!(
                "took back the mount of securityfs, as an agent could not be created with it: {said}. It is added again when the \
                 pod template or the policy's wish changes"
            );
            event(EventType::Warning, "SecurityfsTakenBack", note)
        }
    }
}

/// An Event about an agent that was restarted.
pub(super) fn restarted(agent: &Agent, since: Timestamp) -> Event {
    let note = format!(
        "evicted pod {} on {}, which was started before its node could deny through LSM BPF (since {since:.0})",
        agent.pod, agent.node
    );
    event(EventType::Normal, "StaleAgentRestarted", note)
}

/// An Event where a contest has just begun.
pub(super) fn contested(before: &Remembered, after: &Remembered) -> Option<Event> {
    let until = after.contest.paused_until().filter(|_| before.contest.paused_until().is_none())?;
    let note = format!(
        "the mount of securityfs is taken out again and again; lsm-ready pauses until {until:.0}"
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

/// Publishes it.
pub(super) async fn publish(event: &Event, daemon_set: &DaemonSet, ctx: &Context) {
    if event.type_ == EventType::Warning {
        warn!(daemon_set = %DaemonSetKey::of(daemon_set), reason = event.reason, note = event.note, "told in an event");
    }
    match ctx.events.publish(event, &daemon_set.object_ref(&())).await {
        Ok(()) => ctx.metrics.wrote("Event"),
        Err(error) => {
            warn!(daemon_set = %DaemonSetKey::of(daemon_set), %error, "event not published");
        }
    }
}

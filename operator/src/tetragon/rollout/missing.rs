//! Whether our mount keeps agents' pods from being made at all: Pod Security, a quota or a webhook
//! forbids them. Such a pod leaves nothing but an Event on the DaemonSet.
//!
//! ## Flow
//! a mount of ours, and fewer pods than nodes → the DaemonSet's Events `FailedCreate` → the newest
//! one that the mount caused.
//!
//! ## Guarantees
//! A refusal that names our volume is caused by the mount. Any other refusal counts only where it
//! began after we had written the present pod template: that rollout is ours, it deletes agents,
//! and no new ones come. None counts while there is an agent with our mount: it shows that such
//! pods can be made. Many may write Events, every kubelet among them, and an Event does not prove
//! who wrote it.
//!
//! ## Errors
//! Without the right to list Events, nothing is known, and the mount stays.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Event;
use kube::api::ListParams;
use kube::{Api, Client, ResourceExt};
use lsm_ready_crds::names::SECURITYFS_VOLUME;
use lsm_ready_crds::text::printable;
use tracing::debug;

use super::agents::Agent;
use crate::tetragon::observe::Observation;

/// Events that are read. The API server merges equal ones, so there are few.
const LIMIT: u32 = 50;
/// Longest text of a refusal in a condition.
const MAX_CHARS: usize = 400;

/// Why pods with our mount cannot be made, in the DaemonSet controller's words. None where pods are
/// there, or where the mount is not the cause.
pub(super) async fn blame(
    observed: &Observation<'_>,
    agents: &[Agent],
    wrote: Option<Timestamp>,
    client: &Client,
) -> Option<String> {
    let has_mount = observed.agent.as_ref().is_some_and(|template| template.has_our_label);
    let mount_exists = agents.iter().any(|agent| agent.has_ours);
    if !has_mount || mount_exists || !lacks_pods(observed, agents) {
        return None;
    }
    let events = Api::<Event>::namespaced(client.clone(), &observed.key.namespace);
    let uid = observed.daemon_set.uid().unwrap_or_default();
    let failed = format!("involvedObject.uid={uid},reason=FailedCreate");
    match events.list(&ListParams::default().fields(&failed).limit(LIMIT)).await {
        Ok(events) => caused_by_mount(&events.items, wrote),
        Err(error) => {
            debug!(daemon_set = %observed.key, %error, "events not listed");
            None
        }
    }
}

/// Fewer pods exist than there are nodes for them.
fn lacks_pods(observed: &Observation<'_>, agents: &[Agent]) -> bool {
    let staying = agents.iter().filter(|agent| agent.gone_by.is_none()).count();
    let desired = observed.rollout.counts.map_or(0, |counts| counts.desired);
    usize::try_from(desired).is_ok_and(|desired| staying < desired)
}

/// The newest refusal that the mount caused.
fn caused_by_mount(events: &[Event], wrote: Option<Timestamp>) -> Option<String> {
    let is_cause = |event: &&Event| {
        let message = event.message.as_deref().unwrap_or_default();
        let names_ours = message.contains(SECURITYFS_VOLUME);
        let refused = message.contains("is forbidden") || message.contains("denied the request");
        match wrote {
            Some(wrote) => {
                last(event) >= Some(wrote) && (names_ours || refused && first(event) >= Some(wrote))
            }
            None => names_ours,
        }
    };
    let newest = events.iter().filter(is_cause).max_by_key(|event| last(event))?;
    let message = newest.message.as_deref().unwrap_or_default();
    Some(printable(message, MAX_CHARS))
}

/// When it was first seen. Times of the older form have whole seconds, so they are rounded up: an
/// Event of the second in which we wrote may follow from the write.
fn first(event: &Event) -> Option<Timestamp> {
    let old = event.first_timestamp.as_ref().map(|time| end_of_second(time.0));
    old.or_else(|| event.event_time.as_ref().map(|time| time.0))
}

/// When it was last seen.
fn last(event: &Event) -> Option<Timestamp> {
    let series = event.series.as_ref().and_then(|series| series.last_observed_time.as_ref());
    let old = event.last_timestamp.as_ref().map(|time| end_of_second(time.0));
    series.map(|time| time.0).or(old).or_else(|| first(event))
}

fn end_of_second(time: Timestamp) -> Timestamp {
    time.checked_add(jiff::SignedDuration::from_millis(999)).unwrap_or(time)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const PSA: &str = "Error creating: pods \"tetragon-x\" is forbidden: violates PodSecurity \
        \"restricted:latest\": hostPath volumes (volume \"lsm-ready-securityfs\")";
    const QUOTA: &str = "Error creating: pods \"tetragon-x\" is forbidden: exceeded quota: small";
    const OUTAGE: &str = "Error creating: Internal error occurred: etcd is away";

    fn event(message: &str, first: &str, last: &str) -> Event {
        let object = json!({"metadata": {}, "involvedObject": {}, "reason": "FailedCreate",
            "message": message, "firstTimestamp": first, "lastTimestamp": last});
        serde_json::from_value(object).unwrap()
    }

    const WROTE: &str = "2026-01-01T00:10:00.5Z";
    const BEFORE: &str = "2026-01-01T00:09:00Z";
    const SAME_SECOND: &str = "2026-01-01T00:10:00Z";
    const AFTER: &str = "2026-01-01T00:11:00Z";

    #[test]
    fn a_refusal_after_our_write_is_blamed_on_the_mount() {
        let wrote: Option<Timestamp> = Some(WROTE.parse().unwrap());
        for (message, first, last, expected) in [
            (PSA, AFTER, AFTER, true),
            (PSA, SAME_SECOND, SAME_SECOND, true),
            (PSA, BEFORE, AFTER, true),
            (PSA, BEFORE, BEFORE, false),
            (QUOTA, AFTER, AFTER, true),
            (QUOTA, BEFORE, AFTER, false),
            (OUTAGE, AFTER, AFTER, false),
        ] {
            let found = caused_by_mount(&[event(message, first, last)], wrote);
            assert_eq!(found.is_some(), expected, "{message} {first} {last}");
        }
    }

    #[test]
    fn after_a_restart_only_a_refusal_that_names_our_volume_counts() {
        for (message, expected) in [(PSA, true), (QUOTA, false)] {
            let found = caused_by_mount(&[event(message, BEFORE, AFTER)], None);
            assert_eq!(found.is_some(), expected, "{message}");
        }
    }

    #[test]
    fn the_newest_refusal_is_told_in_printable_characters() {
        let newest = format!("{PSA}\u{1b}[31m\n\u{202e}\u{e0041}");
        let events = [event(PSA, BEFORE, BEFORE), event(&newest, AFTER, AFTER)];
        let told = caused_by_mount(&events, None).unwrap();
        assert!(told.contains("[31m"), "{told}");
        assert_eq!(told, printable(&told, MAX_CHARS));
    }
}

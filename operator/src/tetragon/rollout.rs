//! How far a DaemonSet has come in giving every node an agent of its present pod template.
//!
//! In: the DaemonSet. Out: the condition `TetragonRolledOut`; Unknown while agents are being replaced, which ends by
//! itself, and False where somebody has to act.

use k8s_openapi::api::apps::v1::{DaemonSet, DaemonSetStatus};
use kube::ResourceExt;
use lsm_ready_crds::conditions::{Finding, Status, TETRAGON_ROLLED_OUT};
use lsm_ready_tetragon::reason;

use crate::key::DaemonSetKey;

/// The condition.
#[must_use]
pub fn rollout(daemon_set: &DaemonSet) -> Finding {
    let key = DaemonSetKey::of(daemon_set);
    let found =
        |status: Status, reason: &str, message: String| Finding::new(TETRAGON_ROLLED_OUT, status, reason, message);
    // The counts are of the generation that the DaemonSet controller has seen.
    let status = daemon_set.status.as_ref();
    let seen = status.and_then(|status| status.observed_generation).unwrap_or_default();
    let Some(status) = status.filter(|_| seen >= daemon_set.metadata.generation.unwrap_or_default()) else {
        let message = format!("the change of DaemonSet {key} has not been taken up yet");
        return found(Status::Unknown, reason::ROLLING_OUT, message);
    };
    let Counts { desired, updated, available } = Counts::of(status);
    if desired == 0 {
        let message =
            format!("DaemonSet {key} selects no node: compare its nodeSelector and tolerations with the nodes");
        return found(Status::False, reason::NO_AGENTS, message);
    }
    if updated < desired && on_delete(daemon_set) {
        return found(Status::False, reason::ON_DELETE, delete_pods(daemon_set, updated, desired));
    }
    if updated < desired {
        let message = format!("{updated} of {desired} agents run the present pod template, {available} are available");
        return found(Status::Unknown, reason::ROLLING_OUT, message);
    }
    if available < desired {
        let message = format!("all {desired} agents run the present pod template, {available} are available");
        return found(Status::Unknown, reason::NOT_AVAILABLE, message);
    }
    let message = format!("all {desired} agents run the present pod template and are available");
    found(Status::True, reason::ROLLED_OUT, message)
}

struct Counts {
    desired: i32,
    updated: i32,
    available: i32,
}

impl Counts {
    fn of(status: &DaemonSetStatus) -> Self {
        Self {
            desired: status.desired_number_scheduled,
            updated: status.updated_number_scheduled.unwrap_or_default(),
            available: status.number_available.unwrap_or_default(),
        }
    }
}

fn on_delete(daemon_set: &DaemonSet) -> bool {
    let strategy = daemon_set.spec.as_ref().and_then(|spec| spec.update_strategy.as_ref());
    strategy.and_then(|strategy| strategy.type_.as_deref()) == Some("OnDelete")
}

fn delete_pods(daemon_set: &DaemonSet, updated: i32, desired: i32) -> String {
    let labels = daemon_set.spec.as_ref().and_then(|spec| spec.selector.match_labels.as_ref());
    let selector: Vec<String> = labels.into_iter().flatten().map(|(key, value)| format!("{key}={value}")).collect();
    format!(
        "{updated} of {desired} agents run the present pod template; the update strategy is OnDelete, so delete the \
         others' pods, a few at a time: kubectl -n {} get pods -l {}",
        daemon_set.namespace().unwrap_or_default(),
        selector.join(",")
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn daemon_set(strategy: &str, counts: Option<[i32; 3]>) -> DaemonSet {
        let mut object = json!({
            "metadata": {"namespace": "kube-system", "name": "tetragon", "generation": 2},
            "spec": {
                "selector": {"matchLabels": {"app": "tetragon"}},
                "template": {},
                "updateStrategy": {"type": strategy},
            },
        });
        if let Some([desired, updated, available]) = counts {
            object["status"] = json!({
                "currentNumberScheduled": desired, "numberMisscheduled": 0, "numberReady": available,
                "desiredNumberScheduled": desired, "updatedNumberScheduled": updated, "numberAvailable": available,
                "observedGeneration": 2,
            });
        }
        serde_json::from_value(object).unwrap()
    }

    #[test]
    fn each_state_has_its_reason() {
        let table = [
            ("RollingUpdate", None, Status::Unknown, reason::ROLLING_OUT),
            ("RollingUpdate", Some([0, 0, 0]), Status::False, reason::NO_AGENTS),
            ("RollingUpdate", Some([3, 1, 2]), Status::Unknown, reason::ROLLING_OUT),
            ("RollingUpdate", Some([3, 3, 2]), Status::Unknown, reason::NOT_AVAILABLE),
            ("RollingUpdate", Some([3, 3, 3]), Status::True, reason::ROLLED_OUT),
            ("OnDelete", Some([3, 1, 3]), Status::False, reason::ON_DELETE),
            ("OnDelete", Some([3, 3, 3]), Status::True, reason::ROLLED_OUT),
        ];
        for (strategy, counts, status, reason) in table {
            let finding = rollout(&daemon_set(strategy, counts));
            assert_eq!((finding.status, finding.reason.as_str()), (status, reason), "{strategy} {counts:?}");
        }
    }

    #[test]
    fn counts_of_an_older_generation_say_nothing() {
        let mut changed = daemon_set("RollingUpdate", Some([3, 3, 3]));
        changed.metadata.generation = Some(3);
        assert_eq!(rollout(&changed).status, Status::Unknown);
    }

    #[test]
    fn on_delete_says_which_pods() {
        let message = rollout(&daemon_set("OnDelete", Some([3, 1, 3]))).message;
        assert!(message.contains("kubectl -n kube-system get pods -l app=tetragon"), "{message}");
    }
}

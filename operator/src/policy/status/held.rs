//! The conditions `ChangesHeld` and `TaintStaged`. Pure.

use std::collections::BTreeMap;

use lsm_ready_crds::conditions::{CHANGES_HELD, Finding, TAINT_STAGED};
use lsm_ready_crds::names::{BREAKER_ANNOTATION, BREAKER_RELEASE};
use lsm_ready_crds::{ConditionReason, State};

use crate::breaker::ReleasedBy;
use crate::breaker::decide::{Holding, Limit, Losses};
use crate::policy::spec_change::Stage;
use crate::run::lease::LEASE;

/// What the circuit breaker does, for the status of every policy.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Breaking {
    pub limit: Limit,
    /// What is held. None while the breaker is closed.
    pub holding: Option<Holding>,
    /// Where a person releases held changes.
    pub released_by: Option<ReleasedBy>,
}

impl Breaking {
    /// The condition, where something is held or released.
    pub fn finding(&self, policy: &str) -> Option<Finding> {
        if let Some(holding) = &self.holding {
            let how = format!("lsmpolicy {policy} {BREAKER_ANNOTATION}={BREAKER_RELEASE}");
            let message = held_message(holding, self.limit, &how);
            let reason = ConditionReason::BreakerOpen;
            return Some(Finding::new(CHANGES_HELD, State::Ready, reason, message));
        }
        let (what, object) = match self.released_by.as_ref()? {
            ReleasedBy::Policy(by) => (format!("LsmPolicy {by}"), format!("lsmpolicy {by}")),
            ReleasedBy::Lease(namespace) => {
                (format!("the Lease {LEASE}"), format!("-n {namespace} lease {LEASE}"))
            }
        };
        let message = format!(
            "no change of a node is held, because {what} has the annotation \
             {BREAKER_ANNOTATION}: {BREAKER_RELEASE}; when the nodes are as you want them, run: \
             kubectl annotate {object} {BREAKER_ANNOTATION}-"
        );
        let reason = ConditionReason::BreakerReleased;
        Some(Finding::new(CHANGES_HELD, State::NotReady, reason, message))
    }
}

/// What is held and why. `how`: what to annotate to release it, as kubectl's arguments.
pub fn held_message(holding: &Holding, limit: Limit, how: &str) -> String {
    let Holding { held, of_all, of_versions, reasons } = holding;
    let of_all = of_all.iter().map(|losses| format!("{} lost ready", count(*losses)));
    let of_versions = of_versions.iter().map(|(version, losses)| {
        format!("{} with the new probe {version} lost ready with it", count(*losses))
    });
    let why: Vec<String> = of_all.chain(of_versions).collect();
    format!(
        "labels, taints and condition of {held} nodes keep their values, because {} without a \
         reboot (limit {} %, at least {} nodes). Reasons: {}. Look at the probes first: kubectl \
         get lsmnodes; kubectl logs -n lsm-ready-system daemonset/lsm-ready-probe. The nodes \
         recover by themselves. If they really cannot deny any more, run: kubectl annotate {how}",
        why.join(", and "),
        limit.percent,
        limit.min_nodes,
        listed(reasons)
    )
}

fn count(Losses { nodes, of }: Losses) -> String {
    format!("{nodes} of {of} nodes")
}

/// The reasons, the most frequent first.
fn listed(reasons: &BTreeMap<&'static str, usize>) -> String {
    let mut sorted: Vec<_> = reasons.iter().collect();
    sorted.sort_by_key(|(reason, count)| (std::cmp::Reverse(**count), **reason));
    let texts: Vec<_> =
        sorted.into_iter().map(|(reason, count)| format!("{reason} on {count}")).collect();
    if texts.is_empty() { "none now".to_owned() } else { texts.join(", ") }
}

/// The condition that the taint goes on by tenths.
pub fn staged(stage: &Stage) -> Finding {
    let Stage { tainted, of, ends } = stage;
    let message = format!(
        "{tainted} of {of} nodes that need the taint have it, and one more tenth gets it each \
         minute until {ends}, because the policy is new or was changed; spec.taint.rollout: \
         AllAtOnce taints all of them now"
    );
    Finding::new(TAINT_STAGED, State::Ready, ConditionReason::TaintingByTenths, message)
}

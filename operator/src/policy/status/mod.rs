//! The status of an `LsmPolicy`. Pure.
//!
//! In: the policy, the verdicts of its nodes, what was found out about its DaemonSet, and what the
//! circuit breaker does. Out: the status. The counts tell the truth of the verdicts, also while
//! labels and taints are held.

pub mod held;

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use lsm_ready_crds::conditions::{
    self, CHANGES_HELD, Finding, NODES_READY, READY, RECONCILING, SECURITYFS_MOUNTED, STALLED,
    TAINT_STAGED, TETRAGON_HARDENED, TETRAGON_ROLLED_OUT, TRACING_POLICIES_ENFORCED,
    TRACING_POLICIES_LOADABLE,
};
use lsm_ready_crds::first_n;
use lsm_ready_crds::policy::{NodeCounts, ReasonCount};
use lsm_ready_crds::selection::{InvalidSpec, MinReady};
use lsm_ready_crds::verdict::Verdict;
use lsm_ready_crds::{ConditionReason, LsmPolicy, LsmPolicyStatus, State};

use crate::policy::spec_change::Next;
use crate::tetragon::condition::Findings;

use self::held::{Breaking, staged};

/// Maximum number of reasons in the status.
const MAX_REASONS: usize = 20;

/// The verdicts of the selected nodes, counted.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tally {
    ready: usize,
    not_ready: usize,
    unknown: usize,
    reasons: BTreeMap<String, ReasonCount>,
}

impl Tally {
    /// Counts one selected node.
    pub fn add(&mut self, node: &str, verdict: Verdict) {
        match verdict.state {
            State::Ready => {
                self.ready += 1;
                return;
            }
            State::NotReady => self.not_ready += 1,
            State::Unknown => self.unknown += 1,
        }
        // The fix is shown for all nodes with the reason, so it is never one node's own text.
        let Verdict { reason, fix, .. } = verdict.shared();
        let entry = self.reasons.entry(reason).or_insert_with_key(|reason| ReasonCount {
            reason: reason.clone(),
            ..ReasonCount::default()
        });
        entry.count += 1;
        // The names come first in sort order, so the order of counting does not change the status.
        if first_n::insert(&mut entry.sample, node.to_owned(), |a, b| a < b) == 0 {
            entry.fix = fix;
        }
    }

    /// From numbers that were counted before.
    pub fn new(ready: usize, not_ready: usize, unknown: usize, reasons: Vec<ReasonCount>) -> Self {
        let reasons = reasons.into_iter().map(|count| (count.reason.clone(), count)).collect();
        Self { ready, not_ready, unknown, reasons }
    }

    pub const fn selected(&self) -> usize {
        self.ready + self.not_ready + self.unknown
    }

    pub fn counts(&self) -> NodeCounts {
        NodeCounts {
            summary: format!("{}/{}", self.ready, self.selected()),
            selected: count(self.selected()),
            ready: count(self.ready),
            not_ready: count(self.not_ready),
            unknown: count(self.unknown),
        }
    }

    fn histogram(&self) -> Vec<ReasonCount> {
        let mut reasons: Vec<ReasonCount> = self.reasons.values().cloned().collect();
        reasons.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| a.reason.cmp(&b.reason)));
        reasons.truncate(MAX_REASONS);
        reasons
    }
}

fn count(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// What is known about a policy.
#[derive(Clone, Debug)]
pub enum Observation {
    Invalid(InvalidSpec),
    Valid(Box<Evaluation>),
}

/// What is known about a policy with a valid spec.
#[derive(Clone, Debug)]
pub struct Evaluation {
    pub tally: Tally,
    pub min_ready: MinReady,
    /// `TracingPoliciesLoadable`. No other condition depends on it: the nodes' verdicts already
    /// contain what the TracingPolicies require.
    pub loadable: Option<Finding>,
    /// The conditions about the DaemonSet, where the policy names one.
    pub tetragon: Option<Findings>,
    /// `TracingPoliciesEnforced`. No other condition depends on it.
    pub agents: Option<Finding>,
    /// How the present spec reaches the nodes.
    pub next: Next,
}

/// The status that the policy should have.
pub fn status(
    policy: &LsmPolicy,
    observation: &Observation,
    breaking: &Breaking,
    now: &Time,
) -> LsmPolicyStatus {
    let (mut found, nodes, reasons, spec_change) = match observation {
        Observation::Invalid(error) => (invalid(error), NodeCounts::default(), Vec::new(), None),
        Observation::Valid(evaluation) => {
            let Evaluation { tally, next, .. } = &**evaluation;
            (findings(evaluation), tally.counts(), tally.histogram(), next.change.clone())
        }
    };
    let name = policy.metadata.name.as_deref().unwrap_or_default();
    found.extend(breaking.finding(name));
    let old = policy.status.as_ref().map_or(&[][..], |status| &status.conditions);
    let generation = policy.metadata.generation;
    LsmPolicyStatus {
        observed_generation: generation,
        conditions: conditions::merge(old, &found, generation, now),
        nodes,
        reasons,
        spec_change,
    }
}

fn invalid(error: &InvalidSpec) -> Vec<Finding> {
    let message = error.to_string();
    vec![
        Finding::new(READY, State::NotReady, ConditionReason::InvalidSpec, &message),
        Finding::new(STALLED, State::Ready, ConditionReason::InvalidSpec, &message),
    ]
}

/// The conditions in their order in the status.
fn findings(evaluation: &Evaluation) -> Vec<Finding> {
    let Evaluation { tally, min_ready, loadable, tetragon, agents, next } = evaluation;
    let tetragon = tetragon.as_ref();
    let nodes = nodes_ready(tally, *min_ready);
    let mut found = vec![ready(&nodes, tetragon), nodes.clone()];
    found.extend(loadable.clone());
    if let Some(Findings { securityfs, rolled_out, hardened, .. }) = tetragon {
        found.extend([securityfs, rolled_out, hardened].map(Finding::clone));
    }
    found.extend(agents.clone());
    found.extend(next.stage.as_ref().map(staged));
    found.extend(tetragon.and_then(|tetragon| tetragon.stalled.clone()));
    found.extend(reconciling(&nodes, tetragon));
    found
}

fn nodes_ready(tally: &Tally, min_ready: MinReady) -> Finding {
    let selected = tally.selected();
    let required = min_ready.of(selected);
    let counts =
        format!("{} of {selected} selected nodes are ready, {required} required", tally.ready);
    let found =
        |status: State, reason, message: String| Finding::new(NODES_READY, status, reason, message);
    if selected == 0 {
        let message =
            "spec.nodeSelector matches no node; compare it with `kubectl get nodes --show-labels`";
        found(State::NotReady, ConditionReason::NoNodesSelected, message.to_owned())
    } else if tally.ready == selected && selected >= required {
        found(State::Ready, ConditionReason::AllNodesReady, counts)
    } else if tally.ready >= required {
        found(State::Ready, ConditionReason::EnoughNodesReady, counts)
    } else if tally.ready + tally.unknown >= required {
        let message = format!("{counts}; the state of {} is still unknown", tally.unknown);
        found(State::Unknown, ConditionReason::NodesUnknown, message)
    } else {
        let message = format!("{counts}; status.reasons says why the others are not ready");
        found(State::NotReady, ConditionReason::TooFewNodesReady, message)
    }
}

/// Reports the first condition that does not hold. NotReady goes before Unknown.
fn ready(nodes: &Finding, tetragon: Option<&Findings>) -> Finding {
    // With `mount: Never` the mount is the owner's business, and the policy can be ready without
    // it.
    let securityfs = tetragon
        .map(|tetragon| &tetragon.securityfs)
        .filter(|finding| finding.reason != ConditionReason::NotWanted);
    let rolled_out = tetragon.map(|tetragon| &tetragon.rolled_out);
    let unmet = [Some(nodes), securityfs, rolled_out]
        .into_iter()
        .flatten()
        .filter(|finding| finding.status != State::Ready);
    match unmet.min_by_key(|finding| finding.status == State::Unknown) {
        Some(finding) => Finding { type_: READY, ..finding.clone() },
        None => Finding::new(
            READY,
            State::Ready,
            ConditionReason::EnforcementReady,
            nodes.message.clone(),
        ),
    }
}

/// kstatus: present only while a change is in progress that ends by itself.
fn reconciling(nodes: &Finding, tetragon: Option<&Findings>) -> Option<Finding> {
    if tetragon.is_some_and(|tetragon| tetragon.stalled.is_some()) {
        return None;
    }
    let rolled_out = tetragon.map(|tetragon| &tetragon.rolled_out);
    let in_progress = [rolled_out, Some(nodes)]
        .into_iter()
        .flatten()
        .find(|finding| finding.status == State::Unknown)?;
    Some(Finding { type_: RECONCILING, status: State::Ready, ..in_progress.clone() })
}

/// Every condition, in the order of the status.
pub const TYPES: [&str; 11] = [
    READY,
    NODES_READY,
    TRACING_POLICIES_LOADABLE,
    SECURITYFS_MOUNTED,
    TETRAGON_ROLLED_OUT,
    TETRAGON_HARDENED,
    TRACING_POLICIES_ENFORCED,
    TAINT_STAGED,
    STALLED,
    RECONCILING,
    CHANGES_HELD,
];

#[cfg(test)]
mod tests;

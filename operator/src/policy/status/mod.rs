//! The status of an `LsmPolicy`: a pure function of the policy, the nodes it selects and what is known of Tetragon.

use lsm_ready_crds::ConditionReason;
use lsm_ready_crds::State;
use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use lsm_ready_crds::conditions::{
    self, Finding, NODES_READY, READY, RECONCILING, SECURITYFS_MOUNTED, STALLED, TETRAGON_HARDENED,
    TETRAGON_ROLLED_OUT, TRACING_POLICIES_ENFORCED, TRACING_POLICIES_LOADABLE,
};
use lsm_ready_crds::first_n;
use lsm_ready_crds::policy::{NodeCounts, ReasonCount};
use lsm_ready_crds::selection::{InvalidSpec, MinReady};
use lsm_ready_crds::verdict::Verdict;
use lsm_ready_crds::{LsmPolicy, LsmPolicyStatus};

use crate::tetragon::findings::Findings;

/// Longest histogram of reasons.
const MAX_REASONS: usize = 20;

/// Verdicts of the selected nodes, counted.
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
        let entry = self.reasons.entry(verdict.reason).or_insert_with_key(|reason| ReasonCount {
            reason: reason.clone(),
            ..ReasonCount::default()
        });
        entry.count += 1;
        // The first names in order, whatever the order in which nodes are counted: equal clusters, equal status.
        if first_n::insert(&mut entry.sample, node.to_owned(), |a, b| a < b) == 0 {
            entry.fix = verdict.fix;
        }
    }

    fn selected(&self) -> usize {
        self.ready + self.not_ready + self.unknown
    }

    fn counts(&self) -> NodeCounts {
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

/// What was found out about a policy.
#[derive(Clone, Debug)]
pub enum Observation {
    /// Its spec means nothing.
    Invalid(InvalidSpec),
    /// Its nodes, and its Tetragon where it names one.
    Evaluated {
        /// The verdicts of the selected nodes.
        tally: Tally,
        /// What `minReady` asks for.
        min_ready: MinReady,
        /// The condition about Tetragon's own policies.
        loadable: Option<Finding>,
        /// Conditions about the named DaemonSet.
        tetragon: Option<Box<Findings>>,
        /// What its agents say, where they are asked. It makes no other condition.
        agents: Option<Finding>,
    },
}

/// The status that this policy should have.
pub fn status(policy: &LsmPolicy, observation: &Observation, now: &Time) -> LsmPolicyStatus {
    let (found, nodes, reasons) = match observation {
        Observation::Invalid(error) => (invalid(error), NodeCounts::default(), Vec::new()),
        Observation::Evaluated { tally, min_ready, loadable, tetragon, agents } => {
            let found = evaluated(
                tally,
                *min_ready,
                loadable.as_ref(),
                tetragon.as_deref(),
                agents.as_ref(),
            );
            (found, tally.counts(), tally.histogram())
        }
    };
    let old = policy.status.as_ref().map_or(&[][..], |status| &status.conditions);
    let generation = policy.metadata.generation;
    LsmPolicyStatus {
        observed_generation: generation,
        conditions: conditions::merge(old, &found, generation, now),
        nodes,
        reasons,
    }
}

fn invalid(error: &InvalidSpec) -> Vec<Finding> {
    let message = error.to_string();
    vec![
        Finding::new(READY, State::NotReady, ConditionReason::InvalidSpec, &message),
        Finding::new(STALLED, State::Ready, ConditionReason::InvalidSpec, &message),
    ]
}

/// `TracingPoliciesLoadable` is a forecast: what is required of it is in the nodes' verdicts already.
fn evaluated(
    tally: &Tally,
    min_ready: MinReady,
    loadable: Option<&Finding>,
    tetragon: Option<&Findings>,
    agents: Option<&Finding>,
) -> Vec<Finding> {
    let nodes = nodes_ready(tally, min_ready);
    let mut found = vec![ready(&nodes, tetragon), nodes.clone()];
    found.extend(loadable.cloned());
    if let Some(tetragon) = tetragon {
        found.push(tetragon.securityfs.clone());
        found.push(tetragon.rolled_out.clone());
        found.push(tetragon.hardened.clone());
    }
    found.extend(agents.cloned());
    found.extend(tetragon.and_then(|tetragon| tetragon.stalled.clone()));
    found.extend(reconciling(&nodes, tetragon));
    found
}

fn nodes_ready(tally: &Tally, min_ready: MinReady) -> Finding {
    let selected = tally.selected();
    let needed = min_ready.of(selected);
    let counts =
        format!("{} of {selected} selected nodes are ready, {needed} required", tally.ready);
    let (status, reason, message) = if selected == 0 {
        let message =
            "spec.nodeSelector matches no node; compare it with `kubectl get nodes --show-labels`";
        (State::NotReady, ConditionReason::NoNodesSelected, message.to_owned())
    } else if tally.ready >= needed {
        let reason = if tally.ready == selected {
            ConditionReason::AllNodesReady
        } else {
            ConditionReason::EnoughNodesReady
        };
        (State::Ready, reason, counts)
    } else if tally.ready + tally.unknown >= needed {
        (
            State::Unknown,
            ConditionReason::NodesUnknown,
            format!("{counts}; {} not known yet", tally.unknown),
        )
    } else {
        (
            State::NotReady,
            ConditionReason::TooFewNodesReady,
            format!("{counts}; status.reasons says why the others are not"),
        )
    };
    Finding::new(NODES_READY, status, reason, message)
}

/// Ready says the first thing that does not hold.
fn ready(nodes: &Finding, tetragon: Option<&Findings>) -> Finding {
    let securityfs = tetragon.map(|tetragon| &tetragon.securityfs);
    // Who says `mount: Never` has taken the mount into their own hands.
    let securityfs = securityfs.filter(|finding| finding.reason != ConditionReason::NotWanted);
    let rolled_out = tetragon.map(|tetragon| &tetragon.rolled_out);
    let lacking = [Some(nodes), securityfs, rolled_out]
        .into_iter()
        .flatten()
        .filter(|f| f.status != State::Ready);
    // Something that is shown not to hold comes before something that is not known.
    lacking.min_by_key(|finding| finding.status == State::Unknown).map_or_else(
        || {
            Finding::new(
                READY,
                State::Ready,
                ConditionReason::EnforcementReady,
                nodes.message.clone(),
            )
        },
        |finding| Finding { type_: READY, ..finding.clone() },
    )
}

/// kstatus: present only while something is under way that ends by itself.
fn reconciling(nodes: &Finding, tetragon: Option<&Findings>) -> Option<Finding> {
    let rolling = tetragon
        .map(|tetragon| &tetragon.rolled_out)
        .filter(|finding| finding.status == State::Unknown);
    let waiting = Some(nodes).filter(|finding| finding.status == State::Unknown);
    let stalled = tetragon.is_some_and(|tetragon| tetragon.stalled.is_some());
    let under_way = rolling.or(waiting).filter(|_| !stalled)?;
    Some(Finding { type_: RECONCILING, status: State::Ready, ..under_way.clone() })
}

/// The order of conditions in a status, for the documentation's test.
pub const TYPES: [&str; 9] = [
    READY,
    NODES_READY,
    TRACING_POLICIES_LOADABLE,
    SECURITYFS_MOUNTED,
    TETRAGON_ROLLED_OUT,
    TETRAGON_HARDENED,
    TRACING_POLICIES_ENFORCED,
    STALLED,
    RECONCILING,
];

#[cfg(test)]
mod tests;

//! What is found out about a Node now, compared with what it shows. Pure.
//!
//! In: the Node, its labels for selecting, its facts, the policies that select it, and the time.
//! Out: the verdicts, what the Node shows of its present boot, and what it loses.
//!
//! ## What is believed of a Node
//! Others may write to it. So the Node is shown ready only where label and condition agree: the
//! label says ready, and so does the condition, whose message names this boot and no loss
//! ([`Header::says`] for policies). Few may write both: a kubelet may not write the label, and who
//! syncs labels writes no conditions.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, NodeCondition};
use kube::ResourceExt;
pub use lsm_ready_crds::freshness::Freshness;
use lsm_ready_crds::names::{BPF_LABEL, NODE_CONDITION, policy_label};
use lsm_ready_crds::policy::Require;
use lsm_ready_crds::selection::{Labels, OS_LABEL, may_run_linux};
use lsm_ready_crds::verdict::{Facts, Verdict};
use lsm_ready_crds::{State, verdict};

use crate::breaker::decide::NodeState;
use crate::node::fleet::{Found, known_reason};
use crate::node::header::{self, Header, Says};
use crate::node::required::Required;

/// The value of a policy's label on a node that is ready for it.
pub const READY: &str = "ready";

/// What is found out about a Node now, compared with what it shows.
pub struct Judged<'a> {
    /// The verdict on LSM BPF.
    pub bpf: Verdict,
    /// The verdict of each policy that selects the Node.
    pub policies: Vec<PolicyVerdict<'a>>,
    pub freshness: Freshness,
    /// The present boot.
    pub boot: &'a str,
    /// The version of the probe that reported in this boot.
    pub version: Option<String>,
    /// What the Node's condition says, where it was written in this boot.
    pub shown: Option<Header>,
    /// Whether that condition is True, and its message tells of no loss.
    pub is_true: bool,
    /// The present labels of the Node.
    pub present: &'a Labels,
    /// What the Node loses: it is shown ready in this boot, and is not any more.
    pub loss: Option<Loss>,
    /// Whether the Node has recovered from its last loss.
    pub has_recovered: bool,
    /// The label for the operating system is not what the report says.
    pub ignores_os: bool,
    /// The last policy to come for which this process has judged the Node while it was not held.
    pub judged_up_to: u64,
}

/// A policy that selects the Node, and its verdict.
pub struct PolicyVerdict<'a> {
    pub required: &'a Required,
    pub verdict: Verdict,
}

/// What a Node loses.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Loss {
    /// The Node is shown ready for LSM BPF. Otherwise it is shown ready for a policy only.
    pub is_of_bpf: bool,
    pub reason: &'static str,
    /// The version of the probe, where the Node is shown ready with another version.
    pub new_version: Option<String>,
    /// The condition says ready and the label does not: the loss was written in part, or somebody
    /// else wrote one of them. Either way there is nothing to hold.
    pub has_moved: bool,
}

/// Judges a Node, for the policies that select it by these labels. None for a Node that does not
/// run Linux: there is no LSM BPF on other operating systems.
pub fn judge<'a>(
    node: &'a Node,
    labels: &Labels,
    facts: Facts<'a>,
    selecting: impl Iterator<Item = &'a Required>,
    judged_up_to: u64,
    now: Timestamp,
) -> Option<Judged<'a>> {
    if !may_run_linux(labels) {
        return None;
    }
    let bpf = verdict(&Require::default(), facts);
    let verdict_of = |required: &'a Required| PolicyVerdict {
        required,
        verdict: required.requirement.verdict(labels, facts),
    };
    let policies = selecting.map(verdict_of).collect();
    let of_this_boot = facts.report.filter(|report| report.boot_id == facts.boot_id);
    let version = of_this_boot.and_then(header::version);
    let condition = condition(node);
    let message = condition.and_then(|condition| condition.message.as_deref());
    let shown = Header::read(message.unwrap_or_default(), facts.boot_id);
    let is_true = condition.is_some_and(|condition| condition.status == "True")
        && shown.as_ref().is_some_and(|shown| !shown.has_lost_bpf());
    let os = node.labels().get(OS_LABEL).map_or("", String::as_str);
    let mut judged = Judged {
        bpf,
        policies,
        freshness: Freshness::of(facts, now),
        boot: facts.boot_id,
        version,
        shown,
        is_true,
        present: node.labels(),
        loss: None,
        has_recovered: false,
        ignores_os: labels.get(OS_LABEL).map_or("", String::as_str) != os,
        judged_up_to,
    };
    judged.loss = judged.find_loss();
    judged.has_recovered = judged.find_recovery();
    Some(judged)
}

/// Our condition.
pub fn condition(node: &Node) -> Option<&NodeCondition> {
    conditions(node).next()
}

/// All conditions of our type. A write of a kubelet's whole status can hold several, and readers
/// differ in which of them they take.
pub fn conditions(node: &Node) -> impl Iterator<Item = &NodeCondition> {
    let conditions = node.status.iter().flat_map(|status| status.conditions.iter().flatten());
    conditions.filter(|condition| condition.type_ == NODE_CONDITION)
}

impl PolicyVerdict<'_> {
    /// Key of the policy's label.
    pub fn label(&self) -> String {
        policy_label(&self.required.policy.name_any())
    }

    pub fn is_ready(&self) -> bool {
        self.verdict.state == State::Ready
    }
}

impl Judged<'_> {
    /// What the circuit breaker has to know. A recovery counts when it is written: the node may
    /// lose ready again before that.
    pub fn state(&self, now: Timestamp) -> NodeState {
        if let Some(Loss { reason, new_version, has_moved, .. }) = &self.loss {
            let new_version = new_version.clone();
            return if *has_moved {
                NodeState::Lost { at: now, new_version }
            } else {
                NodeState::Losing { reason, new_version }
            };
        }
        let past = self.shown.as_ref().and_then(|shown| shown.loss.as_ref());
        if let Some(past) = past {
            return NodeState::Lost { at: past.at, new_version: past.new_version.clone() };
        }
        let is_ready =
            self.bpf.state == State::Ready || self.policies.iter().any(PolicyVerdict::is_ready);
        if is_ready {
            NodeState::Ready { version: self.version.clone() }
        } else {
            NodeState::NeverReady
        }
    }

    /// What the metrics tell of the Node.
    pub fn found(&self) -> Found {
        let Verdict { state, reason, .. } = &self.bpf;
        let is_silent = self.freshness.is_silent();
        Found { state: *state, reason: known_reason(reason), is_silent }
    }

    /// Whether label and condition agree that the Node is ready for LSM BPF.
    pub fn is_bpf_shown(&self) -> bool {
        self.is_true && self.shows(BPF_LABEL, "true")
    }

    /// Whether the policy came after this process last judged the Node freely. Then the label is
    /// not ours, and the condition was written before there was the policy.
    fn is_new(&self, policy: &PolicyVerdict<'_>) -> bool {
        policy.required.arrival > self.judged_up_to
    }

    /// What label and condition show for a policy.
    pub fn shown_for(&self, policy: &PolicyVerdict<'_>) -> Says {
        let Some(shown) = self.shown.as_ref().filter(|_| !self.is_new(policy)) else {
            return Says::NotJudged;
        };
        let label = self.present.get(&policy.label()).map(String::as_str);
        match (shown.says(&policy.required.policy.name_any(), self.is_true), label) {
            (Says::Ready, Some(READY)) => Says::Ready,
            (Says::NotReady, Some(_)) => Says::NotReady,
            (Says::Ready | Says::NotReady | Says::NotJudged, _) => Says::NotJudged,
        }
    }

    fn shows(&self, key: &str, ready: &str) -> bool {
        self.present.get(key).is_some_and(|value| value == ready)
    }

    fn find_loss(&self) -> Option<Loss> {
        let shown = self.shown.as_ref()?;
        let of_bpf = self.is_true && self.bpf.state != State::Ready;
        // Where a person changed a policy, its label follows and is no loss.
        let mut losing = self.policies.iter().filter(|policy| {
            !policy.is_ready()
                && !policy.required.is_changing
                && self.shown_for(policy) == Says::Ready
        });
        let verdict = if of_bpf { &self.bpf } else { &losing.next()?.verdict };
        let is_new = shown.version.is_some() && shown.version != self.version;
        Some(Loss {
            is_of_bpf: of_bpf,
            reason: known_reason(&verdict.reason),
            new_version: self.version.clone().filter(|_| is_new),
            has_moved: of_bpf && !self.is_bpf_shown(),
        })
    }

    /// Whether the Node has recovered from its last loss: LSM BPF is ready again, or, where only a
    /// policy was lost, a policy is ready again or no policy is left that is not.
    fn find_recovery(&self) -> bool {
        if self.shown.as_ref().is_some_and(Header::has_lost_bpf) {
            return self.bpf.state == State::Ready;
        }
        let is_gained = |policy: &PolicyVerdict<'_>| {
            policy.is_ready()
                && !self.is_new(policy)
                && self.present.contains_key(&policy.label())
                && self.shown_for(policy) != Says::Ready
        };
        self.policies.iter().any(is_gained) || self.policies.iter().all(PolicyVerdict::is_ready)
    }
}

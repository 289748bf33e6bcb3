//! What is found out about a Node now, compared with what it shows. Pure.
//!
//! In: the Node, its labels for selecting, its facts, what the policies require, and the time. Out:
//! the verdicts, what the Node shows of its present boot, and what it loses.

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
use crate::breaker::known_reason;
use crate::node::fleet::Found;
use crate::node::header::{self, Header};
use crate::node::required::Required;

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
    /// What the Node loses: it is shown ready in this boot, and is not any more.
    pub loss: Option<Loss>,
    /// Whether the Node has recovered from its last loss.
    pub has_recovered: bool,
    /// The value of the label for the operating system, where it is not what the report says.
    pub ignored_os: Option<&'a str>,
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
}

/// Judges a Node by the labels that select it. None for a Node that does not run Linux: there is no
/// LSM BPF on other operating systems.
pub fn judge<'a>(
    node: &'a Node,
    labels: &Labels,
    facts: Facts<'a>,
    required: &'a [Required],
    now: Timestamp,
) -> Option<Judged<'a>> {
    if !may_run_linux(labels) {
        return None;
    }
    let bpf = verdict(&Require::default(), facts);
    let policies = policy_verdicts(labels, facts, required);
    let of_this_boot = facts.report.filter(|report| report.boot_id == facts.boot_id);
    let version = of_this_boot.and_then(header::version);
    let message = condition(node).and_then(|condition| condition.message.as_deref());
    let shown = Header::read(message.unwrap_or_default(), facts.boot_id);
    let os = node.labels().get(OS_LABEL).map_or("", String::as_str);
    let mut judged = Judged {
        bpf,
        policies,
        freshness: Freshness::of(facts, now),
        boot: facts.boot_id,
        version,
        shown,
        loss: None,
        has_recovered: false,
        ignored_os: (labels.get(OS_LABEL).map_or("", String::as_str) != os).then_some(os),
    };
    judged.loss = judged.find_loss(node);
    judged.has_recovered = judged.find_recovery(node.labels());
    Some(judged)
}

/// Our condition.
pub fn condition(node: &Node) -> Option<&NodeCondition> {
    let mut conditions = node.status.iter().flat_map(|status| status.conditions.iter().flatten());
    conditions.find(|condition| condition.type_ == NODE_CONDITION)
}

fn policy_verdicts<'a>(
    labels: &Labels,
    facts: Facts<'_>,
    required: &'a [Required],
) -> Vec<PolicyVerdict<'a>> {
    required
        .iter()
        .filter(|required| required.selection.selects(labels))
        .map(|required| {
            let verdict = required.requirement.verdict(labels, facts);
            PolicyVerdict { required, verdict }
        })
        .collect()
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
    pub fn state(&self) -> NodeState {
        if let Some(Loss { reason, new_version, .. }) = &self.loss {
            return NodeState::Losing { reason, new_version: new_version.clone() };
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

    fn find_loss(&self, node: &Node) -> Option<Loss> {
        let shown = self.shown.as_ref()?;
        // The labels are written before the condition, so after a crash only one of them may say
        // ready.
        let is_true = condition(node).is_some_and(|condition| condition.status == "True");
        let is_shown = |key: &str, ready: &str| node.labels().get(key).is_some_and(|v| v == ready);
        let of_bpf = (is_true || is_shown(BPF_LABEL, "true")) && self.bpf.state != State::Ready;
        // Where a person changed a policy, its label follows and is no loss.
        let mut losing = self.policies.iter().filter(|policy| {
            !policy.is_ready() && !policy.required.is_changing && is_shown(&policy.label(), "ready")
        });
        let verdict = if of_bpf { &self.bpf } else { &losing.next()?.verdict };
        let is_new = shown.version.is_some() && shown.version != self.version;
        Some(Loss {
            is_of_bpf: of_bpf,
            reason: known_reason(&verdict.reason),
            new_version: self.version.clone().filter(|_| is_new),
        })
    }

    /// Whether the Node has recovered from its last loss: LSM BPF is ready again, or, where only a
    /// policy was lost, a policy is ready again or no policy is left that is not.
    fn find_recovery(&self, labels: &Labels) -> bool {
        let past = self.shown.as_ref().and_then(|shown| shown.loss.as_ref());
        if past.is_some_and(|past| past.is_of_bpf) {
            return self.bpf.state == State::Ready;
        }
        let is_gained = |policy: &PolicyVerdict<'_>| {
            policy.is_ready() && labels.get(&policy.label()).is_some_and(|shown| shown != "ready")
        };
        self.policies.iter().any(is_gained) || self.policies.iter().all(PolicyVerdict::is_ready)
    }
}

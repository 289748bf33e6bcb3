//! The rows of nodes. Pure.

use std::borrow::Cow;
use std::collections::HashMap;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, Taint};
use kube::ResourceExt;
use lsm_ready_crds::freshness::Freshness;
use lsm_ready_crds::names::{
    BPF_LABEL, NODE_CONDITION, POLICY_LABEL_PREFIX, STALE_AFTER_SECONDS, TAINT_KEYS,
};
use lsm_ready_crds::node::Check;
use lsm_ready_crds::policy::Require;
use lsm_ready_crds::selection::{Labels, Selection};
use lsm_ready_crds::verdict::{Facts, Verdict, hooks, verdict_with_hooks};
use lsm_ready_crds::{Evidence, LsmNodeStatus, LsmPolicy};

use super::{
    CheckRow, ConditionRow, NodeLabels, NodePolicyRow, NodeRow, Shown, VerdictRow, printed,
};

/// The labels that clouds and autoscalers give to the nodes of one pool.
const POOL_LABELS: [&str; 8] = [
    "karpenter.sh/nodepool",
    "cloud.google.com/gke-nodepool",
    "eks.amazonaws.com/nodegroup",
    "kubernetes.azure.com/agentpool",
    "agentpool",
    "doks.digitalocean.com/node-pool",
    "node.cluster.x-k8s.io/pool",
    "pool",
];

/// A requirement that is asked of many nodes. The verdicts on the hooks are kept, because thousands
/// of nodes share a profile, and the message about a misspelt hook is expensive.
pub struct Judge<'a> {
    require: &'a Require,
    hooks: HashMap<Option<&'a str>, Option<Verdict>>,
}

impl<'a> Judge<'a> {
    pub fn new(require: &'a Require) -> Self {
        Self { require, hooks: HashMap::new() }
    }

    /// The verdict that the operator gives too.
    pub fn verdict(&mut self, facts: Facts<'a>) -> Verdict {
        let digest = facts.profile.and(facts.report).and_then(|of| of.hook_profile.as_deref());
        let found = self.hooks.entry(digest).or_insert_with(|| hooks(self.require, facts.profile));
        verdict_with_hooks(self.require, facts, || found.clone())
    }
}

/// What one policy asks of the nodes that it selects.
pub struct Asking<'a> {
    policy: &'a LsmPolicy,
    selection: Selection,
    judge: Judge<'a>,
}

impl<'a> Asking<'a> {
    /// `None` for a policy that is invalid or is being deleted, which asks for nothing.
    pub fn of(policy: &'a LsmPolicy) -> Option<Self> {
        let selection = Selection::of(&policy.spec).ok()?;
        let lives = policy.metadata.deletion_timestamp.is_none();
        lives.then(|| Self { policy, selection, judge: Judge::new(&policy.spec.require) })
    }

    fn row(&mut self, labels: &Labels, facts: Facts<'a>) -> Option<NodePolicyRow> {
        self.selection.selects(labels).then(|| NodePolicyRow {
            policy: self.policy.name_any(),
            verdict: self.judge.verdict(facts).into(),
            has_tracing_policies: self.policy.spec.require.tracing_policies.is_some(),
        })
    }
}

impl From<Verdict> for VerdictRow {
    fn from(verdict: Verdict) -> Self {
        let Verdict { state, reason, message, fix, is_of_one_node: _ } = verdict;
        Self { state, reason, message: printed(&message), fix: printed(&fix) }
    }
}

/// One Linux node with what is known of it.
pub struct Known<'a> {
    pub node: &'a Node,
    /// The labels by which policies select it.
    pub labels: Cow<'a, Labels>,
    pub facts: Facts<'a>,
}

impl Known<'_> {
    /// The node's name, printable.
    pub fn name(&self) -> String {
        printed(&self.node.name_any())
    }
}

/// The rows of these nodes, in their order, judged by that requirement.
pub fn rows<'a>(
    known: &[Known<'a>],
    require: &'a Require,
    mut asking: Vec<Asking<'a>>,
    now: Timestamp,
) -> Vec<NodeRow> {
    asking.sort_by_key(|asking| asking.policy.name_any());
    let mut judge = Judge::new(require);
    let mut rows = Vec::with_capacity(known.len());
    for Known { node, labels, facts } in known {
        let verdict = judge.verdict(*facts).into();
        let policies = asking.iter_mut().filter_map(|asking| asking.row(labels, *facts)).collect();
        rows.push(NodeRow { policies, ..row(node, *facts, verdict, now) });
    }
    rows
}

fn row(node: &Node, facts: Facts<'_>, verdict: VerdictRow, now: Timestamp) -> NodeRow {
    let info = node.status.as_ref().and_then(|status| status.node_info.as_ref());
    let report = facts.report;
    let of_this_boot = report.filter(|report| report.boot_id == facts.boot_id);
    let (rungs, checks) = of_this_boot.map(checks).unwrap_or_default();
    let observed_at = report.and_then(|report| report.observed_time.as_ref()).map(|time| time.0);
    let digest = facts.profile.and(report).and_then(|report| report.hook_profile.clone());
    NodeRow {
        name: printed(&node.name_any()),
        labels: labels(node.labels()),
        kernel: printed(info.map_or("", |info| &info.kernel_version)),
        os_image: printed(info.map_or("", |info| &info.os_image)),
        boot_id: printed(facts.boot_id),
        verdict,
        evidence: report.map_or(Evidence::None, |report| report.evidence),
        rungs,
        checks,
        observed_at,
        age_seconds: observed_at.map(|at| (now.as_second() - at.as_second()).max(0)),
        is_silent: Freshness::of(facts, now).is_silent(),
        probe_version: report.map(|report| report.probe_version.clone()).unwrap_or_default(),
        lsms: of_this_boot.map(|report| report.lsms.active.clone()).unwrap_or_default(),
        lockdown: of_this_boot.and_then(|report| report.lockdown.clone()),
        hook_profile: digest,
        shown: shown(node),
        policies: Vec::new(),
    }
}

/// The ID of the Node's present boot, as its kubelet reports it.
pub fn boot_id(node: &Node) -> &str {
    let info = node.status.as_ref().and_then(|status| status.node_info.as_ref());
    info.map_or("", |info| info.boot_id.as_str())
}

fn labels(labels: &Labels) -> NodeLabels {
    let value = |key: &str| labels.get(key).map(|value| printed(value));
    NodeLabels {
        pool: POOL_LABELS.iter().find_map(|key| value(key)),
        zone: value("topology.kubernetes.io/zone"),
        arch: value("kubernetes.io/arch"),
        instance_type: value("node.kubernetes.io/instance-type"),
    }
}

/// The rungs, lowest first, and the other checks in the order of the report.
fn checks(report: &LsmNodeStatus) -> (Vec<CheckRow>, Vec<CheckRow>) {
    let is_rung = |check: &&Check| Evidence::RUNGS.iter().any(|rung| rung.as_str() == check.name);
    let rungs = Evidence::RUNGS.iter().filter_map(|rung| report.check(rung.as_str()));
    let others = report.checks.iter().filter(|check| !is_rung(check));
    (rungs.map(check).collect(), others.map(check).collect())
}

fn check(check: &Check) -> CheckRow {
    let Check { name, outcome, reason, detail, fix } = check.clone();
    CheckRow { name, outcome, reason, detail, fix }
}

fn shown(node: &Node) -> Shown {
    let policy = |(key, value): (&String, &String)| {
        Some((key.strip_prefix(POLICY_LABEL_PREFIX)?.to_owned(), printed(value)))
    };
    let taints = node.spec.iter().flat_map(|spec| spec.taints.iter().flatten());
    let conditions = node.status.iter().flat_map(|status| status.conditions.iter().flatten());
    let ours = conditions.into_iter().find(|condition| condition.type_ == NODE_CONDITION);
    Shown {
        bpf: node.labels().get(BPF_LABEL).map(|value| printed(value)),
        policies: node.labels().iter().filter_map(policy).collect(),
        taints: taints
            .filter(|taint| TAINT_KEYS.contains(&taint.key.as_str()))
            .map(taint)
            .collect(),
        condition: ours.map(|condition| ConditionRow {
            type_: condition.type_.clone(),
            status: printed(&condition.status),
            reason: printed(condition.reason.as_deref().unwrap_or_default()),
            message: printed(condition.message.as_deref().unwrap_or_default()),
            last_transition_time: condition.last_transition_time.as_ref().map(|time| time.0),
        }),
    }
}

fn taint(taint: &Taint) -> String {
    format!("{}:{}", taint.key, printed(&taint.effect))
}

/// The number of minutes after which a probe is silent, for texts.
pub const SILENT_AFTER_MINUTES: i64 = STALE_AFTER_SECONDS / 60;

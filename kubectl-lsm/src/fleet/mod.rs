//! The fleet at one moment: operator, nodes, policies and agents.
//!
//! In: objects of the API server ([`Objects`]). Out: a [`Fleet`], made by [`of`]. `status`, `why`,
//! `nodes`, `drill` and `report` all use it. The structs hold plain values, so a renderer needs
//! nothing else.
//!
//! ## Guarantees
//! Each verdict comes from [`lsm_ready_crds::verdict`], which the operator calls too. Each text
//! that a node, a kubelet or a person wrote is printable and in one line. A renderer still escapes
//! it for its own output.

mod agent;
mod node;
mod of;
mod policy;
mod state_word;

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use lsm_ready_crds::text::printable;
use lsm_ready_crds::{Evidence, State};
use serde::{Deserialize, Serialize};

pub use node::{Judge, Known, SILENT_AFTER_MINUTES};
pub use of::{Objects, judged_by, of};
pub use state_word::word;

/// The name of this form of JSON. Fields may be added under the same name. A change of meaning gets
/// another name.
pub const SCHEMA: &str = "lsmready.io/fleet/v1";

/// The fleet at one moment.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Fleet {
    /// [`SCHEMA`].
    pub schema: String,
    /// Where the objects came from.
    pub context: Context,
    /// When the objects were read, by the clock of this machine.
    pub taken_at: Timestamp,
    /// The operator's Deployment. `None` where it is not there or may not be read.
    pub operator: Option<OperatorRow>,
    /// The probe's DaemonSet. `None` where it is not there or may not be read.
    pub probe: Option<ProbeRow>,
    /// What the kernels' hooks accept, by digest. [`NodeRow::hook_profile`] names one of them.
    pub hook_profiles: BTreeMap<String, HookProfileRow>,
    /// The Linux nodes, by name.
    pub nodes: Vec<NodeRow>,
    /// The LsmPolicies, by name.
    pub policies: Vec<PolicyRow>,
    /// Tetragon's DaemonSets: those that a policy names, and those with the label of its chart.
    pub agents: Vec<AgentRow>,
    /// Sentences about what could not be read.
    pub notes: Vec<String>,
}

/// Where the objects came from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Context {
    /// Name of the kubeconfig context. Empty inside of a pod.
    pub name: String,
    /// URL of the API server.
    pub server: String,
}

/// The operator.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct OperatorRow {
    pub namespace: String,
    pub name: String,
    /// The image of its container.
    pub image: String,
    pub replicas_wanted: i32,
    pub replicas_available: i32,
}

/// The probe.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ProbeRow {
    pub namespace: String,
    pub name: String,
    /// The image of its container.
    pub image: String,
    pub pods_wanted: i32,
    pub pods_ready: i32,
}

/// Which hooks of a kernel accept programs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HookProfileRow {
    /// Release and machine, for example `6.12.1 x86_64`.
    pub kernel: String,
    /// Hooks that accept a program.
    pub attachable: BTreeSet<String>,
    /// Hooks that also accept a sleepable program.
    pub sleepable: BTreeSet<String>,
    /// Hooks that the kernel has and that accept no program.
    pub refused: BTreeSet<String>,
}

/// A node.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeRow {
    pub name: String,
    pub labels: NodeLabels,
    /// Release of the kernel, as the kubelet says it.
    pub kernel: String,
    /// Operating system, as the kubelet says it, for example `Debian GNU/Linux 12 (bookworm)`.
    pub os_image: String,
    /// The present boot, as the kubelet says it.
    pub boot_id: String,
    /// The verdict on LSM BPF: ready, not-ready or unknown.
    pub verdict: VerdictRow,
    /// The highest rung that a report of any boot has. It counts only in [`Self::verdict`].
    pub evidence: Evidence,
    /// The rungs of the evidence, lowest first. Empty where there is no report of this boot.
    pub rungs: Vec<CheckRow>,
    /// The other checks of the probe.
    pub checks: Vec<CheckRow>,
    /// When the probe last renewed its report, by the node's clock.
    pub observed_at: Option<Timestamp>,
    /// Age of the report at [`Fleet::taken_at`]. Never negative.
    pub age_seconds: Option<i64>,
    /// The probe has not renewed its report for three intervals. The verdict stays as it is.
    pub is_silent: bool,
    /// Version of the probe that wrote the report.
    pub probe_version: String,
    /// Names of the LSMs in force, in the kernel's order. Empty where they are not known.
    pub lsms: Vec<String>,
    /// Kernel lockdown: `none`, `integrity` or `confidentiality`.
    pub lockdown: Option<String>,
    /// Digest of the kernel's hook profile, if it is one of [`Fleet::hook_profiles`].
    pub hook_profile: Option<String>,
    /// What the Node itself shows of lsm-ready.
    pub shown: Shown,
    /// The policies that select this node, by name.
    pub policies: Vec<NodePolicyRow>,
}

/// Labels of a Node that people group by. `None` where the label is not there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeLabels {
    /// The node pool, by the label of the cloud or of the autoscaler.
    pub pool: Option<String>,
    /// `topology.kubernetes.io/zone`.
    pub zone: Option<String>,
    /// `kubernetes.io/arch`.
    pub arch: Option<String>,
    /// `node.kubernetes.io/instance-type`.
    pub instance_type: Option<String>,
}

/// A verdict with its reason.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct VerdictRow {
    #[serde(with = "state_word")]
    pub state: State,
    /// A code of docs/reasons.md.
    pub reason: String,
    /// The reason in a sentence.
    pub message: String,
    /// What to change. Empty where nothing has to be or can be changed.
    pub fix: String,
}

/// One check of the probe.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CheckRow {
    pub name: String,
    /// `Pass`, `Fail` or `Unknown`.
    pub outcome: State,
    pub reason: String,
    pub detail: String,
    pub fix: String,
}

/// What a Node shows of lsm-ready. The operator writes it; while the circuit breaker holds changes,
/// it differs from the verdict.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Shown {
    /// Value of the label `bpf`: `true`, `false` or `unknown`.
    pub bpf: Option<String>,
    /// Values of the labels `policy.NAME`, by the policy's name.
    pub policies: BTreeMap<String, String>,
    /// Our taints, for example `lsmready.io/not-ready:NoSchedule`.
    pub taints: Vec<String>,
    /// Our condition.
    pub condition: Option<ConditionRow>,
}

/// A condition of a Node or of a policy.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ConditionRow {
    #[serde(rename = "type")]
    pub type_: String,
    /// `True`, `False` or `Unknown`.
    pub status: String,
    pub reason: String,
    pub message: String,
    pub last_transition_time: Option<Timestamp>,
}

/// What one policy says about one node.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NodePolicyRow {
    pub policy: String,
    /// The verdict by `spec.require` alone. A policy with `tracingPolicies` requires more: there
    /// the Node's label has the operator's answer.
    pub verdict: VerdictRow,
    /// The policy also requires what its TracingPolicies require.
    pub has_tracing_policies: bool,
}

/// A policy.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PolicyRow {
    pub name: String,
    pub generation: i64,
    /// The generation that the status was computed from.
    pub observed_generation: Option<i64>,
    pub created_at: Option<Timestamp>,
    pub is_being_deleted: bool,
    /// `spec.nodeSelector` as kubectl writes selectors. Empty for every node.
    pub node_selector: String,
    /// `spec.minReady`, for example `3` or `90%`.
    pub min_ready: String,
    pub require: RequireRow,
    /// Key and effect of the taint, for example `lsmready.io/not-ready:NoSchedule`.
    pub taint: Option<String>,
    /// The DaemonSet of Tetragon's agents, as `NAMESPACE/NAME`.
    pub daemon_set: Option<String>,
    pub counts: Counts,
    /// Why nodes are not ready or unknown, by the operator's count.
    pub reasons: Vec<ReasonRow>,
    pub conditions: Vec<ConditionRow>,
}

/// What a policy requires of a node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RequireRow {
    pub evidence: Evidence,
    pub lsms: Vec<String>,
    pub hooks: Vec<String>,
    pub sleepable_hooks: Vec<String>,
    pub kernel_reads: bool,
    /// It also requires what the selected TracingPolicies require.
    pub tracing_policies: bool,
}

/// Numbers of nodes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Counts {
    pub selected: i64,
    pub ready: i64,
    pub not_ready: i64,
    pub unknown: i64,
}

/// A reason, and how many nodes have it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ReasonRow {
    pub reason: String,
    pub count: i64,
    /// The first three nodes by name.
    pub sample: Vec<String>,
    pub fix: String,
}

/// A DaemonSet of Tetragon's agents.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AgentRow {
    pub namespace: String,
    pub name: String,
    /// A policy names it, and it does not exist or may not be read.
    pub is_missing: bool,
    /// Release of the agent, for example `v1.7.0`. `None` where the image does not say it.
    pub version: Option<String>,
    /// The agent's image.
    pub image: Option<String>,
    pub pods_wanted: i32,
    pub pods_ready: i32,
    /// Pods that run the present pod template.
    pub pods_updated: i32,
    /// lsm-ready has added the mount of securityfs.
    pub has_our_mount: bool,
    /// The policies that name it.
    pub policies: Vec<String>,
    /// What these policies say about it: SecurityfsMounted, TetragonRolledOut, TetragonHardened and
    /// TracingPoliciesEnforced, each once, the worst one.
    pub conditions: Vec<ConditionRow>,
}

/// Maximum length of a text that somebody else wrote, in characters. A fix in a policy's status has
/// at most 8192.
const MAX_TEXT_CHARS: usize = 8192;

/// The text, printable and in one line.
fn printed(text: &str) -> String {
    printable(text, MAX_TEXT_CHARS)
}

#[cfg(test)]
mod tests;

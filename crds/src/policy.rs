//! `LsmPolicy`: what people write. Which nodes have to be able to deny through LSM BPF, what else they need for it, and
//! what may be done about Tetragon's DaemonSet.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, LabelSelector};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::RequiredEvidence;
use crate::agent_query::Agents;
use crate::names::TAINT_KEYS;
use crate::schema;
use crate::window::Window;

// `kubectl explain lsmpolicy.spec` prints the comments of these types: they are documentation for those who apply one.

/// What a set of nodes has to be able to do, and what may be done about it.
#[derive(CustomResource, KubeSchema, Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[kube(
    group = "lsmready.io",
    version = "v1alpha1",
    kind = "LsmPolicy",
    plural = "lsmpolicies",
    shortname = "lsmp",
    category = "lsm-ready",
    status = "LsmPolicyStatus",
    derive = "PartialEq",
    doc = "LsmPolicy says which nodes must be able to deny something through LSM BPF (as Tetragon's lsmhooks do), what else they need for it, and whether Tetragon's DaemonSet may be given the securityfs volume it lacks. Its status says which nodes can, which cannot, and why.",
    printcolumn(name = "Ready", type_ = "string", json_path = r#".status.conditions[?(@.type=="Ready")].status"#),
    printcolumn(name = "Nodes", type_ = "string", json_path = ".status.nodes.summary", description = "Ready of selected nodes"),
    printcolumn(name = "Tetragon", type_ = "string", json_path = r#".status.conditions[?(@.type=="SecurityfsMounted")].reason"#, description = "What was done about the securityfs mount"),
    printcolumn(name = "Reason", type_ = "string", json_path = r#".status.conditions[?(@.type=="Ready")].reason"#),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    validation = Rule::new("self.metadata.name.size() <= 56").message("the name becomes part of a node label (policy.<name>): at most 56 characters")
)]
#[serde(rename_all = "camelCase")]
pub struct LsmPolicySpec {
    /// The nodes this policy is about, as a metav1.LabelSelector over Node labels. Absent: every Linux node
    /// (kubernetes.io/os=linux). An empty selector {} means every node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::label_selector")]
    pub node_selector: Option<LabelSelector>,

    /// How many of the selected nodes must be ready for the policy's Ready condition: a number of nodes (3) or a share
    /// of them ("90%", rounded up). Default "100%". With no node selected the policy is not ready.
    #[serde(default = "all_nodes")]
    #[schemars(schema_with = "schema::min_ready")]
    pub min_ready: IntOrString,

    /// What each node must be able to do. Default: the canary program was denied.
    #[serde(default)]
    pub require: Require,

    /// The Tetragon installation that will enforce on these nodes. Absent: Tetragon is left alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tetragon: Option<Tetragon>,

    /// Taint selected nodes that are not proved ready, so that no new pods are scheduled to them. Nodes
    /// that join with the taint (an autoscaler's startup taint) lose it once they are ready. Absent: no
    /// taint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub taint: Option<Taint>,
}

fn all_nodes() -> IntOrString {
    IntOrString::String("100%".into())
}

/// What a node must be able to do.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Require {
    /// How far the node's canary program must have come. Loaded: the kernel takes an LSM program. Attached: it can be
    /// attached to a hook. Fired: it runs when the hook is called. Denied (default): it denied a call, which is what
    /// enforcement needs.
    #[serde(default)]
    pub evidence: RequiredEvidence,

    /// Further Linux Security Modules that must be active on the node, as in /sys/kernel/security/lsm: apparmor,
    /// selinux, landlock, yama and so on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), schema_with = "schema::lsm_names")]
    pub lsms: Vec<String>,

    /// LSM hooks on which the node's kernel must accept a BPF program, without the bpf_lsm_ in front: file_open,
    /// bprm_check_security. Judged by the node's LsmHookProfile.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::hook_names")]
    pub hooks: Vec<String>,

    /// LSM hooks on which the node's kernel must accept a sleepable BPF program (Tetragon's imaHash needs them).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::hook_names")]
    pub sleepable_hooks: Vec<String>,

    /// Programs must be able to read kernel memory (bpf_probe_read_kernel), which lockdown=confidentiality forbids.
    /// Tetragon's programs do.
    #[serde(default)]
    pub kernel_reads: bool,

    /// Tetragon's own policies, as a metav1.LabelSelector over the labels of TracingPolicies and
    /// TracingPoliciesNamespaced: the lsmhooks of those that it selects become part of what a node must be able to do
    /// (hooks, sleepableHooks where imaHash is asked for, kernelReads). Absent: none. An empty selector {} means all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::tracing_policies")]
    pub tracing_policies: Option<LabelSelector>,
}

/// Tetragon's installation, and what may be done about its securityfs mount.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Tetragon {
    /// Where Tetragon's agent runs. Default: DaemonSet tetragon in kube-system, container tetragon, as its Helm chart
    /// names them.
    #[serde(default)]
    pub daemon_set: DaemonSetRef,

    /// What to do about the agent's view of /sys/kernel/security. Agents before v1.4.0 read the list of active LSMs
    /// there and refuse LSM policies when it is not mounted in their container.
    #[serde(default)]
    pub securityfs: Securityfs,

    /// Ask the agents themselves which TracingPolicies they have and whether these enforce. The condition
    /// TracingPoliciesEnforced compares their answers with the TracingPolicies in the cluster. The operator then opens TCP
    /// connections to the nodes' internal addresses, once a minute to each. Absent: nobody is asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agents: Option<Agents>,

    /// When agents may be restarted for what the operator changes in the DaemonSet, or takes out of it again. Absent: at
    /// any time. Of several policies that name one DaemonSet, every window has to be open. The DaemonSet's owner decides
    /// otherwise by an annotation on it: lsmready.io/apply=allow for now, lsmready.io/apply=hold for not yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<Window>,

    /// How many agents may be restarted at once for what the operator changes. The operator never changes the update
    /// strategy: where the DaemonSet's own maxUnavailable or maxSurge allows more, it changes nothing and says so. Absent:
    /// as many as the DaemonSet allows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub max_concurrent: Option<i32>,

    /// Restart agents that found no LSM BPF when they started, whatever their release: those that started while their node was
    /// shown to be unable to deny, in the same boot, and those that say so of their policies although the node is proved ready
    /// since. An agent that enforces is left alone. One at a time, by eviction, within window and maxConcurrent. Default:
    /// false.
    #[serde(default)]
    pub restart_stale_agents: bool,
}

/// A DaemonSet and the agent's container in it.
#[derive(
    KubeSchema, Clone, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize,
)]
pub struct DaemonSetRef {
    /// Namespace of the DaemonSet. Default: kube-system.
    #[serde(default = "kube_system")]
    #[schemars(length(min = 1, max = 63), regex(pattern = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub namespace: String,
    /// Name of the DaemonSet. Default: tetragon.
    #[serde(default = "tetragon")]
    #[schemars(length(min = 1, max = 253), regex(pattern = "^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$"))]
    pub name: String,
    /// Name of the agent's container. Default: tetragon; where no container has that name, the only one with Tetragon's
    /// image or else the only one that mounts /sys/fs/bpf.
    #[serde(default = "tetragon")]
    #[schemars(length(min = 1, max = 63), regex(pattern = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub container: String,
}

fn kube_system() -> String {
    "kube-system".into()
}

fn tetragon() -> String {
    "tetragon".into()
}

impl Default for DaemonSetRef {
    fn default() -> Self {
        Self { namespace: kube_system(), name: tetragon(), container: tetragon() }
    }
}

impl std::fmt::Display for DaemonSetRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// Whether and how the agent gets the host's securityfs.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Securityfs {
    /// Auto (default): mount it where the agent needs it. Agents from v1.4.0 on mount securityfs themselves when their
    /// container may (privileged, or SYS_ADMIN in effect); agents before v1.2.0 know no lsmhooks. Always: mount it in any
    /// case. Never: leave the DaemonSet as it is.
    #[serde(default)]
    pub mount: Mount,
    /// Patch (default): the operator adds the volume and the mount with server-side apply, which restarts the agents by
    /// the DaemonSet's own rolling update. Suggest: nothing is written; the policy's status says what to change.
    #[serde(default)]
    pub apply: Apply,
}

/// When to mount securityfs. Ordered by strength: the strongest wish of several policies wins.
#[derive(
    Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, Ord, PartialEq, PartialOrd, Serialize,
)]
pub enum Mount {
    /// Leave the DaemonSet as it is.
    Never,
    /// Where the agent needs it.
    #[default]
    Auto,
    /// In any case.
    Always,
}

/// Who changes the DaemonSet. Ordered by strength.
#[derive(
    Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, Ord, PartialEq, PartialOrd, Serialize,
)]
pub enum Apply {
    /// Its owner, by what the status suggests.
    Suggest,
    /// The operator.
    #[default]
    Patch,
}

/// The taint for selected nodes that are not proved ready.
#[derive(KubeSchema, Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Taint {
    /// Key of the taint. Default: lsmready.io/not-ready. Use readiness.k8s.io/lsmready.io-not-ready where
    /// Karpenter adds nodes, and startup-taint.cluster-autoscaler.kubernetes.io/lsmready where the Cluster
    /// Autoscaler of GKE or AKS does: these autoscalers then expect the taint to go, and do not add
    /// more nodes while a new node starts. Policies with different keys each keep their own taint.
    #[serde(default)]
    pub key: TaintKey,
    /// NoSchedule: new pods are not scheduled to the node. PreferNoSchedule: the scheduler avoids the
    /// node where it can. Running pods are never evicted. Where several policies use the same key, the
    /// strongest effect applies.
    pub effect: TaintEffect,
}

/// Key of the taint.
#[derive(
    Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, Ord, PartialEq, PartialOrd, Serialize,
)]
pub enum TaintKey {
    /// The key with our own prefix.
    #[default]
    #[serde(rename = "lsmready.io/not-ready")]
    NotReady,
    /// The key with the prefix of the node-readiness-controller, which Karpenter treats as ephemeral.
    #[serde(rename = "readiness.k8s.io/lsmready.io-not-ready")]
    Readiness,
    /// The key with the Cluster Autoscaler's prefix for startup taints.
    #[serde(rename = "startup-taint.cluster-autoscaler.kubernetes.io/lsmready")]
    ClusterAutoscaler,
}

impl TaintKey {
    /// Every key, in the order of [`TAINT_KEYS`].
    pub const ALL: [Self; 3] = [Self::NotReady, Self::Readiness, Self::ClusterAutoscaler];

    /// The key as it is written in `Node.spec.taints`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotReady => TAINT_KEYS[0],
            Self::Readiness => TAINT_KEYS[1],
            Self::ClusterAutoscaler => TAINT_KEYS[2],
        }
    }
}

/// Effect of the taint, weakest first. The strongest effect of several policies applies.
#[derive(
    Clone, Copy, Debug, Deserialize, Eq, JsonSchema, Ord, PartialEq, PartialOrd, Serialize,
)]
pub enum TaintEffect {
    /// The scheduler avoids the node where it can.
    PreferNoSchedule,
    /// New pods without a toleration are not scheduled to the node.
    NoSchedule,
}

impl TaintEffect {
    /// The effect as it is written in `Node.spec.taints`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::PreferNoSchedule => "PreferNoSchedule",
            Self::NoSchedule => "NoSchedule",
        }
    }
}

/// What became of the policy. Its size does not grow with the cluster.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LsmPolicyStatus {
    /// The generation of the spec that this status is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Ready, NodesReady, TracingPoliciesLoadable, SecurityfsMounted, TetragonRolledOut, TetragonHardened,
    /// TracingPoliciesEnforced, Reconciling and Stalled; docs/conditions.md lists their reasons.
    #[serde(default)]
    #[schemars(schema_with = "schema::conditions")]
    pub conditions: Vec<Condition>,
    /// The selected nodes by verdict.
    #[serde(default)]
    pub nodes: NodeCounts,
    /// Why nodes are not ready: at most 20 reasons, most frequent first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20))]
    pub reasons: Vec<ReasonCount>,
}

/// Counts of the selected nodes.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeCounts {
    /// Ready of selected, as the NODES column shows it: 41/42.
    #[serde(default)]
    pub summary: String,
    /// Nodes that the selector matches.
    #[serde(default)]
    pub selected: i64,
    /// Proved ready in their present boot.
    #[serde(default)]
    pub ready: i64,
    /// Shown to be not ready.
    #[serde(default)]
    pub not_ready: i64,
    /// Not known: no report yet, one of an earlier boot, or one that could not be tried.
    #[serde(default)]
    pub unknown: i64,
}

/// One bar of the histogram of reasons.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct ReasonCount {
    /// One of the codes in docs/reasons.md.
    pub reason: String,
    /// How many selected nodes have it.
    pub count: i64,
    /// The first three of those nodes, by name.
    #[serde(default)]
    #[schemars(length(max = 3))]
    pub sample: Vec<String>,
    /// What to change, as the first of those nodes puts it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub fix: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_taint_key_is_written_as_its_name() {
        assert_eq!(TaintKey::ALL.map(TaintKey::as_str), TAINT_KEYS);
        for key in TaintKey::ALL {
            assert_eq!(serde_json::to_value(key).unwrap(), key.as_str());
        }
        let taint: Taint = serde_json::from_str(r#"{"effect": "NoSchedule"}"#).unwrap();
        assert_eq!(taint.key, TaintKey::NotReady);
    }
}

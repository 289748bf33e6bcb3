//! `LsmPolicy`: which nodes must be able to deny through LSM BPF, what else they need for it, and
//! what the operator may change in Tetragon's DaemonSet.

mod status;
mod taint;

pub use status::{LsmPolicyStatus, NodeCounts, ReasonCount, SpecChange};
pub use taint::{Taint, TaintEffect, TaintKey, TaintRollout};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::RequiredEvidence;
use crate::agent_query::Agents;
use crate::lenient;
use crate::schema;
use crate::window::Window;

// `kubectl explain lsmpolicy.spec` prints the doc comments of these types.

/// What the selected nodes must be able to do, and what the operator may change for it.
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
    doc = "An LsmPolicy says which nodes must be able to deny something through LSM BPF, as \
           Tetragon's lsmhooks do. It also says what else the nodes need for it, and whether the \
           operator may add a missing securityfs volume to Tetragon's DaemonSet. The status says \
           how many nodes can deny, how many cannot, and why.",
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].status"#
    ),
    printcolumn(
        name = "Nodes",
        type_ = "string",
        json_path = ".status.nodes.summary",
        description = "Ready nodes of the selected nodes"
    ),
    printcolumn(
        name = "Tetragon",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="SecurityfsMounted")].reason"#,
        description = "State of the securityfs mount in Tetragon's DaemonSet"
    ),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].reason"#
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    validation = Rule::new("self.metadata.name.size() <= 56")
        .message("the name becomes part of a node label (policy.<name>): use at most 56 characters")
)]
#[serde(rename_all = "camelCase")]
pub struct LsmPolicySpec {
    /// Label selector for the Nodes that the policy is about. An empty selector {} selects every
    /// node. Absent: every Linux node (kubernetes.io/os=linux).
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "lenient::selector"
    )]
    #[schemars(schema_with = "schema::label_selector")]
    pub node_selector: Option<LabelSelector>,

    /// How many of the selected nodes must be ready for the policy to be ready: a number of nodes,
    /// for example 3, or a percentage, for example "90%" (rounded up). Default: "100%". A policy
    /// that selects no node is not ready.
    #[serde(default = "all_nodes", deserialize_with = "lenient::int_or_text")]
    #[schemars(schema_with = "schema::min_ready")]
    pub min_ready: IntOrString,

    /// What each selected node must be able to do. Default: its canary program denied a call.
    #[serde(default, deserialize_with = "lenient::part")]
    pub require: Require,

    /// The Tetragon installation that enforces on these nodes. Absent: the operator ignores
    /// Tetragon.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "lenient::part")]
    pub tetragon: Option<Tetragon>,

    /// Taint selected nodes that are not proved ready, so that no new pods are scheduled to them.
    /// Nodes that join with the taint (an autoscaler's startup taint) lose it once they are ready.
    /// Absent: no taint.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "lenient::part")]
    pub taint: Option<Taint>,
}

fn all_nodes() -> IntOrString {
    IntOrString::String("100%".into())
}

/// What a node must be able to do.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Require {
    /// How much evidence the node's canary program must have given in this boot. Loaded: the kernel
    /// accepted an LSM program. Attached: it was attached to a hook. Fired: it ran when the hook
    /// was called. Denied (default): it denied a call, which is what enforcement needs.
    #[serde(default)]
    pub evidence: RequiredEvidence,

    /// Other Linux Security Modules that must be active on the node, by the names in
    /// /sys/kernel/security/lsm, for example apparmor, selinux, landlock or yama.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), schema_with = "schema::lsm_names")]
    pub lsms: Vec<String>,

    /// LSM hooks on which the node's kernel must accept a BPF program, without the prefix bpf_lsm_,
    /// for example file_open or bprm_check_security. The node's LsmHookProfile decides.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::hook_names")]
    pub hooks: Vec<String>,

    /// LSM hooks on which the node's kernel must accept a sleepable BPF program. Tetragon's imaHash
    /// needs them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::hook_names")]
    pub sleepable_hooks: Vec<String>,

    /// Programs must be able to read kernel memory (bpf_probe_read_kernel), as Tetragon's programs
    /// do. lockdown=confidentiality forbids it. Default: false.
    #[serde(default)]
    pub kernel_reads: bool,

    /// Label selector for TracingPolicies. The lsmhooks of the selected policies become
    /// requirements on each node: hooks, sleepableHooks for policies with imaHash, and kernelReads.
    /// An empty selector {} selects every policy. Absent: no policy.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "lenient::selector"
    )]
    #[schemars(schema_with = "schema::tracing_policies")]
    pub tracing_policies: Option<LabelSelector>,

    /// Whether the selector in tracingPolicies also selects TracingPoliciesNamespaced. Ignore
    /// (default): it does not. Require: it does. Whoever may write TracingPoliciesNamespaced in any
    /// namespace can then make nodes not ready for this policy.
    #[serde(default)]
    pub namespaced_tracing_policies: NamespacedTracingPolicies,
}

/// Whether TracingPoliciesNamespaced count.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub enum NamespacedTracingPolicies {
    /// They do not count.
    #[default]
    Ignore,
    /// The selector in tracingPolicies selects them too.
    Require,
}

/// Tetragon's installation, and what the operator may change in it.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Tetragon {
    /// The DaemonSet of Tetragon's agents. Default: the names of Tetragon's Helm chart, which are
    /// DaemonSet tetragon in namespace kube-system, container tetragon.
    #[serde(default)]
    pub daemon_set: DaemonSetRef,

    /// Whether and how the agents get the host's securityfs. Agents before v1.4.0 read the list of
    /// active LSMs in /sys/kernel/security, and refuse LSM policies when it is not mounted in their
    /// container.
    #[serde(default)]
    pub securityfs: Securityfs,

    /// Ask the agents which TracingPolicies they have loaded, and whether these enforce. The
    /// condition TracingPoliciesEnforced compares the answers with the TracingPolicies in the
    /// cluster. The operator opens a TCP connection to each node's internal address once a minute.
    /// Absent: no agent is asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agents: Option<Agents>,

    /// When the operator may change the DaemonSet, which restarts the agents. Absent: at any time.
    /// Where several policies name one DaemonSet, all their windows must be open. The DaemonSet's
    /// owner can override the windows with an annotation on the DaemonSet: lsmready.io/apply=allow
    /// allows changes now, and lsmready.io/apply=hold forbids them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<Window>,

    /// Maximum number of agents that may restart at the same time for the operator's changes. The
    /// operator never changes the update strategy. Where the DaemonSet's maxUnavailable or maxSurge
    /// allows more, the operator changes nothing and reports it. Absent: as many as the DaemonSet
    /// allows.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "lenient::at_most_i32"
    )]
    #[schemars(range(min = 1, max = 2_147_483_647))]
    pub max_concurrent: Option<i32>,

    /// Restart stale agents: those that found no LSM BPF when they started, although their node has
    /// been proved ready since. An agent is stale if it started while reports of this boot showed
    /// that the node could not deny, or if it reports that its policies failed to load for lack of
    /// LSM BPF. An agent that enforces is not restarted. The operator evicts one agent at a time,
    /// within window and maxConcurrent. Default: false.
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
    /// Name of the agent's container. Default: tetragon. Where no container has this name, the
    /// operator uses the only container with Tetragon's image, or the only one that mounts
    /// /sys/fs/bpf.
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

/// Whether and how the agents get the host's securityfs.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Securityfs {
    /// Auto (default): mount securityfs where the agent needs it. Agents from v1.4.0 on mount it
    /// themselves if their container may (privileged, or with SYS_ADMIN in effect), and agents
    /// before v1.2.0 have no lsmhooks. Always: mount it in any case. Never: do not change the
    /// DaemonSet.
    #[serde(default)]
    pub mount: Mount,
    /// Patch (default): the operator adds the volume and the mount by server-side apply. The
    /// DaemonSet's rolling update then restarts the agents. Suggest: the operator writes nothing,
    /// and the policy's status says what to change.
    #[serde(default)]
    pub apply: Apply,
}

/// When to mount securityfs, weakest first. The strongest value of several policies applies.
#[derive(
    Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, Ord, PartialEq, PartialOrd, Serialize,
)]
pub enum Mount {
    /// Do not change the DaemonSet.
    Never,
    /// Where the agent needs it.
    #[default]
    Auto,
    /// Also where the agent does not need it.
    Always,
}

/// How the DaemonSet gets the mount, from the weakest choice to the strongest.
#[derive(
    Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, Ord, PartialEq, PartialOrd, Serialize,
)]
pub enum Apply {
    /// The DaemonSet's owner, by the suggestion in the policy's status.
    Suggest,
    /// The operator.
    #[default]
    Patch,
}

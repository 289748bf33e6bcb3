//! The status of an `LsmPolicy`.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use crate::lenient;
use crate::schema;

/// Observed state of the policy. Its size does not grow with the cluster.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LsmPolicyStatus {
    /// The generation of the spec that this status was computed from. -1 until the operator has
    /// looked at the policy.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "lenient::or_default"
    )]
    #[schemars(range(min = -1))]
    pub observed_generation: Option<i64>,
    /// Conditions: Ready, NodesReady, TracingPoliciesLoadable, SecurityfsMounted,
    /// TetragonRolledOut, TetragonHardened, TracingPoliciesEnforced, ChangesHeld, TaintStaged,
    /// Reconciling and Stalled.
    /// docs/conditions.md explains them and their reasons.
    #[serde(default, deserialize_with = "lenient::readable_items")]
    #[schemars(schema_with = "schema::conditions")]
    pub conditions: Vec<Condition>,
    /// Numbers of selected nodes.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub nodes: NodeCounts,
    /// Why nodes are not ready or unknown: at most 20 reasons, the most frequent first.
    #[serde(
        default,
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "lenient::readable_items"
    )]
    #[schemars(length(max = 20))]
    pub reasons: Vec<ReasonCount>,
    /// The change of the spec that has not reached every node yet. Absent where every node has what
    /// the policy asks for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spec_change: Option<SpecChange>,
}

/// A new or changed spec that has not reached every node yet. Labels that change for it are no
/// losses for the circuit breaker, and its taint is staged.
#[derive(KubeSchema, Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SpecChange {
    /// The generation of the spec.
    pub generation: i64,
    /// When the operator first saw this generation.
    #[schemars(schema_with = "schema::time")]
    pub start_time: Time,
    /// Number of nodes that had the taint and needed it at that time.
    #[serde(default)]
    pub tainted_before: i64,
}

/// Numbers of selected nodes.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeCounts {
    /// Ready and selected nodes, as the column NODES shows them, for example 41/42.
    #[serde(default)]
    #[schemars(length(max = 64))]
    pub summary: String,
    /// Nodes that nodeSelector matches.
    #[serde(default)]
    #[schemars(range(min = 0))]
    pub selected: i64,
    /// Nodes that are proved ready in their current boot.
    #[serde(default)]
    #[schemars(range(min = 0))]
    pub ready: i64,
    /// Nodes that are shown to be not ready.
    #[serde(default)]
    #[schemars(range(min = 0))]
    pub not_ready: i64,
    /// Nodes whose state is unknown: they have no report of this boot, or the trial could not be
    /// made.
    #[serde(default)]
    #[schemars(range(min = 0))]
    pub unknown: i64,
}

/// A reason and the nodes that have it.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct ReasonCount {
    /// One of the codes in docs/reasons.md.
    #[schemars(length(max = 64))]
    pub reason: String,
    /// Number of selected nodes with this reason.
    #[schemars(range(min = 0))]
    pub count: i64,
    /// The first three of these nodes, sorted by name.
    #[serde(default)]
    #[schemars(length(max = 3), inner(length(max = 253)))]
    pub sample: Vec<String>,
    /// What to change on these nodes, in lsm-ready's own words. Where it names the parameter to
    /// boot with, that is for the first of them. The LsmNode of each node has the fix of its own
    /// probe.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 8192))]
    pub fix: String,
}

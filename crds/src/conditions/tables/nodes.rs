//! The nodes of a policy, and the condition of a Node itself.

use super::{Row, row};
use crate::conditions::ConditionReason as R;

pub(super) const NODES_READY: &[Row] = &[
    row(R::EnforcementReady, "everything that the policy asks for holds", ""),
    row(R::AllNodesReady, "every selected node is ready", ""),
    row(
        R::EnoughNodesReady,
        "not all are, but as many as `minReady` asks for",
        "read `status.reasons` when the others matter",
    ),
    row(
        R::TooFewNodesReady,
        "more nodes than `minReady` allows were shown to be not ready",
        "`status.reasons` lists why, with the fix for the first of them; `kubectl get \
         lsmnodes` for each node; [reasons.md](reasons.md)",
    ),
    row(
        R::NodesUnknown,
        "too few are ready yet, and others are not known",
        "wait for nodes that boot; where it stays, look whether the probe's pods run there",
    ),
    row(
        R::NoNodesSelected,
        "`spec.nodeSelector` matches no node",
        "compare it with `kubectl get nodes --show-labels`",
    ),
    row(
        R::InvalidSpec,
        "the spec passed the API server's checks and means nothing",
        "the message says which part",
    ),
];

pub(super) const TRACING_POLICIES_LOADABLE: &[Row] = &[
    row(
        R::AllLoadable,
        "each of the policies loads on every selected node that it is for and can deny, \
         or they ask for no LSM hook",
        "",
    ),
    row(
        R::SomeDenyNothing,
        "True as well: each of the policies loads, and some deny nothing (no enforcing \
         action, or the mode is `monitor` or `monitor_only`)",
        "the message names them and what to write; nothing, where they are meant to watch",
    ),
    row(
        R::NotLoadable,
        "Tetragon refuses some policy, or some node was shown not to take it",
        "the message has field and rule, or hook, reason and nodes; `kubectl lsm \
         preflight` has all of them, with the fix",
    ),
    row(
        R::LoadabilityUnknown,
        "of some nodes too little is known (no report of this boot, no hook profile), or \
         no node is selected; or a policy cannot be judged: it depends on Tetragon's \
         release, or has a field that no known release has",
        "`status.reasons` and `kubectl get lsmnodes`; else the message names the field",
    ),
    row(
        R::NoneSelected,
        "the selector fits no TracingPolicy, or Tetragon's CRDs are not installed: \
         nothing is asked of the nodes",
        "compare the selector with `kubectl get tracingpolicies --show-labels`",
    ),
    row(
        R::InvalidTracingPolicy,
        "an entry of a policy's `lsmhooks` cannot be read, so what it asks for is not \
         known",
        "the message names policy and field",
    ),
    row(
        R::TracingPoliciesForbidden,
        "the operator may not list or watch them",
        "the message has the rule to add; it is part of \
         [config/rbac](../config/rbac/operator.yaml)",
    ),
    row(
        R::TracingPoliciesUnread,
        "the API server did not give them (yet)",
        "the message has its error",
    ),
];

pub(super) const NODE_CONDITION: &[Row] = &[row(
    R::ProbeSilent,
    "the probe has not renewed its report for 90 minutes (three periods)",
    "look at the probe's pod on this node",
)];

//! The reasons about a policy's nodes, and those of the condition of a Node itself.

use super::{Row, row};
use crate::conditions::ConditionReason as R;

pub(super) const NODES_READY: &[Row] = &[
    row(R::EnforcementReady, "everything that the policy asks for holds", ""),
    row(R::AllNodesReady, "every selected node is ready", ""),
    row(
        R::EnoughNodesReady,
        "not every selected node is ready, but as many as `minReady` requires",
        "if the other nodes matter, read `status.reasons`",
    ),
    row(
        R::TooFewNodesReady,
        "fewer nodes are ready than `minReady` requires",
        "read `status.reasons`, which has each reason with a fix; `kubectl get lsmnodes` shows \
         each node; [reasons.md](reasons.md) explains the reasons",
    ),
    row(
        R::NodesUnknown,
        "too few nodes are ready, but the state of other nodes is still unknown",
        "wait for nodes that boot; if it stays, check that the probe's pods run on these nodes",
    ),
    row(
        R::NoNodesSelected,
        "`spec.nodeSelector` matches no node",
        "compare it with `kubectl get nodes --show-labels`",
    ),
    row(
        R::InvalidSpec,
        "the API server accepted the spec, but it is invalid",
        "correct the field that the message names",
    ),
    row(
        R::TooManyPolicies,
        "the cluster has more than 100 LsmPolicies. The 100 oldest count; this policy sets no \
         label and no taint",
        "delete policies that are not needed, or combine policies with the same requirement",
    ),
    row(
        R::Unparsable,
        "the API server accepted the policy, but this version of the operator cannot read it. The \
         version before it stays in force. Where the operator has started since, no label, taint \
         or mount is removed that the policy may have asked for",
        "correct the field that the message names, or install the operator and the CRDs of one \
         release",
    ),
];

pub(super) const TRACING_POLICIES_LOADABLE: &[Row] = &[
    row(
        R::AllLoadable,
        "every policy loads on every selected node that it is for and that can deny, or no policy \
         has an LSM hook",
        "",
    ),
    row(
        R::SomeDenyNothing,
        "every policy loads, but some policies deny nothing: they have no enforcing action, or \
         their mode is `monitor` or `monitor_only`. The condition is True",
        "if these policies should deny, change what the message names",
    ),
    row(
        R::NotLoadable,
        "Tetragon refuses a policy, or a node was shown not to accept it",
        "the message has the field and the rule, or the hook, the reason and the nodes; `kubectl \
         lsm-ready preflight` lists all of them with the fix",
    ),
    row(
        R::LoadabilityUnknown,
        "too little is known about some nodes (no report of this boot, or no hook profile), or no \
         node is selected, or a policy cannot be judged: it depends on Tetragon's release, or it \
         has a field that no known release has",
        "read `status.reasons` and `kubectl get lsmnodes`, or correct the field that the message \
         names",
    ),
    row(
        R::NoneSelected,
        "the selector matches no TracingPolicy, or Tetragon's CRDs are not installed, so nothing \
         is required of the nodes",
        "compare the selector with `kubectl get tracingpolicies --show-labels`",
    ),
    row(
        R::InvalidTracingPolicy,
        "an entry in a policy's `lsmhooks` is invalid, so its requirement is unknown",
        "correct the policy and field that the message names",
    ),
    row(
        R::TracingPoliciesForbidden,
        "the operator may not list or watch TracingPolicies",
        "add the RBAC rule in the message, which is part of \
         [config/rbac](../config/rbac/operator.yaml)",
    ),
    row(
        R::TracingPoliciesUnread,
        "the operator could not read all TracingPolicies",
        "the message has the API server's error, or how many have no room in memory",
    ),
];

pub(super) const CHANGES_HELD: &[Row] = &[
    row(
        R::BreakerOpen,
        "too many nodes lost `ready` without a reboot, so the labels, the taints and the condition \
         of the nodes that would lose it now keep their values",
        "look at the probes' pods and logs first, and undo what broke them: the nodes recover by \
         themselves. If the nodes really cannot deny any more, release the changes \
         ([circuit-breaker.md](circuit-breaker.md))",
    ),
    row(
        R::BreakerReleased,
        "a policy, or the operator's Lease, has the annotation `lsmready.io/breaker: release`, so \
         no change is held. The condition is False",
        "remove the annotation that the message names when the nodes are as you want them",
    ),
];

pub(super) const TAINT_STAGED: &[Row] = &[row(
    R::TaintingByTenths,
    "the policy is new or was changed and would taint many nodes, so one more tenth of them gets \
     the taint each minute",
    "nothing; or correct the policy before the taint is everywhere; or set `spec.taint.rollout: \
     AllAtOnce`",
)];

pub(super) const NODE_CONDITION: &[Row] = &[row(
    R::ProbeSilent,
    "the probe has not renewed its report for 90 minutes (three intervals). The status stays, \
     because evidence holds for the whole boot",
    "check the probe's pod on this node",
)];

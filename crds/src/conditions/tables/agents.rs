//! The reasons about the answers of Tetragon's agents.

use super::{Row, row};
use crate::conditions::ConditionReason as R;

pub(super) const TRACING_POLICIES_ENFORCED: &[Row] = &[
    row(
        R::NotAsked,
        "the policy has `ask: Never`, or the DaemonSet has no agents on the selected nodes",
        "",
    ),
    row(
        R::NotAskable,
        "the agents cannot be reached: their pods have no `hostNetwork`, or they listen on an \
         address that only their own node reaches",
        "the message says which; in most cases `ask: Metrics` helps",
    ),
    row(
        R::TlsFiles,
        "`spec.tetragon.agents.tls` is set, but the operator's TLS files are missing or invalid",
        "the message names the file and what it needs; [install.md](install.md#grpc-over-tls)",
    ),
    row(R::DaemonSetNotFound, "the DaemonSet does not exist", "as above"),
    row(R::ContainerNotFound, "the container does not exist", "as above"),
    row(
        R::AgentDisagrees,
        "an agent reports that a policy failed to load, although its node is proved ready",
        "the message has the policies, the nodes and the agent's error; if the error is about LSM \
         support, restart the agent",
    ),
    row(
        R::LoadErrors,
        "agents report that policies failed to load, but only on nodes that are not proved ready",
        "read `status.reasons`, which says why these nodes are not ready",
    ),
    row(
        R::PoliciesMissing,
        "a policy is for a node, but the agent there has not loaded it, for example after `tetra \
         tracingpolicy delete`",
        "restart the agents that the message names",
    ),
    row(
        R::PoliciesDisabled,
        "someone disabled a policy with `tetra tracingpolicy disable`",
        "find out why, then run `tetra tracingpolicy enable NAME`",
    ),
    row(
        R::PartiallyEnabled,
        "some hooks of a policy are not attached",
        "the message names the hooks; `kubectl lsm-ready preflight` shows which kernels accept \
         them",
    ),
    row(
        R::PoliciesSkipped,
        "an agent skips a policy although the policy's `spec.nodeSelector` matches its node",
        "read the agent's log, then restart the agent",
    ),
    row(
        R::MonitorMode,
        "a policy only reports what it would deny, by its option `policy-mode: monitor` or by \
         `tetra tracingpolicy set-mode`",
        "remove the option, or run `tetra tracingpolicy set-mode NAME enforce`",
    ),
    row(
        R::NoEnforcingAction,
        "a policy is loaded but has no action that denies. Actions that deny are Sigkill, and \
         Override with an error on a hook whose return value the kernel uses",
        "add such an action, or select only the policies that should deny with \
         `spec.require.tracingPolicies`",
    ),
    row(
        R::TracingPoliciesForbidden,
        "the operator may not read TracingPolicies, so it cannot compare the answers with them",
        "add the RBAC rule in the message",
    ),
    row(
        R::TracingPoliciesUnread,
        "the operator could not read all TracingPolicies",
        "the message has the API server's error, or how many have no room in memory",
    ),
    row(
        R::NoAnswer,
        "agents did not answer three times in a row, or have never answered",
        "the message has the cause and where to look",
    ),
    row(
        R::Starting,
        "agents have not answered yet, and may have just started",
        "wait a minute; if the agents wait for missing CRDs, the message names the CRDs",
    ),
    row(
        R::Loading,
        "agents load or unload policies, or have not loaded a new policy yet",
        "wait; if it stays, read the agent's log",
    ),
    row(
        R::StateUnclear,
        "the state of a policy is unclear: this version does not know the state, or the metrics do \
         not say which policy they count",
        "run `tetra tracingpolicy list` on one of the nodes",
    ),
    row(
        R::ModeUnknown,
        "the policies are enabled, but the metrics do not show whether they enforce or only \
         monitor",
        "ask by gRPC ([install.md](install.md#asking-tetragons-agents))",
    ),
    row(
        R::Asking,
        "the agents have not been asked twice since they, their nodes or the policies changed",
        "wait",
    ),
    row(
        R::NoPolicies,
        "no TracingPolicy is for these nodes, or `spec.require.tracingPolicies` selects none",
        "apply a TracingPolicy, or correct the selector",
    ),
    row(R::AllEnforcing, "every policy is enabled and enforced on each of its nodes", ""),
];

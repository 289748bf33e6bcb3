//! What Tetragon's agents answer.

use super::{Row, row};
use crate::conditions::ConditionReason as R;

pub(super) const TRACING_POLICIES_ENFORCED: &[Row] = &[
    row(
        R::NotAsked,
        "the policy says `ask: Never`, or no node that it selects is one for the \
         DaemonSet's agents",
        "",
    ),
    row(
        R::NotAskable,
        "the agents cannot be asked: their pods have no `hostNetwork`, or they listen \
         where only their own node gets to",
        "the message says which; mostly `ask: Metrics` helps",
    ),
    row(
        R::TlsFiles,
        "`spec.tetragon.agents.tls` is set, and the operator's files for it are missing \
         or cannot be used",
        "the message names the file and what it needs; \
         [install.md](install.md#grpc-over-tls)",
    ),
    row(R::DaemonSetNotFound, "there is no such DaemonSet", "as above"),
    row(R::ContainerNotFound, "there is no such container", "as above"),
    row(
        R::AgentDisagrees,
        "the agent of a node that is proved ready reports an error of a policy: the \
         kernel can, and the agent says that it cannot",
        "the message has policies, nodes and the agent's own words; where those speak of \
         LSM support, restart the agent",
    ),
    row(
        R::LoadErrors,
        "agents report errors of policies, all on nodes that are not proved ready, where \
         that was to be expected",
        "`status.reasons` says why those nodes are not ready",
    ),
    row(
        R::PoliciesMissing,
        "a policy is in the cluster and for a node, and the agent there does not have it; \
         also after `tetra tracingpolicy delete`",
        "restart the agents that the message names",
    ),
    row(
        R::PoliciesDisabled,
        "somebody has switched a policy off (`tetra tracingpolicy disable`)",
        "ask who and why; `tetra tracingpolicy enable NAME`",
    ),
    row(
        R::PartiallyEnabled,
        "some hooks of a policy are not attached",
        "the message names the hooks; `kubectl lsm preflight` tells which kernels take \
         them",
    ),
    row(
        R::PoliciesSkipped,
        "an agent skips a policy whose `spec.nodeSelector` fits its node",
        "look at the agent's log, and restart it",
    ),
    row(
        R::MonitorMode,
        "a policy only reports what it would deny: by its option `policy-mode: monitor`, \
         or by `tetra tracingpolicy set-mode`",
        "remove the option, or `tetra tracingpolicy set-mode NAME enforce`",
    ),
    row(
        R::NoEnforcingAction,
        "a policy has no action that denies (Sigkill, or Override with an error on a hook \
         whose return value the kernel uses), so it is loaded and denies nothing",
        "add one; or select the policies that are to deny with \
         `spec.require.tracingPolicies`",
    ),
    row(
        R::TracingPoliciesForbidden,
        "the operator may not read TracingPolicies, so there is nothing to compare with",
        "the message has the rule to add",
    ),
    row(
        R::TracingPoliciesUnread,
        "the API server did not give them (yet)",
        "the message has its error",
    ),
    row(
        R::NoAnswer,
        "agents gave no answer, three times in a row or from the start",
        "the message has the cause and where to look",
    ),
    row(
        R::Starting,
        "agents gave no answer yet, and may have only just started",
        "wait a minute; where CRDs are missing, for which agents wait at their start, the \
         message names them",
    ),
    row(
        R::Loading,
        "agents are loading or unloading policies, or have not loaded a new one yet",
        "wait; a policy that stays so is a matter for the agent's log",
    ),
    row(
        R::StateUnclear,
        "it is not clear which state a policy is in: a state that this version does not \
         know, or metrics that do not say which policy they count",
        "`tetra tracingpolicy list` on such a node",
    ),
    row(
        R::ModeUnknown,
        "the policies are enabled, and whether they enforce or only monitor is not known: \
         metrics do not tell",
        "ask by gRPC ([install.md](install.md#asking-tetragons-agents))",
    ),
    row(
        R::Asking,
        "agents have not been asked twice since they, their nodes or the policies changed",
        "wait",
    ),
    row(
        R::NoPolicies,
        "no TracingPolicy is for these nodes, or `spec.require.tracingPolicies` selects \
         none of them",
        "apply one, or correct the selector",
    ),
    row(R::AllEnforcing, "every policy that is for a node is enabled and enforced there", ""),
];

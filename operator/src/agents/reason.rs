//! The reasons of the condition `TracingPoliciesEnforced`. They are part of the API: people alert on them.

/// Every policy that is for a node is enabled and enforces there, on every selected node with an agent.
pub const ALL_ENFORCING: &str = "AllEnforcing";
/// An agent reports an error of a policy on a node that is proved ready.
pub const AGENT_DISAGREES: &str = "AgentDisagrees";
/// Agents report errors of policies, all on nodes that are not proved ready.
pub const LOAD_ERRORS: &str = "LoadErrors";
/// An agent does not have a policy that is in the cluster and for its node.
pub const POLICIES_MISSING: &str = "PoliciesMissing";
/// A policy is switched off in an agent.
pub const POLICIES_DISABLED: &str = "PoliciesDisabled";
/// Some hooks of a policy are not attached.
pub const PARTIALLY_ENABLED: &str = "PartiallyEnabled";
/// An agent skips a policy that is for its node.
pub const POLICIES_SKIPPED: &str = "PoliciesSkipped";
/// A policy only reports what it would deny.
pub const MONITOR_MODE: &str = "MonitorMode";
/// A policy has no action that denies.
pub const NO_ENFORCING_ACTION: &str = "NoEnforcingAction";
/// Agents give no answer.
pub const NO_ANSWER: &str = "Unanswered";
/// Agents give no answer yet, because they have only just started.
pub const STARTING: &str = "Starting";
/// Agents are loading or unloading policies.
pub const LOADING: &str = "Loading";
/// Agents have policies in states that this version does not know.
pub const STATE_UNCLEAR: &str = "StateUnclear";
/// The policies are enabled, and their mode is not known.
pub const MODE_UNKNOWN: &str = "ModeUnknown";
/// No policy is for these nodes.
pub const NO_POLICIES: &str = "NoPolicies";
/// Agents have not been asked yet, or not since something changed.
pub const ASKING: &str = "Asking";
/// The policy says `ask: Never`, or no selected node has an agent.
pub const NOT_ASKED: &str = "NotAsked";
/// The agents cannot be asked in the way that the policy says, or at all.
pub const NOT_ASKABLE: &str = "NotAskable";
/// The files for TLS cannot be used.
pub const TLS_FILES: &str = "TlsFiles";

/// All of them, for the documentation's test.
pub const ALL: [&str; 19] = [
    ALL_ENFORCING,
    AGENT_DISAGREES,
    LOAD_ERRORS,
    POLICIES_MISSING,
    POLICIES_DISABLED,
    PARTIALLY_ENABLED,
    POLICIES_SKIPPED,
    MONITOR_MODE,
    NO_ENFORCING_ACTION,
    NO_ANSWER,
    STARTING,
    LOADING,
    STATE_UNCLEAR,
    MODE_UNKNOWN,
    NO_POLICIES,
    ASKING,
    NOT_ASKED,
    NOT_ASKABLE,
    TLS_FILES,
];

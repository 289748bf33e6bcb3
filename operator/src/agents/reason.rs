//! The reasons of the condition `TracingPoliciesLoaded`. They are part of the API: people alert on them.

/// Every agent that was asked has loaded and enabled all of its policies.
pub const ALL_LOADED: &str = "AllLoaded";
/// An agent has a policy in an error state on a node that is proved ready.
pub const AGENT_DISAGREES: &str = "AgentDisagrees";
/// Agents have policies in an error state, all on nodes that are not proved ready.
pub const LOAD_ERRORS: &str = "LoadErrors";
/// Somebody has switched off a policy that is loaded.
pub const DISABLED: &str = "PoliciesDisabled";
/// Agents that gave no answer.
pub const NO_ANSWER: &str = "NoAnswer";
/// Agents are loading or unloading policies.
pub const LOADING: &str = "Loading";
/// Agents have policies in states that mean nothing to this version.
pub const UNCLEAR: &str = "StateUnclear";
/// No agent that was asked has any policy.
pub const NO_POLICIES: &str = "NoPolicies";
/// The first answers are awaited.
pub const ASKING: &str = "Asking";
/// The policy says `ask: Never`.
pub const NOT_ASKED: &str = "NotAsked";
/// The agents cannot be asked in the way that the policy says, or at all.
pub const NOT_ASKABLE: &str = "NotAskable";

/// All of them, for the documentation's test.
pub const ALL: [&str; 11] = [
    ALL_LOADED,
    AGENT_DISAGREES,
    LOAD_ERRORS,
    DISABLED,
    NO_ANSWER,
    LOADING,
    UNCLEAR,
    NO_POLICIES,
    ASKING,
    NOT_ASKED,
    NOT_ASKABLE,
];

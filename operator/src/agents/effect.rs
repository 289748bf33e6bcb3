//! What a policy does on a node, according to its agent.

use lsm_ready_crds::{ConditionReason, State};

/// What a policy does on a node.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Effect {
    /// The policy is enabled and enforces.
    Denies,
    /// The policy is enabled and only observes, as expected.
    Observes,
    /// The policy does not do what is expected of it.
    Problem(Problem),
}

/// Why a policy is not shown to do what is expected. The first problem in this order is the reason
/// of the condition.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Problem {
    /// The agent reports an error, although the node is ready.
    AgentDisagrees,
    /// The agent reports an error.
    LoadErrors,
    /// The agent does not have the policy.
    Missing,
    /// Somebody disabled the policy in the agent.
    Disabled,
    /// Some hooks of the policy are not attached.
    PartiallyEnabled,
    /// The agent skips the policy.
    Skipped,
    /// The policy reports, and denies nothing.
    MonitorMode,
    /// The policy has no action that denies.
    NoEnforcingAction,
    /// The policy is being loaded or unloaded.
    Loading,
    /// The state of the policy is unknown.
    StateUnclear,
    /// The policy is enabled, and its mode is unknown.
    ModeUnknown,
}

impl Problem {
    /// The problem as it counts on a node. An error on a ready node contradicts the evidence. An
    /// agent whose answer is not final may still load the policies that it lacks.
    pub const fn on_node(self, is_ready: bool, is_final: bool) -> Self {
        match self {
            Self::LoadErrors if is_ready => Self::AgentDisagrees,
            Self::Missing | Self::Skipped if !is_final => Self::Loading,
            Self::AgentDisagrees
            | Self::LoadErrors
            | Self::Missing
            | Self::Disabled
            | Self::PartiallyEnabled
            | Self::Skipped
            | Self::MonitorMode
            | Self::NoEnforcingAction
            | Self::Loading
            | Self::StateUnclear
            | Self::ModeUnknown => self,
        }
    }

    pub const fn reason(self) -> ConditionReason {
        match self {
            Self::AgentDisagrees => ConditionReason::AgentDisagrees,
            Self::LoadErrors => ConditionReason::LoadErrors,
            Self::Missing => ConditionReason::PoliciesMissing,
            Self::Disabled => ConditionReason::PoliciesDisabled,
            Self::PartiallyEnabled => ConditionReason::PartiallyEnabled,
            Self::Skipped => ConditionReason::PoliciesSkipped,
            Self::MonitorMode => ConditionReason::MonitorMode,
            Self::NoEnforcingAction => ConditionReason::NoEnforcingAction,
            Self::Loading => ConditionReason::Loading,
            Self::StateUnclear => ConditionReason::StateUnclear,
            Self::ModeUnknown => ConditionReason::ModeUnknown,
        }
    }

    /// The status of the condition with this reason.
    pub const fn state(self) -> State {
        match self {
            Self::Loading | Self::StateUnclear | Self::ModeUnknown => State::Unknown,
            Self::AgentDisagrees
            | Self::LoadErrors
            | Self::Missing
            | Self::Disabled
            | Self::PartiallyEnabled
            | Self::Skipped
            | Self::MonitorMode
            | Self::NoEnforcingAction => State::NotReady,
        }
    }
}

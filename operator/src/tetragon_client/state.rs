//! State and mode of a policy on an agent, and counts of policies by state.

/// The state of a policy on an agent: `TracingPolicyState` of sensors.proto. A greater state is a
/// worse one.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum PolicyState {
    /// Loaded and enabled. The policy may still deny nothing: see [`Mode`].
    Enabled,
    /// Switched off by `tetra tracingpolicy disable`: nothing of it is in the kernel.
    Disabled,
    /// Loading failed. Tetragon does not retry until the policy changes or the agent restarts.
    LoadError,
    /// Unloading failed.
    Error,
    /// It is being loaded.
    Loading,
    /// It is being unloaded.
    Unloading,
    /// Not loaded, because its nodeSelector does not match the agent's node (after Tetragon
    /// 1.8.0-pre.0).
    Skipped,
    /// Enabled, but some of its hooks were not attached: `PolicyStatus::failed_hooks` names them
    /// (after Tetragon 1.8.0-pre.0).
    PartiallyEnabled,
    /// The agent reports an unknown state, or one that this version of lsm-ready does not know.
    Unclear,
}

impl PolicyState {
    /// Every state, in order.
    pub const ALL: [Self; 9] = [
        Self::Enabled,
        Self::Disabled,
        Self::LoadError,
        Self::Error,
        Self::Loading,
        Self::Unloading,
        Self::Skipped,
        Self::PartiallyEnabled,
        Self::Unclear,
    ];

    /// The state with this number in sensors.proto.
    pub const fn numbered(number: u64) -> Self {
        match number {
            1 => Self::Enabled,
            2 => Self::Disabled,
            3 => Self::LoadError,
            4 => Self::Error,
            5 => Self::Loading,
            6 => Self::Unloading,
            7 => Self::Skipped,
            8 => Self::PartiallyEnabled,
            _ => Self::Unclear,
        }
    }

    /// The state with this label in the metric `tetragon_tracingpolicy_loaded`.
    pub fn named(name: &str) -> Self {
        Self::ALL.into_iter().find(|state| state.as_str() == name).unwrap_or(Self::Unclear)
    }

    /// Tetragon's name in sensors.proto, without `TP_STATE_` and in lower case.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Enabled => "enabled",
            Self::Disabled => "disabled",
            Self::LoadError => "load_error",
            Self::Error => "error",
            Self::Loading => "loading",
            Self::Unloading => "unloading",
            Self::Skipped => "skipped",
            Self::PartiallyEnabled => "partially_enabled",
            Self::Unclear => "unclear",
        }
    }

    /// Whether the agent reports an error.
    pub const fn is_error(self) -> bool {
        matches!(self, Self::LoadError | Self::Error)
    }
}

/// Whether a policy enforces: `TracingPolicyMode` of sensors.proto, since Tetragon 1.4. Agents give
/// a mode only for policies that are enabled and have something in the kernel.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Mode {
    /// Its actions are carried out. A policy without enforcing actions also has this mode.
    Enforce,
    /// Its enforcing actions are skipped: it only reports. Set by the policy's option `policy-mode`
    /// or by `tetra tracingpolicy set-mode`.
    Monitor,
    /// As `Monitor`, for a policy whose programs cannot enforce (since Tetragon 1.7).
    MonitorOnly,
    /// A mode that this version of lsm-ready does not know.
    Unclear,
}

impl Mode {
    /// The mode with this number in sensors.proto. Agents send 0 if a policy has no mode.
    pub const fn numbered(number: u64) -> Option<Self> {
        match number {
            0 => None,
            1 => Some(Self::Enforce),
            2 => Some(Self::Monitor),
            3 => Some(Self::MonitorOnly),
            _ => Some(Self::Unclear),
        }
    }

    /// Tetragon's name in sensors.proto, without `TP_MODE_` and in lower case.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Enforce => "enforce",
            Self::Monitor => "monitor",
            Self::MonitorOnly => "monitor_only",
            Self::Unclear => "unclear",
        }
    }
}

/// How many policies are in each state.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub struct StateCounts([u64; PolicyState::ALL.len()]);

impl StateCounts {
    /// The number of policies in this state.
    pub const fn of(&self, state: PolicyState) -> u64 {
        self.0[state as usize]
    }

    /// Adds policies in this state. The sum saturates.
    pub const fn add(&mut self, state: PolicyState, more: u64) {
        let count = &mut self.0[state as usize];
        *count = count.saturating_add(more);
    }

    /// The number of policies in any state.
    pub fn total(&self) -> u64 {
        self.0.iter().fold(0, |sum, count| sum.saturating_add(*count))
    }

    /// The number of policies for which the agent reports an error.
    pub const fn errors(&self) -> u64 {
        self.of(PolicyState::LoadError).saturating_add(self.of(PolicyState::Error))
    }

    /// The number of policies that are being loaded or unloaded.
    pub const fn in_progress(&self) -> u64 {
        self.of(PolicyState::Loading).saturating_add(self.of(PolicyState::Unloading))
    }
}

impl FromIterator<(PolicyState, u64)> for StateCounts {
    fn from_iter<T: IntoIterator<Item = (PolicyState, u64)>>(counted: T) -> Self {
        let mut counts = Self::default();
        for (state, count) in counted {
            counts.add(state, count);
        }
        counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_state_has_one_number_and_one_name() {
        for (number, state) in (1..).zip(PolicyState::ALL) {
            let by_number = PolicyState::numbered(number);
            assert_eq!((by_number, PolicyState::named(state.as_str())), (state, state));
        }
        for number in [0, 9, u64::MAX] {
            assert_eq!(PolicyState::numbered(number), PolicyState::Unclear);
        }
        assert_eq!(PolicyState::named("ENABLED"), PolicyState::Unclear);
    }

    #[test]
    fn sums_saturate() {
        let counts: StateCounts =
            [(PolicyState::Error, u64::MAX), (PolicyState::Error, 1), (PolicyState::LoadError, 1)]
                .into_iter()
                .collect();
        assert_eq!([counts.of(PolicyState::Error), counts.errors(), counts.total()], [u64::MAX; 3]);
    }
}

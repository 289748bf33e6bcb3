//! States and modes of a policy on an agent, and how many policies are in each state.

/// The state of a policy on an agent: `TracingPolicyState` of sensors.proto. A greater state is a worse one.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum State {
    /// Loaded and enabled. This does not say that the policy denies: see [`Mode`].
    Enabled,
    /// Switched off by `tetra tracingpolicy disable`: nothing of it is in the kernel.
    Disabled,
    /// It could not be loaded. Tetragon does not try again until the policy changes or the agent restarts.
    LoadError,
    /// It could not be unloaded.
    Error,
    /// It is being loaded.
    Loading,
    /// It is being unloaded.
    Unloading,
    /// Known and not loaded, because its nodeSelector does not match the agent's node (after Tetragon 1.8.0-pre.0).
    Skipped,
    /// Enabled, but some of its hooks were not attached: [`failed_hooks`](crate::tetragon_client::PolicyAnswer::failed_hooks) names them
    /// (after Tetragon 1.8.0-pre.0).
    PartiallyEnabled,
    /// The agent says that it does not know, or says a state that this version does not know.
    Unclear,
}

impl State {
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

    /// The state with this name in the metric `tetragon_tracingpolicy_loaded`.
    pub fn named(name: &str) -> Self {
        Self::ALL.into_iter().find(|state| state.as_str() == name).unwrap_or(Self::Unclear)
    }

    /// Tetragon's word: the name in sensors.proto without `TP_STATE_`, in lower case.
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

/// Whether a policy enforces: `TracingPolicyMode` of sensors.proto, since Tetragon 1.4. Agents give a mode only for
/// policies that are enabled and have something in the kernel.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Mode {
    /// Its actions are carried out. A policy without enforcing actions has this mode too.
    Enforce,
    /// Its enforcing actions are left out: it only reports. Set by the policy's option `policy-mode` or by
    /// `tetra tracingpolicy set-mode`.
    Monitor,
    /// As `Monitor`, for policies whose programs can do no more (since Tetragon 1.7).
    MonitorOnly,
    /// A mode that this version does not know.
    Unclear,
}

impl Mode {
    /// The mode with this number in sensors.proto; none for 0, which agents send where they have none to tell.
    pub const fn numbered(number: u64) -> Option<Self> {
        match number {
            0 => None,
            1 => Some(Self::Enforce),
            2 => Some(Self::Monitor),
            3 => Some(Self::MonitorOnly),
            _ => Some(Self::Unclear),
        }
    }

    /// Tetragon's word: the name in sensors.proto without `TP_MODE_`, in lower case.
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
pub struct Counts([u64; State::ALL.len()]);

impl Counts {
    /// The number of policies in this state.
    pub const fn of(&self, state: State) -> u64 {
        self.0[state as usize]
    }

    /// Adds policies in this state. A sum that does not fit stays at the greatest number.
    pub const fn add(&mut self, state: State, more: u64) {
        let count = &mut self.0[state as usize];
        *count = count.saturating_add(more);
    }

    /// The number of policies in any state.
    pub fn total(&self) -> u64 {
        self.0.iter().fold(0, |sum, count| sum.saturating_add(*count))
    }

    /// The number of policies for which the agent reports an error.
    pub const fn errors(&self) -> u64 {
        self.of(State::LoadError).saturating_add(self.of(State::Error))
    }

    /// The number of policies that are being loaded or unloaded.
    pub const fn in_progress(&self) -> u64 {
        self.of(State::Loading).saturating_add(self.of(State::Unloading))
    }
}

impl FromIterator<(State, u64)> for Counts {
    fn from_iter<T: IntoIterator<Item = (State, u64)>>(counted: T) -> Self {
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
        for (number, state) in (1..).zip(State::ALL) {
            let by_number = State::numbered(number);
            assert_eq!((by_number, State::named(state.as_str())), (state, state));
        }
        for number in [0, 9, u64::MAX] {
            assert_eq!(State::numbered(number), State::Unclear);
        }
        assert_eq!(State::named("ENABLED"), State::Unclear);
    }

    #[test]
    fn a_sum_that_does_not_fit_stays_at_the_greatest_number() {
        let counts: Counts = [(State::Error, u64::MAX), (State::Error, 1), (State::LoadError, 1)]
            .into_iter()
            .collect();
        assert_eq!([counts.of(State::Error), counts.errors(), counts.total()], [u64::MAX; 3]);
    }
}

//! The reasons of all conditions, as a closed list.
//!
//! Codes are part of the API, because people alert on them. [`tables`](super::tables) explains
//! each.

macro_rules! reasons {
    ($($name:ident)+) => {
        /// Why a condition has its status. [`TABLES`](super::tables::TABLES) explains each
        /// reason.
        #[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
        #[allow(missing_docs, reason = "the tables explain each reason")]
        pub enum ConditionReason {
            $($name,)+
        }

        impl ConditionReason {
            /// Every reason, in the order of the documentation.
            pub const ALL: &'static [Self] = &[$(Self::$name,)+];

            /// The code, as it is written in the condition.
            #[must_use]
            pub const fn code(self) -> &'static str {
                match self {
                    $(Self::$name => stringify!($name),)+
                }
            }
        }
    };
}

reasons! {
    EnforcementReady
    AllNodesReady
    EnoughNodesReady
    TooFewNodesReady
    NodesUnknown
    NoNodesSelected
    InvalidSpec
    TooManyPolicies
    Unparsable
    AllLoadable
    SomeDenyNothing
    NotLoadable
    LoadabilityUnknown
    NoneSelected
    InvalidTracingPolicy
    TracingPoliciesForbidden
    TracingPoliciesUnread
    Mounted
    AlreadyMounted
    MountsItself
    NoLsmHooks
    NotWanted
    Suggested
    Pending
    Overruled
    ContainerConflict
    DaemonSetNotFound
    DaemonSetNotAllowed
    ContainerNotFound
    NotLinux
    DuplicateVolume
    DuplicateMount
    FileMount
    VolumeNameTaken
    MountPathTaken
    NodesWithoutSecurityfs
    UserNamespace
    AppArmor
    PodsForbidden
    TakenBack
    Contested
    OutsideWindow
    Held
    BudgetTooLarge
    Forbidden
    FieldConflict
    ApplyFailed
    RolledOut
    RollingOut
    NotAvailable
    OnDelete
    ImagePull
    ContainerCreateFailed
    CrashLooping
    Unschedulable
    BudgetExhausted
    NoAgents
    NothingFound
    Privileged
    HostPid
    CapabilitiesMissing
    Capabilities
    SecurityfsWritable
    SecurityfsPropagated
    NoSeccomp
    MutableTag
    NotAsked
    NotAskable
    TlsFiles
    AgentDisagrees
    LoadErrors
    PoliciesMissing
    PoliciesDisabled
    PartiallyEnabled
    PoliciesSkipped
    MonitorMode
    NoEnforcingAction
    NoAnswer
    Starting
    Loading
    StateUnclear
    ModeUnknown
    Asking
    NoPolicies
    AllEnforcing
    BreakerOpen
    BreakerReleased
    TaintingByTenths
    ProbeSilent
}

impl ConditionReason {
    /// The reason with that code. `None` for a code of another version.
    #[must_use]
    pub fn from_code(code: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|reason| reason.code() == code)
    }
}

impl std::fmt::Display for ConditionReason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.code())
    }
}

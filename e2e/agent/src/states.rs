//! The states and modes of policies and hooks, in the names and numbers of Tetragon's gRPC API.

use prost::Enumeration;

/// TracingPolicyState.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enumeration)]
#[repr(i32)]
pub enum State {
    Unknown = 0,
    Enabled = 1,
    Disabled = 2,
    LoadError = 3,
    Error = 4,
    Loading = 5,
    Unloading = 6,
    Skipped = 7,
    PartiallyEnabled = 8,
}

impl State {
    /// The name in the protocol. In lower case and without its prefix it is the name in the metric.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unknown => "TP_STATE_UNKNOWN",
            Self::Enabled => "TP_STATE_ENABLED",
            Self::Disabled => "TP_STATE_DISABLED",
            Self::LoadError => "TP_STATE_LOAD_ERROR",
            Self::Error => "TP_STATE_ERROR",
            Self::Loading => "TP_STATE_LOADING",
            Self::Unloading => "TP_STATE_UNLOADING",
            Self::Skipped => "TP_STATE_SKIPPED",
            Self::PartiallyEnabled => "TP_STATE_PARTIALLY_ENABLED",
        }
    }
}

/// TracingPolicyMode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enumeration)]
#[repr(i32)]
pub enum Mode {
    Unknown = 0,
    Enforce = 1,
    Monitor = 2,
    MonitorOnly = 3,
}

impl Mode {
    /// The name in the protocol.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unknown => "TP_MODE_UNKNOWN",
            Self::Enforce => "TP_MODE_ENFORCE",
            Self::Monitor => "TP_MODE_MONITOR",
            Self::MonitorOnly => "TP_MODE_MONITOR_ONLY",
        }
    }
}

/// HookState.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enumeration)]
#[repr(i32)]
pub enum HookState {
    Unspecified = 0,
    Loaded = 1,
    DigestRejected = 2,
    CallNotFound = 3,
    PartialCallNotFound = 4,
}

impl HookState {
    /// The name in the protocol.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unspecified => "STATUS_UNSPECIFIED",
            Self::Loaded => "STATUS_LOADED",
            Self::DigestRejected => "STATUS_DIGEST_REJECTED",
            Self::CallNotFound => "STATUS_CALL_NOT_FOUND",
            Self::PartialCallNotFound => "STATUS_PARTIAL_CALL_NOT_FOUND",
        }
    }
}

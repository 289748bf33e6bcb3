//! The steps of a history. They are data: the simulation applies them to its world, and another
//! program can apply the same steps to a real API server.

use serde::{Deserialize, Serialize};

use crate::network::{CrashAt, Mishap};
use crate::server::kind::Kind;
use crate::weather::Weather;

/// Nodes that a history can have, `n0` to `n4`.
pub const NODES: u8 = 5;
/// Policies that a history can have, `p0` to `p3`.
pub const POLICIES: u8 = 4;
/// Processes of the operator.
pub const REPLICAS: u8 = 2;
/// TracingPolicies that a history can have, `t0` to `t2`.
pub const TRACING_POLICIES: u8 = 3;
/// Kernels with a hook profile.
pub const KERNELS: u8 = 2;

/// What a probe says about its node.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum Report {
    /// Consistent evidence of this boot.
    Denied,
    /// The same, with the hook profile of that kernel.
    DeniedOn(u8),
    /// The canary was attached, and its hook never ran.
    Attached,
    /// The canary could not be tried.
    Untried,
    /// Evidence of an earlier boot.
    OldBoot,
    /// Evidence Denied with a failed check.
    FailedCheck,
    /// Evidence Denied without checks.
    NoChecks,
    /// Evidence Denied with the reason of a node that cannot deny.
    WrongReason,
    /// Evidence Denied by a probe of an unknown version.
    UnknownProbe,
    /// A new version of the probe, which finds the canary attached only.
    NewProbe,
}

/// What a policy asks for.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum Policy {
    Plain,
    /// A taint at once: NoSchedule with the default key.
    Taint,
    /// A taint with another key, in stages.
    SoftTaint,
    /// A taint at once, for nodes of zone `a` only.
    TaintInZone,
    /// The hook `file_open`.
    Hooks,
    /// The hooks of all TracingPolicies.
    TracingPolicies,
    /// One ready node is enough.
    MinReadyOne,
    /// Tetragon with the mount of securityfs.
    Mount,
    /// The mount, and a taint.
    MountAndTaint,
    /// Tetragon without the mount.
    NoMount,
    /// Tetragon with the mount, and stale agents are restarted.
    Restarts,
    /// Tetragon with a mount that somebody else adds.
    Suggest,
    /// Tetragon with the mount, in a window that is closed for the whole history.
    Window,
}

/// What somebody else writes to a Node.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum Foreign {
    /// A label of their own.
    Label,
    /// A label whose prefix looks like ours.
    SimilarLabel,
    /// A label that only we may set, with a lie.
    OurLabel,
    /// A label of ours for a policy that does not exist.
    OurOldLabel,
    /// The label of the last policy, with a lie.
    OurPolicyLabel,
    /// A taint of their own.
    Taint,
    /// Their taint goes.
    NoTaint,
    /// Our taint, which no policy asked for.
    OurTaint,
    /// Our taints go.
    NoTaintOfOurs,
    /// Another condition.
    Heartbeat,
    /// Our condition, with a lie.
    OurCondition,
    /// The same lie, with the beginning that our own messages have.
    ForgedCondition,
    /// The zone becomes `a`, or `b`.
    Zone(bool),
    /// An annotation of their own.
    Annotation,
    /// The node is closed for new pods.
    Cordon,
}

/// A release of Tetragon.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum Tetragon {
    NeedsMount,
    NeedsNoMount,
    /// Its agents cannot start with our mount.
    MountFails,
}

/// One step.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
pub enum Step {
    Wait {
        milliseconds: u32,
    },
    AddNode(u8),
    RemoveNode(u8),
    /// Deletes the Node and makes another one of that name, in another boot.
    ReplaceNode(u8),
    Reboot(u8),
    Report(u8, Report),
    DeleteReport(u8),
    /// The same report with a new time.
    Renew(u8),
    ApplyPolicy(u8, Policy),
    DeletePolicy(u8),
    /// A person releases the circuit breaker, by an annotation of that policy.
    Release(u8),
    PublishProfile(u8),
    /// A profile with another content, under the name of that kernel's profile.
    FalseProfile(u8),
    DeleteProfile(u8),
    Foreign(u8, Foreign),
    /// Somebody with the right to write the status empties it.
    EmptyStatus(u8),
    InstallTetragon(Tetragon),
    DeleteTetragon,
    /// Another manager removes our volume and mount.
    RevertMount,
    UpgradeTetragon,
    /// The owner of Tetragon's DaemonSet forbids changes, or no longer.
    HoldTetragon(bool),
    InstallTracingPolicies,
    RemoveTracingPolicies,
    /// The third is in a namespace, and no policy counts it.
    ApplyTracingPolicy(u8),
    DeleteTracingPolicy(u8),
    Weather(Weather),
    /// Connections break, and nothing can be reached for a while.
    Cut {
        replica: u8,
        milliseconds: u32,
    },
    /// The same, and what was missed cannot be had: the next watch gets 410.
    CutAndCompact {
        replica: u8,
        milliseconds: u32,
    },
    /// The watch of one kind breaks, and the kind cannot be read for a while. What was missed
    /// cannot be had: the next watch gets 410.
    LoseWatch {
        replica: u8,
        kind: Kind,
        milliseconds: u32,
    },
    /// What happens to the next write about that kind.
    NextWrite {
        replica: u8,
        kind: Kind,
        mishap: Mishap,
    },
    /// Connections hang. Nobody says so.
    Freeze(u8),
    /// The API server forgets old versions.
    Compact,
    Pause(u8),
    /// The process is paused when its next request is about to be handed to the connection.
    PauseAtRequest(u8),
    Resume(u8),
    Crash(u8),
    CrashAtWrite(u8, CrashAt),
    /// An orderly end. The replica starts again with the next `Start`.
    Stop(u8),
    Start(u8),
    /// The operators' clock.
    ClockJump {
        seconds: i32,
    },
}

impl Step {
    /// Whether it is about processes, their connections or their clock, and no object changes.
    #[must_use]
    pub const fn is_fault(&self) -> bool {
        match self {
            Self::Weather(_)
            | Self::Cut { .. }
            | Self::CutAndCompact { .. }
            | Self::LoseWatch { .. }
            | Self::NextWrite { .. }
            | Self::Freeze(_)
            | Self::Compact
            | Self::Pause(_)
            | Self::PauseAtRequest(_)
            | Self::Resume(_)
            | Self::Crash(_)
            | Self::CrashAtWrite(..)
            | Self::Stop(_)
            | Self::Start(_)
            | Self::ClockJump { .. } => true,
            Self::Wait { .. }
            | Self::AddNode(_)
            | Self::RemoveNode(_)
            | Self::ReplaceNode(_)
            | Self::Reboot(_)
            | Self::Report(..)
            | Self::DeleteReport(_)
            | Self::Renew(_)
            | Self::ApplyPolicy(..)
            | Self::DeletePolicy(_)
            | Self::Release(_)
            | Self::PublishProfile(_)
            | Self::FalseProfile(_)
            | Self::DeleteProfile(_)
            | Self::Foreign(..)
            | Self::EmptyStatus(_)
            | Self::InstallTetragon(_)
            | Self::DeleteTetragon
            | Self::RevertMount
            | Self::UpgradeTetragon
            | Self::HoldTetragon(_)
            | Self::InstallTracingPolicies
            | Self::RemoveTracingPolicies
            | Self::ApplyTracingPolicy(_)
            | Self::DeleteTracingPolicy(_) => false,
        }
    }
}

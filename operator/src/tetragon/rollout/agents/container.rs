//! One container of an agent's pod, and the problem that it shows.
//!
//! In: the container's status from the API server. Out: the kind of problem, and what the kubelet
//! or the runtime says.

use std::fmt;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ContainerStateTerminated, ContainerStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::problem::ProblemKind;

/// Waiting reasons of the kubelet's image manager (`pkg/kubelet/images/types.go`).
const IMAGE_REASONS: [&str; 6] = [
    "ErrImagePull",
    "ImagePullBackOff",
    "InvalidImageName",
    "ErrImageNeverPull",
    "ImageInspectError",
    "SignatureValidationFailed",
];
/// Waiting reasons of a container that was started and did not stay up
/// (`pkg/kubelet/container/sync_result.go`).
const CRASH_REASONS: [&str; 2] = ["CrashLoopBackOff", "PostStartHookError"];
/// Waiting reason of a container whose configuration the kubelet refuses before it asks the
/// runtime.
const CONFIG_REASON: &str = "CreateContainerConfigError";
/// Waiting reasons of a container that the kubelet or the runtime could not create or start. There
/// is no log then.
const CREATE_REASONS: [&str; 5] = [
    CONFIG_REASON,
    "CreateContainerError",
    "RunContainerError",
    "PreCreateHookError",
    "PreStartHookError",
];
/// Reasons with which containerd and other runtimes end a container that never ran.
const NEVER_RAN_REASONS: [&str; 2] = ["StartError", "ContainerCannotRun"];

/// One container of an agent's pod.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Container {
    /// Name of the container.
    pub name: String,
    /// Why it does not run.
    pub waiting: Option<Waiting>,
    /// How it ended last.
    pub ended: Option<Ended>,
    /// It has ended and does not run now.
    pub is_down: bool,
    /// How often it was restarted.
    pub restarts: i32,
    /// When it was started, while it runs.
    pub started: Option<Timestamp>,
}

/// Why a container does not run, as the kubelet says it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Waiting {
    /// The kubelet's reason.
    pub reason: String,
    /// The kubelet's message.
    pub message: String,
}

/// How a container ended.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Ended {
    /// The runtime's reason.
    pub reason: String,
    /// Exit code of the container.
    pub code: i32,
    /// The last lines that it wrote, or the runtime's message where it never ran.
    pub message: String,
}

impl Container {
    pub(super) fn of(status: &ContainerStatus) -> Self {
        let state = status.state.clone().unwrap_or_default();
        let last = status.last_state.clone().unwrap_or_default();
        let is_down = state.terminated.is_some();
        let ended = state.terminated.or(last.terminated).map(Ended::of);
        Self {
            name: status.name.clone(),
            waiting: state.waiting.map(|waiting| Waiting {
                reason: waiting.reason.unwrap_or_default(),
                message: waiting.message.unwrap_or_default(),
            }),
            ended,
            is_down,
            restarts: status.restart_count,
            started: state.running.and_then(|running| running.started_at).map(|Time(time)| time),
        }
    }

    /// The problem that holds the container up.
    pub(super) fn problem(&self) -> Option<(ProblemKind, String)> {
        match (&self.waiting, &self.ended) {
            (Some(waiting), ended) => waiting.problem(ended.as_ref()),
            (None, Some(ended)) if self.is_down && ended.never_ran() => {
                Some((ProblemKind::ContainerCreateFailed, ended.cause()))
            }
            // An init container that ended with 0 is down for good, and was not restarted.
            (None, Some(ended)) if self.is_down && self.restarts > 0 && ended.code != 0 => {
                Some((ProblemKind::CrashLooping, format!("it ended with {ended}")))
            }
            (None, Some(_) | None) => None,
        }
    }

    /// The kubelet refuses the container's configuration, which no mount changes.
    pub fn is_misconfigured(&self) -> bool {
        self.waiting.as_ref().is_some_and(|waiting| waiting.reason == CONFIG_REASON)
    }
}

impl Waiting {
    /// The problem of a container that waits and has ended before in that way. The kubelet's
    /// message for a crash loop counts up its wait, so the container's own last lines are reported
    /// instead.
    fn problem(&self, ended: Option<&Ended>) -> Option<(ProblemKind, String)> {
        let reason = self.reason.as_str();
        if IMAGE_REASONS.contains(&reason) {
            return Some((ProblemKind::ImagePull, self.to_string()));
        }
        if CREATE_REASONS.contains(&reason) {
            return Some((ProblemKind::ContainerCreateFailed, self.to_string()));
        }
        if !CRASH_REASONS.contains(&reason) {
            return None;
        }
        Some(match ended {
            Some(ended) if ended.never_ran() => (ProblemKind::ContainerCreateFailed, ended.cause()),
            Some(ended) => (ProblemKind::CrashLooping, format!("{reason}; it ended with {ended}")),
            None => (ProblemKind::CrashLooping, self.to_string()),
        })
    }
}

impl fmt::Display for Waiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.reason, self.message)
    }
}

impl Ended {
    fn of(ended: ContainerStateTerminated) -> Self {
        Self {
            reason: ended.reason.unwrap_or_default(),
            code: ended.exit_code,
            message: ended.message.unwrap_or_default().trim().to_owned(),
        }
    }

    fn never_ran(&self) -> bool {
        NEVER_RAN_REASONS.contains(&self.reason.as_str())
    }

    fn cause(&self) -> String {
        format!("{}: {}", self.reason, self.message)
    }
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, exit code {}", self.reason, self.code)?;
        if self.message.is_empty() { Ok(()) } else { write!(f, ": {}", self.message) }
    }
}

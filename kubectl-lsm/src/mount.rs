//! `mount`: the operator's mount plan for one DaemonSet, for somebody who has only the
//! manifest.
//!
//! In: the DaemonSet. Out: a [`MountResult`], which is also the form of `-o json` and `-o yaml`.

use std::fmt;

use k8s_openapi::api::apps::v1::DaemonSet;
use kube::ResourceExt;
use lsm_ready_crds::policy::Mount;
use lsm_ready_crds::{ConditionReason, ExitCode};
use lsm_ready_tetragon::agent::default_name;
use lsm_ready_tetragon::audit::{self, AppArmorNodes, audit};
use lsm_ready_tetragon::patch;
use lsm_ready_tetragon::plan::{MountRequest, Plan, plan};
use serde::Serialize;
use serde_json::Value;

#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
pub enum Decision {
    /// The agent needs no mount.
    NotNeeded,
    /// The mount has to be added.
    Patch,
    /// The mount cannot be added before somebody changes the manifest.
    Refused,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MountResult {
    pub decision: Decision,
    /// A reason of the condition `SecurityfsMounted` (docs/conditions.md), or why the agent needs
    /// the mount.
    pub reason: &'static str,
    pub message: String,
    pub daemon_set: Name,
    /// The agent's container, if the mount has to be added.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub container: Option<String>,
    /// The object for `kubectl apply --server-side`, if the mount has to be added.
    pub patch: Option<Value>,
    /// What the agent may do without needing it, as the condition `TetragonHardened` reports it.
    pub hardening: Vec<Advice>,
}

#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Advice {
    /// A reason of the condition `TetragonHardened`.
    pub reason: &'static str,
    pub message: String,
}

#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Name {
    /// Many charts leave the namespace to the command that installs them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    pub name: String,
}

impl MountResult {
    pub const fn code(&self) -> ExitCode {
        match self.decision {
            Decision::NotNeeded => ExitCode::Holds,
            Decision::Patch => ExitCode::DoesNotHold,
            Decision::Refused => ExitCode::CannotBeJudged,
        }
    }
}

/// Decides for that DaemonSet as the operator does for a policy with `mount: Auto`, or with
/// `mount: Always`.
pub fn decide(daemon_set: &DaemonSet, container: Option<&str>, always: bool) -> MountResult {
    let request = MountRequest {
        container: container.map_or_else(default_name, str::to_owned),
        patch: if always { Mount::Always } else { Mount::Auto },
        ..MountRequest::none()
    };
    let plan = plan(daemon_set, &request);
    let container = match &plan {
        Plan::Patch { container, .. } => Some(container.clone()),
        Plan::NotWanted
        | Plan::NotNeeded(_)
        | Plan::Keep { .. }
        | Plan::Suggest { .. }
        | Plan::Remove { .. }
        | Plan::Refused(_) => None,
    };
    let Explanation { decision, reason, message } = explain(&plan);
    MountResult {
        decision,
        reason,
        message,
        daemon_set: Name { namespace: daemon_set.namespace(), name: daemon_set.name_any() },
        patch: container.as_deref().map(|container| patch::mount(daemon_set, container)),
        container,
        hardening: hardening(daemon_set, &request.container),
    }
}

struct Explanation {
    decision: Decision,
    reason: &'static str,
    message: String,
}

fn explain(plan: &Plan) -> Explanation {
    let not_needed = |reason: ConditionReason, message: String| Explanation {
        decision: Decision::NotNeeded,
        reason: reason.code(),
        message,
    };
    match plan {
        Plan::Patch { container, need } => Explanation {
            decision: Decision::Patch,
            reason: need.reason(),
            message: format!("container {container} needs the mount: {need}"),
        },
        Plan::Refused(refusal) => Explanation {
            decision: Decision::Refused,
            reason: refusal.reason().code(),
            message: refusal.to_string(),
        },
        Plan::NotNeeded(why) | Plan::Remove { superseded: Some(why) } => {
            not_needed(why.reason(), why.to_string())
        }
        Plan::Keep { mounted, .. } => {
            not_needed(ConditionReason::Mounted, format!("volume {} is {mounted}", mounted.volume))
        }
        // Not reached: the request of `decide` always asks for a patch.
        Plan::NotWanted | Plan::Suggest { .. } | Plan::Remove { superseded: None } => {
            not_needed(ConditionReason::NotWanted, "no mount is wanted".to_owned())
        }
    }
}

/// No advice if the agent's container is not found. The decision reports that already.
fn hardening(daemon_set: &DaemonSet, container: &str) -> Vec<Advice> {
    let found = audit(daemon_set, container, &AppArmorNodes::NotKnown).unwrap_or_default();
    found
        .into_iter()
        .map(|audit::Advice { reason, message }| Advice { reason: reason.code(), message })
        .collect()
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.namespace {
            Some(namespace) => write!(f, "{namespace}/{}", self.name),
            None => write!(f, "{}", self.name),
        }
    }
}

//! The answer about one DaemonSet: the operator's plan for it, in the words of somebody who has only the manifest.

use k8s_openapi::api::apps::v1::DaemonSet;
use kube::ResourceExt;
use lsm_ready_crds::ConditionReason;
use lsm_ready_crds::policy::Mount;
use lsm_ready_tetragon::agent::default_name;
use lsm_ready_tetragon::audit::{self, AppArmorNodes, audit};
use lsm_ready_tetragon::patch;
use lsm_ready_tetragon::plan::{MountRequest, Plan, plan};
use serde::Serialize;
use serde_json::Value;

use crate::exit;

/// What has to be done.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
pub enum Decision {
    /// Nothing.
    NotNeeded,
    /// The mount has to be added.
    Patch,
    /// Somebody has to change something first.
    Refused,
}

/// The answer, in the form of `-o json` and `-o yaml`.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Answer {
    /// What has to be done.
    pub decision: Decision,
    /// A code: one of the condition `SecurityfsMounted` (docs/conditions.md), or why the agent needs the mount.
    pub reason: &'static str,
    /// A sentence for people.
    pub message: String,
    /// The DaemonSet that it is about.
    pub daemon_set: Name,
    /// The agent's container, where the mount has to be added.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub container: Option<String>,
    /// The object for `kubectl apply --server-side`, where the mount has to be added.
    pub patch: Option<Value>,
    /// What the agent may do and need not, as the condition `TetragonHardened` tells it.
    pub hardening: Vec<Advice>,
}

/// Something that the agent may do and need not.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Advice {
    /// A code of the condition `TetragonHardened`.
    pub reason: &'static str,
    /// What it is, and what to change.
    pub message: String,
}

/// Namespace and name.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Name {
    /// Namespace; many charts leave it to the command that installs them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Name.
    pub name: String,
}

impl Answer {
    /// The exit code.
    pub const fn code(&self) -> u8 {
        match self.decision {
            Decision::NotNeeded => exit::NOT_NEEDED,
            Decision::Patch => exit::NEEDS_MOUNT,
            Decision::Refused => exit::REFUSED,
        }
    }
}

/// The answer about that DaemonSet.
pub fn answer(daemon_set: &DaemonSet, container: Option<&str>, always: bool) -> Answer {
    let wish = MountRequest {
        container: container.map_or_else(default_name, str::to_owned),
        patch: if always { Mount::Always } else { Mount::Auto },
        ..MountRequest::none()
    };
    let plan = plan(daemon_set, &wish);
    let (decision, reason, message) = judge(&plan);
    let container = match plan {
        Plan::Patch { container, .. } => Some(container),
        _ => None,
    };
    Answer {
        decision,
        reason,
        message,
        daemon_set: Name { namespace: daemon_set.namespace(), name: daemon_set.name_any() },
        patch: container.as_deref().map(|container| patch::mount(daemon_set, container)),
        container,
        hardening: hardening(daemon_set, &wish.container),
    }
}

fn judge(plan: &Plan) -> (Decision, &'static str, String) {
    match plan {
        Plan::Patch { container, need } => (
            Decision::Patch,
            need.reason(),
            format!("container {container} needs the mount: {need}"),
        ),
        Plan::Refused(refusal) => (Decision::Refused, refusal.reason().code(), refusal.to_string()),
        Plan::NotNeeded(why) | Plan::Remove { superseded: Some(why) } => {
            (Decision::NotNeeded, why.reason().code(), why.to_string())
        }
        Plan::Keep { mounted, .. } => (
            Decision::NotNeeded,
            ConditionReason::Mounted.code(),
            format!("volume {} is {mounted}", mounted.volume),
        ),
        // Not reached: these are plans for those who want no patch.
        Plan::NotWanted | Plan::Suggest { .. } | Plan::Remove { superseded: None } => (
            Decision::NotNeeded,
            ConditionReason::NotWanted.code(),
            "no mount is wanted".to_owned(),
        ),
    }
}

/// Nothing where the agent cannot be looked at, which the decision tells already.
fn hardening(daemon_set: &DaemonSet, container: &str) -> Vec<Advice> {
    let found = audit(daemon_set, container, &AppArmorNodes::NotKnown).unwrap_or_default();
    found
        .into_iter()
        .map(|audit::Advice { reason, message }| Advice { reason: reason.code(), message })
        .collect()
}

impl std::fmt::Display for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.namespace {
            Some(namespace) => write!(f, "{namespace}/{}", self.name),
            None => write!(f, "{}", self.name),
        }
    }
}

//! The writes that this controller makes to a DaemonSet, and what can come of one.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::DaemonSet;
use lsm_ready_crds::ConditionReason;
use serde_json::{Value, json};

use crate::watch::key::DaemonSetKey;

/// A refused mount is not tried again for this long, unless the DaemonSet or the request changes.
const RETRY_MOUNT: Duration = Duration::from_mins(1);

/// The same for a removal that was refused. Nobody waits for it.
const RETRY_REMOVAL: Duration = Duration::from_mins(10);

/// A write to a DaemonSet.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Write {
    /// Adds our label, volume and mount.
    Mount {
        /// Name of the agent's container.
        container: String,
    },
    /// Removes our label, volume and mount.
    Remove,
    /// Removes the volume and the mount, and sets our label to a mark: agents could not be created
    /// with the mount.
    TakeBack {
        /// The label's value.
        mark: String,
        /// Which agent could not be created, and what the kubelet or the runtime says.
        cause: String,
    },
}

impl Write {
    /// How long this write is not tried again after it was refused.
    pub const fn retry_after(&self) -> Duration {
        match self {
            Self::Mount { .. } | Self::TakeBack { .. } => RETRY_MOUNT,
            Self::Remove => RETRY_REMOVAL,
        }
    }
}

/// The API server's answer to a write.
#[derive(Debug)]
pub enum Outcome {
    /// The write was accepted. This is the DaemonSet after it.
    Written(Box<DaemonSet>),
    /// The DaemonSet is gone, or another one has its name. The watch will report it.
    Gone,
    /// The write was refused, and will be refused again until somebody changes something.
    Refused {
        /// Reason of the condition.
        reason: ConditionReason,
        /// What happened and what to do about it.
        message: String,
    },
}

impl Outcome {
    /// When that write may be tried again, where it was refused.
    pub fn retry_at(&self, write: &Write, now: Timestamp) -> Option<Timestamp> {
        match self {
            Self::Refused { .. } => now.checked_add(write.retry_after()).ok(),
            Self::Written(_) | Self::Gone => None,
        }
    }
}

/// The object with the version that the decision was made from. A replica that is no longer the
/// leader, and does not know it yet, cannot undo what the next one has written.
pub(super) fn fenced(mut object: Value, daemon_set: &DaemonSet) -> Value {
    if let Some(version) = &daemon_set.metadata.resource_version {
        object["metadata"]["resourceVersion"] = json!(version);
    }
    object
}

/// A write that failed and may succeed when it is tried again.
#[derive(Debug, thiserror::Error)]
#[error("applying to DaemonSet {key}: {source}")]
pub struct Error {
    pub(super) key: DaemonSetKey,
    pub(super) source: Box<kube::Error>,
}

impl Error {
    /// A short word for metrics.
    pub const fn reason(&self) -> &'static str {
        "apply"
    }
}

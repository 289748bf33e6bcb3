//! How far a DaemonSet's rollout has come, by the DaemonSet controller's own counts.

use k8s_openapi::api::apps::v1::{DaemonSet, DaemonSetStatus};

/// Numbers of nodes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Counts {
    /// Nodes that should have an agent.
    pub desired: i32,
    /// Nodes whose agent was made from the present pod template.
    pub updated: i32,
    /// Nodes whose agent is available.
    pub available: i32,
}

impl Counts {
    /// The counts in that status.
    pub fn of(status: &DaemonSetStatus) -> Self {
        Self {
            desired: status.desired_number_scheduled,
            updated: status.updated_number_scheduled.unwrap_or_default(),
            available: status.number_available.unwrap_or_default(),
        }
    }

    /// The counts, where the DaemonSet controller has seen the DaemonSet's present generation.
    pub fn present(daemon_set: &DaemonSet) -> Option<Self> {
        let status = daemon_set.status.as_ref()?;
        let seen = status.observed_generation.unwrap_or_default();
        (seen >= daemon_set.metadata.generation.unwrap_or_default()).then(|| Self::of(status))
    }

    /// Every node has an available agent of the present pod template.
    pub const fn complete(self) -> bool {
        self.updated >= self.desired && self.available >= self.desired
    }
}

//! How far a DaemonSet's rollout has come, by the DaemonSet itself and its controller's counts.

use k8s_openapi::api::apps::v1::{DaemonSet, DaemonSetStatus};
use kube::ResourceExt;

use super::budget::{Budget, budget};

/// Annotation in which the API server counts the generations of a DaemonSet's pod template.
pub const TEMPLATE_ANNOTATION: &str = "deprecated.daemonset.template.generation";

/// How far the rollout has come.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Progress {
    /// Generation of the DaemonSet's present pod template.
    pub template: Option<String>,
    /// The counts, where the DaemonSet controller has seen the DaemonSet's present generation.
    pub counts: Option<Counts>,
    /// Agents that are not available, by the newest counts of any generation.
    pub unavailable: i32,
    /// How many agents are replaced at once. None with OnDelete, which replaces nothing.
    pub budget: Option<Budget>,
}

/// Numbers of nodes.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Counts {
    /// Nodes that should have an agent.
    pub desired: i32,
    /// Nodes whose agent was made from the present pod template.
    pub updated: i32,
    /// Nodes whose agent is available.
    pub available: i32,
}

impl Progress {
    /// The progress of that DaemonSet's rollout.
    pub fn of(daemon_set: &DaemonSet) -> Self {
        let newest = daemon_set.status.as_ref().map(Counts::of).unwrap_or_default();
        let seen = daemon_set.status.as_ref().map(|status| status.observed_generation.unwrap_or(0));
        let generation = daemon_set.metadata.generation.unwrap_or_default();
        Self {
            template: daemon_set.annotations().get(TEMPLATE_ANNOTATION).cloned(),
            counts: seen.filter(|seen| *seen >= generation).map(|_| newest),
            unavailable: (newest.desired - newest.available).max(0),
            budget: budget(daemon_set),
        }
    }

    /// Every node has an available agent of the present pod template.
    pub fn is_complete(&self) -> bool {
        self.counts.is_some_and(Counts::is_complete)
    }

    /// The update strategy is OnDelete: a pod is replaced when somebody deletes it.
    pub const fn on_delete(&self) -> bool {
        self.budget.is_none()
    }

    /// The generation of the pod template as a number, which only grows.
    pub fn generation(&self) -> Option<u64> {
        self.template.as_ref()?.parse().ok()
    }
}

impl Counts {
    fn of(status: &DaemonSetStatus) -> Self {
        Self {
            desired: status.desired_number_scheduled,
            updated: status.updated_number_scheduled.unwrap_or_default(),
            available: status.number_available.unwrap_or_default(),
        }
    }

    /// Every node has an available agent of the present pod template.
    pub const fn is_complete(self) -> bool {
        self.updated >= self.desired && self.available >= self.desired
    }
}

//! The pod of an agent, reduced to what shows how the agent fares, and the problem that holds it
//! up.
//!
//! In: a Pod from the API server, and the time. Out: at most one [`Problem`] for each agent. Events
//! are not read. A volume that cannot be mounted (FailedMount) shows in the pod's condition
//! PodReadyToStartContainers, which stays False.

mod ahead;
mod container;
mod problem;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Pod, PodCondition, PodSpec, PodStatus};
use kube::ResourceExt;
use lsm_ready_crds::names::SECURITYFS_VOLUME;

use lsm_ready_crds::text::printable;

pub use ahead::Ahead;
pub use container::Container;
pub use problem::{Problem, ProblemKind};

/// How long an agent may take to end or to start before it counts as held up.
pub const PATIENCE: SignedDuration = SignedDuration::from_mins(5);

/// How long the kubelet may take to mount an agent's volumes and to create its sandbox. It retries
/// ever more rarely, down to once in two minutes.
pub const SANDBOX_PATIENCE: SignedDuration = SignedDuration::from_mins(2);

/// Label on a DaemonSet's pods with the template generation that they were made from. The DaemonSet
/// has its present generation in an annotation. The DaemonSet controller compares the same two, and
/// the revision (`IsPodUpdated` in Kubernetes' `pkg/controller/daemon/util`).
const TEMPLATE_LABEL: &str = "pod-template-generation";
/// Label on a pod with the name of the revision that it was made from.
const REVISION_LABEL: &str = "controller-revision-hash";

/// The pod of one agent.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Agent {
    /// Name of the pod.
    pub pod: String,
    /// UID of the pod.
    pub uid: String,
    /// resourceVersion of the pod.
    pub version: String,
    /// Its node, also before it is scheduled. Empty where the pod names no node.
    pub node: String,
    /// Template generation that it was made from.
    pub template: Option<String>,
    /// Revision that it was made from.
    pub revision: Option<String>,
    /// When it should be gone, where it is being deleted.
    pub gone_by: Option<Timestamp>,
    /// The kubelet says that it is ready.
    pub ready: bool,
    /// Since when it is ready or not ready. Without a condition, since when the pod exists.
    pub since: Option<Timestamp>,
    /// Why the scheduler finds no node for it.
    pub unscheduled: Option<String>,
    /// Its containers, init containers included.
    pub containers: Vec<Container>,
    /// Since when it is on its node without a sandbox: its volumes are not mounted, or its network
    /// is not set up.
    pub without_sandbox: Option<Timestamp>,
    /// Its pod has our volume.
    pub has_ours: bool,
    /// What its containers run.
    pub programs: Vec<String>,
}

impl Agent {
    /// The agent of that pod.
    pub fn of(pod: &Pod) -> Self {
        let spec = pod.spec.clone().unwrap_or_default();
        let status = pod.status.clone().unwrap_or_default();
        let label = |key: &str| pod.labels().get(key).cloned();
        let ready = condition(&status, "Ready");
        let since = ready.and_then(|ready| ready.last_transition_time.clone());
        Self {
            pod: pod.name_any(),
            uid: pod.uid().unwrap_or_default(),
            version: pod.resource_version().unwrap_or_default(),
            node: node(&spec),
            template: label(TEMPLATE_LABEL),
            revision: label(REVISION_LABEL),
            gone_by: pod.metadata.deletion_timestamp.as_ref().map(|time| time.0),
            ready: ready.is_some_and(|ready| ready.status == "True"),
            since: since.or_else(|| pod.metadata.creation_timestamp.clone()).map(|time| time.0),
            unscheduled: failed(&status, "PodScheduled").map(|condition| {
                let parts = [&condition.reason, &condition.message];
                parts.map(|part| part.as_deref().unwrap_or_default()).join(": ")
            }),
            containers: containers(&status),
            without_sandbox: failed(&status, "PodReadyToStartContainers")
                .filter(|_| spec.node_name.is_some())
                .and_then(|condition| condition.last_transition_time.as_ref().map(|time| time.0)),
            has_ours: spec.volumes.iter().flatten().any(|volume| volume.name == SECURITYFS_VOLUME),
            programs: programs(&spec),
        }
    }

    /// When that container was started, while it runs. A pod outlives a boot of its node, a
    /// container does not.
    pub fn started(&self, container: &str) -> Option<Timestamp> {
        self.containers.iter().find(|other| other.name == container)?.started
    }

    /// What holds it up, where that does not end without help.
    pub fn problem(&self, now: Timestamp) -> Option<Problem> {
        if let Some(gone_by) = self.gone_by {
            return self.late(gone_by, now);
        }
        if let Some(message) = &self.unscheduled {
            return Some(self.of_pod(ProblemKind::Unschedulable, message));
        }
        self.containers
            .iter()
            .find_map(|container| self.of_container(container))
            .or_else(|| self.sandbox_problem(now))
            .or_else(|| self.not_ready(now))
    }

    /// The pod is being deleted and is still there.
    fn late(&self, gone_by: Timestamp, now: Timestamp) -> Option<Problem> {
        let message =
            format!("it should have ended by {gone_by:.0}, and its node has not confirmed that");
        let is_late = now.duration_since(gone_by) >= PATIENCE;
        is_late.then(|| self.of_pod(ProblemKind::Unavailable, &message))
    }

    fn sandbox_problem(&self, now: Timestamp) -> Option<Problem> {
        let since =
            self.without_sandbox.filter(|since| now.duration_since(*since) >= SANDBOX_PATIENCE)?;
        let message =
            format!("its volumes are not mounted, or its sandbox is not created, since {since:.0}");
        Some(self.of_pod(ProblemKind::ContainerCreateFailed, &message))
    }

    fn not_ready(&self, now: Timestamp) -> Option<Problem> {
        let is_late = |since: &Timestamp| now.duration_since(*since) >= PATIENCE;
        let since = self.since.filter(|since| !self.ready && is_late(since))?;
        let message = format!("{} since {since:.0}", self.activity());
        Some(self.of_pod(ProblemKind::Unavailable, &message))
    }

    /// What an agent that is not ready does instead.
    fn activity(&self) -> String {
        let waiting = self.containers.iter().find_map(|container| container.waiting.as_ref());
        match waiting {
            Some(waiting) if waiting.message.is_empty() => waiting.reason.clone(),
            Some(waiting) => waiting.to_string(),
            None if self.containers.is_empty() => "no container was started".to_owned(),
            None => "its containers run and it is not ready, for example because its node is not"
                .to_owned(),
        }
    }

    fn of_container(&self, container: &Container) -> Option<Problem> {
        let (kind, message) = container.problem()?;
        Some(Problem { container: Some(container.name.clone()), ..self.of_pod(kind, &message) })
    }

    fn of_pod(&self, kind: ProblemKind, message: &str) -> Problem {
        let (node, pod) = (self.node.clone(), self.pod.clone());
        Problem { kind, node, pod, container: None, message: shortened(message) }
    }
}

fn condition<'a>(status: &'a PodStatus, type_: &str) -> Option<&'a PodCondition> {
    status.conditions.iter().flatten().find(|condition| condition.type_ == type_)
}

/// The condition of that type, where it is False.
fn failed<'a>(status: &'a PodStatus, type_: &str) -> Option<&'a PodCondition> {
    condition(status, type_).filter(|condition| condition.status == "False")
}

fn containers(status: &PodStatus) -> Vec<Container> {
    let all = status.init_container_statuses.iter().chain(&status.container_statuses).flatten();
    all.map(Container::of).collect()
}

/// The pod's node. The DaemonSet controller names it in a node affinity, from which the scheduler
/// sets `nodeName`.
fn node(spec: &PodSpec) -> String {
    spec.node_name
        .clone()
        .filter(|name| !name.is_empty())
        .or_else(|| node_of_affinity(spec))
        .unwrap_or_default()
}

/// What the containers of a pod run: the image, command and arguments of each.
pub fn programs(spec: &PodSpec) -> Vec<String> {
    let containers = spec.containers.iter();
    containers.map(|one| format!("{:?} {:?} {:?}", one.image, one.command, one.args)).collect()
}

fn node_of_affinity(spec: &PodSpec) -> Option<String> {
    let affinity = spec.affinity.as_ref()?.node_affinity.as_ref()?;
    let terms =
        &affinity.required_during_scheduling_ignored_during_execution.as_ref()?.node_selector_terms;
    let fields = terms.iter().flat_map(|term| term.match_fields.iter().flatten());
    fields
        .filter(|field| field.key == "metadata.name")
        .find_map(|field| field.values.as_ref()?.first().cloned())
}

/// Maximum length of a message of the kubelet or the scheduler, in characters.
const MAX_LEN: usize = 300;

/// The message on one line, in printable characters, truncated to [`MAX_LEN`]. A kubelet can write
/// any text into the status of its pods.
fn shortened(message: &str) -> String {
    printable(&message.split_whitespace().collect::<Vec<_>>().join(" "), MAX_LEN)
}

#[cfg(test)]
mod tests;

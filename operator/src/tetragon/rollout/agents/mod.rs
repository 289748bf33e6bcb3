//! The pods of Tetragon's DaemonSet, trimmed to what tells how an agent fares, and what holds one up.
//!
//! In: a Pod as the API server has it, and the time. Out: at most one [`Trouble`] for each agent. Events are not read: a
//! volume that cannot be mounted (FailedMount) is told by the pod's condition PodReadyToStartContainers, which stays False.

use std::fmt;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{ContainerStatus, Pod, PodSpec, PodStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt;
use lsm_ready_crds::names::SECURITYFS_VOLUME;

use lsm_ready_crds::text::truncate;

/// How long an agent may end or start before it counts as held up.
pub const PATIENCE: SignedDuration = SignedDuration::from_mins(5);

/// How long the kubelet may take to mount an agent's volumes and to create its sandbox. It tries again ever more rarely, up to
/// once in two minutes.
pub const SANDBOX_PATIENCE: SignedDuration = SignedDuration::from_mins(2);

/// Label on a DaemonSet's pods with the template generation that they were made from; the DaemonSet has its present one
/// in an annotation. The DaemonSet controller goes by the same two and by the revision
/// (`IsPodUpdated` in Kubernetes' `pkg/controller/daemon/util`).
const TEMPLATE_LABEL: &str = "pod-template-generation";
/// Label with the name of the revision that a pod was made from.
const REVISION_LABEL: &str = "controller-revision-hash";

/// Waiting reasons of the kubelet's image manager (`pkg/kubelet/images/types.go`).
const IMAGE: [&str; 6] = [
    "ErrImagePull",
    "ImagePullBackOff",
    "InvalidImageName",
    "ErrImageNeverPull",
    "ImageInspectError",
    "SignatureValidationFailed",
];
/// Waiting reasons of a container that was started and does not stay up (`pkg/kubelet/container/sync_result.go`).
const CRASH: [&str; 2] = ["CrashLoopBackOff", "PostStartHookError"];
/// The waiting reason of a container whose configuration the kubelet refuses before it asks the runtime.
const CONFIG: &str = "CreateContainerConfigError";
/// Waiting reasons of a container that the kubelet or the runtime could not create or start. It has no log.
const CREATE: [&str; 5] = [
    CONFIG,
    "CreateContainerError",
    "RunContainerError",
    "PreCreateHookError",
    "PreStartHookError",
];
/// Reasons of containerd and other runtimes for the end of a container that never ran.
const NEVER_RAN: [&str; 2] = ["StartError", "ContainerCannotRun"];

/// One agent's pod.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Agent {
    /// Name of the pod.
    pub pod: String,
    /// UID of the pod.
    pub uid: String,
    /// Its node, also of one that is not scheduled yet; empty where the pod names none.
    pub node: String,
    /// Template generation that it was made from.
    pub template: Option<String>,
    /// Revision that it was made from.
    pub revision: Option<String>,
    /// When it should be gone: it is being deleted.
    pub gone_by: Option<Timestamp>,
    /// The kubelet says that it is ready.
    pub ready: bool,
    /// Since when that is so, or the pod's age.
    pub since: Option<Timestamp>,
    /// Why the scheduler has no place for it.
    pub unscheduled: Option<String>,
    /// Its containers, those that only run before the others included.
    pub containers: Vec<Container>,
    /// Since when it is on its node without a sandbox: its volumes are not mounted, or its network is not set up.
    pub without_sandbox: Option<Timestamp>,
    /// Its pod has our volume.
    pub has_ours: bool,
    /// What its containers run.
    pub programs: Vec<String>,
}

/// One container of an agent.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Container {
    /// Its name.
    pub name: String,
    /// Why it does not run: the kubelet's reason and message.
    pub waiting: Option<(String, String)>,
    /// How it ended last.
    pub ended: Option<Ended>,
    /// It has ended and does not run now.
    pub is_down: bool,
    /// How often it was started again.
    pub restarts: i32,
    /// When it was started, while it runs.
    pub started: Option<Timestamp>,
}

/// How a container ended.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Ended {
    /// The runtime's reason.
    pub reason: String,
    /// Its exit code.
    pub code: i32,
    /// Its last words, or the runtime's message where it never ran.
    pub message: String,
}

/// What kind of trouble an agent is in, worst first.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Kind {
    /// Its image cannot be had.
    ImagePull,
    /// A container cannot be created or started, or the pod's volumes cannot be mounted.
    ContainerCreateFailed,
    /// A container was started and does not stay up.
    CrashLooping,
    /// The scheduler has no place for it.
    Unschedulable,
    /// It is there and not ready, or should be gone and is not, for longer than [`PATIENCE`].
    Unavailable,
}

/// What holds an agent up.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Trouble {
    /// What kind it is.
    pub kind: Kind,
    /// The agent's node.
    pub node: String,
    /// Its pod.
    pub pod: String,
    /// The container, where it is one's trouble.
    pub container: Option<String>,
    /// What kubelet or scheduler say.
    pub said: String,
}

impl Agent {
    /// The agent of that pod.
    pub fn of(pod: &Pod) -> Self {
        let (spec, status) =
            (pod.spec.clone().unwrap_or_default(), pod.status.clone().unwrap_or_default());
        let condition = |type_: &str| {
            status.conditions.iter().flatten().find(|condition| condition.type_ == type_)
        };
        let unscheduled = condition("PodScheduled").filter(|condition| condition.status == "False");
        let ready = condition("Ready");
        let label = |key: &str| pod.labels().get(key).cloned();
        let since = ready.and_then(|ready| ready.last_transition_time.clone());
        Self {
            pod: pod.name_any(),
            uid: pod.uid().unwrap_or_default(),
            node: node(&spec),
            template: label(TEMPLATE_LABEL),
            revision: label(REVISION_LABEL),
            gone_by: pod.metadata.deletion_timestamp.as_ref().map(|time| time.0),
            ready: ready.is_some_and(|ready| ready.status == "True"),
            since: since.or_else(|| pod.metadata.creation_timestamp.clone()).map(|time| time.0),
            unscheduled: unscheduled.map(|condition| {
                let said = [&condition.reason, &condition.message]
                    .map(|part| part.as_deref().unwrap_or_default());
                said.join(": ")
            }),
            containers: containers(&status),
            without_sandbox: condition("PodReadyToStartContainers")
                .filter(|condition| condition.status == "False" && spec.node_name.is_some())
                .and_then(|condition| condition.last_transition_time.as_ref().map(|time| time.0)),
            has_ours: spec.volumes.iter().flatten().any(|volume| volume.name == SECURITYFS_VOLUME),
            programs: programs(&spec),
        }
    }

    /// When that container of it was started, while it runs. A pod outlives a boot of its node, a container does not.
    pub fn started(&self, container: &str) -> Option<Timestamp> {
        self.containers.iter().find(|other| other.name == container)?.started
    }

    /// What holds it up, where that does not end by itself.
    pub fn trouble(&self, now: Timestamp) -> Option<Trouble> {
        let (kind, container, said) = self.found(now)?;
        let (node, pod) = (self.node.clone(), self.pod.clone());
        Some(Trouble { kind, node, pod, container, said: shortened(&said) })
    }

    fn found(&self, now: Timestamp) -> Option<(Kind, Option<String>, String)> {
        let is_late = |since: Timestamp| now.duration_since(since) >= PATIENCE;
        if let Some(gone_by) = self.gone_by {
            let said = format!(
                "it should have ended by {gone_by:.0} and its node has not said that it has"
            );
            return is_late(gone_by).then_some((Kind::Unavailable, None, said));
        }
        if let Some(said) = &self.unscheduled {
            return Some((Kind::Unschedulable, None, said.clone()));
        }
        if let Some((container, kind, said)) = self.containers.iter().find_map(Container::trouble) {
            return Some((kind, Some(container), said));
        }
        if let Some(since) =
            self.without_sandbox.filter(|since| now.duration_since(*since) >= SANDBOX_PATIENCE)
        {
            let said = format!(
                "its volumes are not mounted, or its sandbox is not created, since {since:.0}"
            );
            return Some((Kind::ContainerCreateFailed, None, said));
        }
        let since = self.since.filter(|since| !self.ready && is_late(*since))?;
        Some((Kind::Unavailable, None, format!("{} since {since:.0}", self.doing())))
    }

    /// What an agent that is not ready does instead.
    fn doing(&self) -> String {
        let waiting = self.containers.iter().find_map(|container| container.waiting.as_ref());
        match waiting {
            Some((reason, message)) if message.is_empty() => reason.clone(),
            Some((reason, message)) => format!("{reason}: {message}"),
            None if self.containers.is_empty() => "no container was started".to_owned(),
            None => "its containers run and it is not ready, as where its node is not".to_owned(),
        }
    }
}

impl Container {
    fn of(status: &ContainerStatus) -> Self {
        let (state, last) = (
            status.state.clone().unwrap_or_default(),
            status.last_state.clone().unwrap_or_default(),
        );
        let is_down = state.terminated.is_some();
        let ended = state.terminated.or(last.terminated).map(|ended| Ended {
            reason: ended.reason.unwrap_or_default(),
            code: ended.exit_code,
            message: ended.message.unwrap_or_default().trim().to_owned(),
        });
        Self {
            name: status.name.clone(),
            waiting: state.waiting.map(|waiting| {
                (waiting.reason.unwrap_or_default(), waiting.message.unwrap_or_default())
            }),
            ended,
            is_down,
            restarts: status.restart_count,
            started: state.running.and_then(|running| running.started_at).map(|Time(time)| time),
        }
    }

    /// What holds it up. The kubelet's word for a crash loop counts up its wait, so the container's own last words are
    /// told instead.
    fn trouble(&self) -> Option<(String, Kind, String)> {
        let found = |kind, said| Some((self.name.clone(), kind, said));
        let never_ran =
            self.ended.as_ref().filter(|ended| NEVER_RAN.contains(&ended.reason.as_str()));
        match (&self.waiting, &self.ended) {
            (Some((reason, message)), _) if IMAGE.contains(&reason.as_str()) => {
                found(Kind::ImagePull, format!("{reason}: {message}"))
            }
            (Some((reason, message)), _) if CREATE.contains(&reason.as_str()) => {
                found(Kind::ContainerCreateFailed, format!("{reason}: {message}"))
            }
            (Some((reason, _)), Some(ended)) if CRASH.contains(&reason.as_str()) => match never_ran
            {
                Some(ended) => found(
                    Kind::ContainerCreateFailed,
                    format!("{}: {}", ended.reason, ended.message),
                ),
                None => found(Kind::CrashLooping, format!("{reason}; it ended with {ended}")),
            },
            (Some((reason, message)), None) if CRASH.contains(&reason.as_str()) => {
                found(Kind::CrashLooping, format!("{reason}: {message}"))
            }
            (None, Some(ended)) if self.is_down && never_ran.is_some() => {
                found(Kind::ContainerCreateFailed, format!("{}: {}", ended.reason, ended.message))
            }
            // An init container that has ended well is down for good, and was not started again.
            (None, Some(ended)) if self.is_down && self.restarts > 0 && ended.code != 0 => {
                found(Kind::CrashLooping, format!("it ended with {ended}"))
            }
            _ => None,
        }
    }

    /// The kubelet refuses its configuration, which no mount changes.
    pub fn is_misconfigured(&self) -> bool {
        self.waiting.as_ref().is_some_and(|(reason, _)| reason == CONFIG)
    }
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, exit code {}", self.reason, self.code)?;
        if self.message.is_empty() { Ok(()) } else { write!(f, ": {}", self.message) }
    }
}

fn containers(status: &PodStatus) -> Vec<Container> {
    let all = status.init_container_statuses.iter().chain(&status.container_statuses).flatten();
    all.map(Container::of).collect()
}

/// The pod's node. The DaemonSet controller names it in an affinity, and the scheduler makes that the node's name.
fn node(spec: &PodSpec) -> String {
    spec.node_name
        .clone()
        .filter(|name| !name.is_empty())
        .or_else(|| wanted_node(spec))
        .unwrap_or_default()
}

/// What the containers of such a pod run: each one's image, command and arguments.
pub fn programs(spec: &PodSpec) -> Vec<String> {
    let containers = spec.containers.iter();
    containers.map(|one| format!("{:?} {:?} {:?}", one.image, one.command, one.args)).collect()
}

fn wanted_node(spec: &PodSpec) -> Option<String> {
    let affinity = spec.affinity.as_ref()?.node_affinity.as_ref()?;
    let terms =
        &affinity.required_during_scheduling_ignored_during_execution.as_ref()?.node_selector_terms;
    let fields = terms.iter().flat_map(|term| term.match_fields.iter().flatten());
    fields
        .filter(|field| field.key == "metadata.name")
        .find_map(|field| field.values.as_ref()?.first().cloned())
}

/// Longest part of a kubelet's or scheduler's message that is repeated, in characters.
const LONGEST: usize = 300;

/// On one line, without control characters, and not longer than anybody reads.
fn shortened(said: &str) -> String {
    let clean: String =
        said.chars().map(|char| if char.is_control() { ' ' } else { char }).collect();
    truncate(&clean.split_whitespace().collect::<Vec<_>>().join(" "), LONGEST)
}

#[cfg(test)]
mod tests;

//! Why our mount cannot be added before somebody changes something, and what to change.

use lsm_ready_crds::ConditionReason;
use lsm_ready_crds::first_n::MAX_ITEMS;
use lsm_ready_crds::names::{
    ALLOW, ALLOW_ANNOTATION, DAEMON_SET_LABEL, SECURITYFS_PATH, SECURITYFS_VOLUME,
};

use crate::view::OtherMount;

/// Why the mount cannot be added. The text says what to do.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Refusal {
    /// The pod template has no container with the requested name.
    #[error("{}", container_not_found(wanted, *is_init, present))]
    ContainerNotFound {
        /// The requested name.
        wanted: String,
        /// There is an init container with that name.
        is_init: bool,
        /// The names of the pod template's containers.
        present: Vec<String>,
    },
    /// The pod template selects Windows nodes.
    #[error(
        "the DaemonSet is for Windows nodes, which have no securityfs: name the DaemonSet for \
         Linux nodes"
    )]
    NotLinux,
    /// Two volumes have the same name.
    #[error(
        "the pod template has two volumes named {0}, and the API server refuses that: remove one \
         of them. A volume that the chart renders must not be given as a value too"
    )]
    DuplicateVolume(String),
    /// Two mounts of a container have the same path.
    #[error(
        "container {container} has two mounts at {path}, and the API server refuses that: remove \
         one of them"
    )]
    DuplicateMount {
        /// Name of the container.
        container: String,
        /// The path of both mounts.
        path: String,
    },
    /// A single file is mounted in the directory of securityfs.
    #[error(
        "{0}: the container cannot start with a single file mounted there, because its own sysfs \
         has no such file to mount on. Remove that mount, and mount the directory \
         {SECURITYFS_PATH} instead or let lsm-ready do it"
    )]
    FileMount(OtherMount),
    /// A volume with our name is something else.
    #[error(
        "the pod template has a volume named {SECURITYFS_VOLUME} that is {0} and not hostPath \
         {SECURITYFS_PATH}: rename or remove it"
    )]
    VolumeNameTaken(String),
    /// Something else is mounted at the directory of securityfs, or above it.
    #[error(
        "{0} hides the host's {SECURITYFS_PATH} from the agent: remove that mount, or mount \
         hostPath {SECURITYFS_PATH} there"
    )]
    MountPathTaken(OtherMount),
    /// Nodes of the DaemonSet have no securityfs.
    #[error(
        "the mount is missing and is not added, because an agent with it could not start on \
         {nodes}: {KERNEL_LACKS_SECURITYFS}. {SECURITYFS_REMEDY}",
        nodes = nodes(_0)
    )]
    NodesWithoutSecurityfs(Vec<String>),
    /// The pod has its own user namespace.
    #[error(
        "the pod template says hostUsers: false. In a user namespace the agent cannot load BPF \
         programs, and the runtime cannot mount {SECURITYFS_PATH}, so the agent would not start: \
         remove hostUsers from the pod template"
    )]
    UserNamespace,
    /// The pod template asks for the runtime's default AppArmor profile.
    #[error(
        "container {0} asks for the runtime's default AppArmor profile. Under it an agent can \
         neither start nor read {SECURITYFS_PATH}, with or without the mount: set appArmorProfile \
         to type: Unconfined"
    )]
    AppArmor(String),
    /// AppArmor is active on each node of the agent, and confines its container.
    #[error(
        "container {container} is not privileged, and {nodes}. Under the runtime's default \
         profile an agent can neither start nor read {SECURITYFS_PATH}, with or without the \
         mount: set appArmorProfile to type: Unconfined"
    )]
    AppArmorActive {
        /// Name of the agent's container.
        container: String,
        /// A phrase that says where AppArmor is active.
        nodes: String,
    },
    /// The DaemonSet is not on the operator's list, and its owner has not allowed the mount.
    #[error("{}", not_allowed(container, names))]
    NotAllowed {
        /// Name of the agent's container.
        container: String,
        /// The names on the list.
        names: String,
    },
    /// Agents could not be created with our mount, and nothing has changed since.
    #[error("{}", taken_back(container))]
    TakenBack {
        /// Name of the agent's container.
        container: String,
    },
}

/// Why an agent with the mount cannot start on a node.
pub const KERNEL_LACKS_SECURITYFS: &str = "the kernel there was built without CONFIG_SECURITYFS, \
    so there is no /sys/kernel/security to mount";

/// What to do about nodes whose kernels lack securityfs.
pub const SECURITYFS_REMEDY: &str = "Keep the DaemonSet off these nodes (its nodeSelector or node \
    affinity), or boot a kernel built with CONFIG_SECURITYFS=y there";

/// A phrase with the first names, and how many more there are.
#[must_use]
pub fn nodes(names: &[String]) -> String {
    let first = names.iter().take(MAX_ITEMS).map(String::as_str).collect::<Vec<_>>().join(", ");
    let noun = if names.len() == 1 { "node" } else { "nodes" };
    match names.len().saturating_sub(MAX_ITEMS) {
        0 => format!("{noun} {first}"),
        more => format!("{noun} {first} and {more} more"),
    }
}

impl Refusal {
    /// The condition's reason.
    #[must_use]
    pub const fn reason(&self) -> ConditionReason {
        match self {
            Self::ContainerNotFound { .. } => ConditionReason::ContainerNotFound,
            Self::NotLinux => ConditionReason::NotLinux,
            Self::DuplicateVolume(_) => ConditionReason::DuplicateVolume,
            Self::DuplicateMount { .. } => ConditionReason::DuplicateMount,
            Self::FileMount(_) => ConditionReason::FileMount,
            Self::VolumeNameTaken(_) => ConditionReason::VolumeNameTaken,
            Self::MountPathTaken(_) => ConditionReason::MountPathTaken,
            Self::NodesWithoutSecurityfs(_) => ConditionReason::NodesWithoutSecurityfs,
            Self::UserNamespace => ConditionReason::UserNamespace,
            Self::AppArmor(_) | Self::AppArmorActive { .. } => ConditionReason::AppArmor,
            Self::NotAllowed { .. } => ConditionReason::DaemonSetNotAllowed,
            Self::TakenBack { .. } => ConditionReason::TakenBack,
        }
    }
}

fn not_allowed(container: &str, names: &str) -> String {
    format!(
        "the mount is missing from container {container} and is not added, because a policy alone \
         must not mount a directory of the host into any DaemonSet: lsm-ready changes one with the \
         label app.kubernetes.io/name and an image of the same name, which is on its list \
         ({names}), or one whose owner allows it: kubectl annotate daemonset NAME \
         {ALLOW_ANNOTATION}={ALLOW}"
    )
}

fn taken_back(container: &str) -> String {
    format!(
        "container {container} could not be created with the mount of {SECURITYFS_PATH}, so \
         lsm-ready removed the mount. It adds the mount again when the pod template or the \
         policy's mount changes. Check the Events of the DaemonSet and the node that they name. \
         To try again at once: kubectl label daemonset NAME {DAEMON_SET_LABEL}-"
    )
}

fn container_not_found(wanted: &str, is_init: bool, present: &[String]) -> String {
    let present = if present.is_empty() { "none".to_owned() } else { present.join(", ") };
    let state = if is_init { "is an init container" } else { "does not exist" };
    format!(
        "container {wanted} {state} (containers: {present}): name the agent's container in \
         spec.tetragon.daemonSet.container, or with --container for a file"
    )
}

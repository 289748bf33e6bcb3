//! Why nothing can be done about a DaemonSet before somebody changes something, and what that is.

use lsm_ready_crds::ConditionReason;
use lsm_ready_crds::names::{DAEMON_SET_LABEL, SECURITYFS_PATH};

use crate::view::OtherMount;

/// Why the mount cannot be added. Its text says what to do.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Refusal {
    /// The policy names a container that is not there.
    #[error("{}", container_not_found(wanted, *is_init, there))]
    ContainerNotFound {
        /// The name in the policy.
        wanted: String,
        /// There is an init container of that name.
        is_init: bool,
        /// The containers that are there.
        there: Vec<String>,
    },
    /// The pod template selects Windows nodes.
    #[error(
        "the DaemonSet is for Windows nodes, which have no securityfs: name the one for Linux nodes"
    )]
    NotLinux,
    /// Two volumes have one name.
    #[error(
        "the pod template has two volumes named {0}, which the API server does not take: remove one of them (a volume \
         that the chart renders already must not be given as a value too)"
    )]
    DuplicateVolume(String),
    /// Two mounts of a container are at one path.
    #[error(
        "container {container} has two mounts at {path}, which the API server does not take: remove one of them"
    )]
    DuplicateMount {
        /// Name of the container.
        container: String,
        /// The path of both.
        path: String,
    },
    /// A single file is mounted inside the directory.
    #[error(
        "{0}: the container cannot start with a single file mounted there, as its own sysfs has no such file to mount \
         on; remove that mount and mount the directory {SECURITYFS_PATH} instead, or leave that to lsm-ready"
    )]
    FileMount(OtherMount),
    /// A volume has our name and is something else.
    #[error(
        "the pod template has a volume named {volume} that is {0} and not hostPath {SECURITYFS_PATH}: rename or remove \
         it", volume = lsm_ready_crds::names::SECURITYFS_VOLUME
    )]
    VolumeNameTaken(String),
    /// Something else is mounted there, or above it.
    #[error(
        "{0} hides the host's {SECURITYFS_PATH} from the agent: remove that mount, or mount hostPath {SECURITYFS_PATH} \
         there"
    )]
    MountPathTaken(OtherMount),
    /// Nodes of the DaemonSet cannot mount securityfs.
    #[error(
        "the mount is lacking and is not added, because an agent with it could not start on {nodes}: {KERNEL_LACKS_SECURITYFS}. {SECURITYFS_REMEDY}",
        nodes = nodes(_0)
    )]
    NodesWithoutSecurityfs(Vec<String>),
    /// The pod has a user namespace of its own.
    #[error(
        "the pod template says hostUsers: false: from a user namespace no agent can load BPF programs, and the runtime \
         cannot mount {SECURITYFS_PATH} there, so the agent would not start; remove hostUsers from the pod template"
    )]
    UserNamespace,
    /// The pod template asks for the runtime's default AppArmor profile.
    #[error(
        "container {0} asks for the runtime's default AppArmor profile, under which an agent can neither start nor read \
         {SECURITYFS_PATH}, mounted or not: set appArmorProfile to type: Unconfined"
    )]
    AppArmor(String),
    /// AppArmor is active on every node of the agent, and its container is not exempt.
    #[error(
        "container {container} is not privileged, and {nodes}: under the runtime's default profile an agent can neither start \
         nor read {SECURITYFS_PATH}, mounted or not; set appArmorProfile to type: Unconfined"
    )]
    AppArmorActive {
        /// The agent's container.
        container: String,
        /// Where AppArmor is active.
        nodes: String,
    },
    /// The mount was taken back, and nothing has changed since.
    #[error("{}", taken_back(container))]
    TakenBack {
        /// The agent's container.
        container: String,
    },
}

/// Why an agent with the mount cannot start on a node.
pub const KERNEL_LACKS_SECURITYFS: &str = "the kernel there was built without CONFIG_SECURITYFS, so there is no /sys/kernel/security to mount";

/// What to do about such nodes.
pub const SECURITYFS_REMEDY: &str = "Keep the DaemonSet off such nodes (its nodeSelector or node affinity), or boot a \
     kernel built with CONFIG_SECURITYFS=y there";

/// The first names, and how many more there are.
#[must_use]
pub fn nodes(names: &[String]) -> String {
    const MOST: usize = 3;
    let first = names.iter().take(MOST).map(String::as_str).collect::<Vec<_>>().join(", ");
    let more = names.len().saturating_sub(MOST);
    let noun = if names.len() == 1 { "node" } else { "nodes" };
    if more == 0 { format!("{noun} {first}") } else { format!("{noun} {first} and {more} more") }
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
            Self::TakenBack { .. } => ConditionReason::TakenBack,
        }
    }
}

fn taken_back(container: &str) -> String {
    format!(
        "container {container} could not be created with the mount of {SECURITYFS_PATH}, so lsm-ready took the mount back; it \
         is added again when the pod template or the policy's wish changes. Look at the Events of the DaemonSet and at the node \
         that they name. To try again at once: kubectl label daemonset NAME {DAEMON_SET_LABEL}-"
    )
}

fn container_not_found(wanted: &str, is_init: bool, there: &[String]) -> String {
    let there = if there.is_empty() { "none".to_owned() } else { there.join(", ") };
    let what = if is_init { "is an init container" } else { "is not there" };
    format!(
        "container {wanted} {what}: name the agent's container in spec.tetragon.daemonSet.container, or in --container \
         offline (containers: {there})"
    )
}

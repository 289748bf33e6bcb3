//! The reasons of the conditions `SecurityfsMounted`, `TetragonRolledOut` and `TetragonHardened`, and of `Stalled` where
//! Tetragon is the cause. They are part of the API: people alert on them.

/// SecurityfsMounted: the mount that lsm-ready added is in the pod template.
pub const MOUNTED: &str = "Mounted";
/// SecurityfsMounted: a mount that is not ours shows the agent the host's securityfs.
pub const ALREADY_MOUNTED: &str = "AlreadyMounted";
/// SecurityfsMounted: this agent (v1.4.0 or later, and allowed to mount) mounts securityfs itself.
pub const MOUNTS_ITSELF: &str = "MountsItself";
/// SecurityfsMounted: this agent (before v1.2.0) knows no `lsmhooks`, so it needs no mount.
pub const NO_LSM_HOOKS: &str = "NoLsmHooks";
/// SecurityfsMounted: the policy says `mount: Never`, so nothing was looked at.
pub const NOT_WANTED: &str = "NotWanted";
/// SecurityfsMounted: the mount is lacking and `apply: Suggest` leaves it to the DaemonSet's owner.
pub const SUGGESTED: &str = "Suggested";
/// SecurityfsMounted, TetragonRolledOut: the mount is lacking and about to be added.
pub const PENDING: &str = "Pending";
/// SecurityfsMounted: another policy's stronger wish was followed.
pub const OVERRULED: &str = "Overruled";
/// SecurityfsMounted: an older policy names another container of the same DaemonSet.
pub const CONTAINER_CONFLICT: &str = "ContainerConflict";
/// SecurityfsMounted, TetragonRolledOut, TetragonHardened: there is no such DaemonSet.
pub const DAEMON_SET_NOT_FOUND: &str = "DaemonSetNotFound";
/// SecurityfsMounted, TetragonHardened: the DaemonSet has no such container.
pub const CONTAINER_NOT_FOUND: &str = "ContainerNotFound";
/// SecurityfsMounted: the DaemonSet is for Windows nodes.
pub const NOT_LINUX: &str = "NotLinux";
/// SecurityfsMounted: two volumes of the pod template have one name.
pub const DUPLICATE_VOLUME: &str = "DuplicateVolume";
/// SecurityfsMounted: two mounts of one container are at one path.
pub const DUPLICATE_MOUNT: &str = "DuplicateMount";
/// SecurityfsMounted: a single file of securityfs is mounted, with which the container cannot start.
pub const FILE_MOUNT: &str = "FileMount";
/// SecurityfsMounted: another volume has the name that ours has.
pub const VOLUME_NAME_TAKEN: &str = "VolumeNameTaken";
/// SecurityfsMounted: something else than the host's securityfs is mounted there.
pub const MOUNT_PATH_TAKEN: &str = "MountPathTaken";
/// SecurityfsMounted: kernels of the DaemonSet's nodes have no securityfs, so an agent with the mount cannot start there.
pub const NODES_WITHOUT_SECURITYFS: &str = "NodesWithoutSecurityfs";
/// SecurityfsMounted: the pod has a user namespace of its own.
pub const USER_NAMESPACE: &str = "UserNamespace";
/// SecurityfsMounted, TetragonHardened: the runtime's default AppArmor profile keeps the agent from securityfs.
pub const APP_ARMOR: &str = "AppArmor";
/// SecurityfsMounted: agents could not be created with the mount, so it was taken back.
pub const TAKEN_BACK: &str = "TakenBack";
/// SecurityfsMounted: another manager keeps taking the mount out again, so lsm-ready has stopped for a while.
pub const CONTESTED: &str = "Contested";
/// SecurityfsMounted: the mount is lacking, and agents are not restarted outside of the window.
pub const OUTSIDE_WINDOW: &str = "OutsideWindow";
/// SecurityfsMounted: the mount is lacking, and the DaemonSet's owner holds it by annotation.
pub const HELD: &str = "Held";
/// SecurityfsMounted: the mount is lacking, and the DaemonSet would restart more agents at once than a policy allows.
pub const BUDGET_TOO_LARGE: &str = "BudgetTooLarge";
/// SecurityfsMounted: the operator may not patch DaemonSets.
pub const FORBIDDEN: &str = "Forbidden";
/// SecurityfsMounted: another field manager owns one of the fields and has another value in it.
pub const FIELD_CONFLICT: &str = "FieldConflict";
/// SecurityfsMounted: the API server did not take the patch.
pub const APPLY_FAILED: &str = "ApplyFailed";
/// TetragonRolledOut: every agent runs the present pod template and is available.
pub const ROLLED_OUT: &str = "RolledOut";
/// TetragonRolledOut: agents are being replaced.
pub const ROLLING_OUT: &str = "RollingOut";
/// TetragonRolledOut: every agent runs the present pod template, but not all are available.
pub const NOT_AVAILABLE: &str = "NotAvailable";
/// TetragonRolledOut: the update strategy is OnDelete, and agents of an older template run.
pub const ON_DELETE: &str = "OnDelete";
/// TetragonRolledOut: agents of the present template cannot get their image.
pub const IMAGE_PULL: &str = "ImagePull";
/// TetragonRolledOut: containers or volumes of agents of the present template cannot be created.
pub const CONTAINER_CREATE_FAILED: &str = "ContainerCreateFailed";
/// TetragonRolledOut: agents of the present template do not stay up.
pub const CRASH_LOOPING: &str = "CrashLooping";
/// TetragonRolledOut: the scheduler has no place for agents of the present template.
pub const UNSCHEDULABLE: &str = "Unschedulable";
/// TetragonRolledOut: as many agents as the DaemonSet's budget allows are not available, so no more are replaced.
pub const BUDGET_EXHAUSTED: &str = "BudgetExhausted";
/// TetragonRolledOut: the DaemonSet selects no node.
pub const NO_AGENTS: &str = "NoAgents";
/// TetragonHardened: the agent may do nothing that its work does not need.
pub const NOTHING_FOUND: &str = "NothingFound";
/// TetragonHardened: the container is privileged.
pub const PRIVILEGED: &str = "Privileged";
/// TetragonHardened: the pod shares the host's process IDs.
pub const HOST_PID: &str = "HostPid";
/// TetragonHardened: the container has capabilities that an agent of this release was seen to do without.
pub const CAPABILITIES: &str = "Capabilities";
/// TetragonHardened: the container lacks a capability without which an agent of this release was seen not to start.
pub const CAPABILITIES_MISSING: &str = "CapabilitiesMissing";
/// TetragonHardened: a mount leaves securityfs writable.
pub const SECURITYFS_WRITABLE: &str = "SecurityfsWritable";
/// TetragonHardened: a mount of securityfs is Bidirectional.
pub const SECURITYFS_PROPAGATED: &str = "SecurityfsPropagated";
/// TetragonHardened: the container runs without a seccomp profile.
pub const NO_SECCOMP: &str = "NoSeccomp";
/// TetragonHardened: the image is named by nothing that stays.
pub const MUTABLE_TAG: &str = "MutableTag";

/// All of them, for the documentation's test.
pub const ALL: [&str; 47] = [
    MOUNTED,
    ALREADY_MOUNTED,
    MOUNTS_ITSELF,
    NO_LSM_HOOKS,
    NOT_WANTED,
    SUGGESTED,
    PENDING,
    OVERRULED,
    CONTAINER_CONFLICT,
    DAEMON_SET_NOT_FOUND,
    CONTAINER_NOT_FOUND,
    NOT_LINUX,
    DUPLICATE_VOLUME,
    DUPLICATE_MOUNT,
    FILE_MOUNT,
    VOLUME_NAME_TAKEN,
    MOUNT_PATH_TAKEN,
    NODES_WITHOUT_SECURITYFS,
    USER_NAMESPACE,
    APP_ARMOR,
    TAKEN_BACK,
    CONTESTED,
    OUTSIDE_WINDOW,
    HELD,
    BUDGET_TOO_LARGE,
    FORBIDDEN,
    FIELD_CONFLICT,
    APPLY_FAILED,
    ROLLED_OUT,
    ROLLING_OUT,
    NOT_AVAILABLE,
    ON_DELETE,
    IMAGE_PULL,
    CONTAINER_CREATE_FAILED,
    CRASH_LOOPING,
    UNSCHEDULABLE,
    BUDGET_EXHAUSTED,
    NO_AGENTS,
    NOTHING_FOUND,
    PRIVILEGED,
    HOST_PID,
    CAPABILITIES,
    CAPABILITIES_MISSING,
    SECURITYFS_WRITABLE,
    SECURITYFS_PROPAGATED,
    NO_SECCOMP,
    MUTABLE_TAG,
];

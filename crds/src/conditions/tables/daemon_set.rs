//! The reasons about Tetragon's DaemonSet.

use super::{Row, row};
use crate::conditions::ConditionReason as R;

pub(super) const SECURITYFS_MOUNTED: &[Row] = &[
    row(R::Mounted, "the pod template has the volume and the mount that lsm-ready added", ""),
    row(R::AlreadyMounted, "another mount gives the agent the host's securityfs", ""),
    row(
        R::MountsItself,
        "this agent (v1.4.0 or newer) mounts securityfs itself, and its container may: it runs as \
         root with SYS_ADMIN in effect, in the host's user namespace, and no seccomp or AppArmor \
         profile forbids mount(2)",
        "use `mount: Always` if you want the mount anyway",
    ),
    row(
        R::NoLsmHooks,
        "this agent is older than v1.2.0 and has no `lsmhooks`, so it needs no mount and cannot \
         enforce LSM policies; no agent is restarted",
        "upgrade Tetragon",
    ),
    row(R::NotWanted, "the policy has `mount: Never`, so the DaemonSet was not checked", ""),
    row(
        R::Suggested,
        "the mount is missing, and `apply: Suggest` leaves the change to the DaemonSet's owner",
        "put the values from the message into Tetragon's chart",
    ),
    row(
        R::Pending,
        "the mount is missing, and the operator is about to add it",
        "wait; if it stays, read the operator's log",
    ),
    row(
        R::Overruled,
        "another policy asks for more on the same DaemonSet, and the operator follows that policy \
         (Always before Auto before Never, Patch before Suggest)",
        "use the same values in these policies",
    ),
    row(
        R::ContainerConflict,
        "an older policy names another container of the same DaemonSet",
        "name the same container in both policies",
    ),
    row(
        R::DaemonSetNotFound,
        "no DaemonSet has that namespace and name",
        "correct `spec.tetragon.daemonSet`, or install Tetragon",
    ),
    row(
        R::DaemonSetNotAllowed,
        "the DaemonSet is not Tetragon's by its label `app.kubernetes.io/name: tetragon` and the \
         image of the container, and its owner has not allowed the mount. So the operator neither \
         adds the mount nor restarts agents",
        "correct `spec.tetragon.daemonSet`, or ask the DaemonSet's owner to run `kubectl annotate \
         daemonset NAME lsmready.io/securityfs=allow`",
    ),
    row(
        R::ContainerNotFound,
        "the DaemonSet has no container with that name. With the default name: no container, or \
         more than one, could be the agent",
        "correct `spec.tetragon.daemonSet.container`; the message lists the containers",
    ),
    row(
        R::NotLinux,
        "the DaemonSet is for Windows nodes, which have no securityfs",
        "name the DaemonSet for Linux nodes",
    ),
    row(
        R::DuplicateVolume,
        "two volumes of the pod template have the same name, which the API server refuses \
         (possible in manifests only)",
        "remove one of them; do not repeat in the values a volume that the chart renders",
    ),
    row(
        R::DuplicateMount,
        "two mounts of one container have the same path, which the API server refuses (possible in \
         manifests only)",
        "remove one of them",
    ),
    row(
        R::FileMount,
        "a single file of securityfs is mounted (`…/lsm`), and the container cannot start with \
         such a mount",
        "remove that mount; the agent needs the directory",
    ),
    row(
        R::VolumeNameTaken,
        "another volume has the name `lsm-ready-securityfs`",
        "rename that volume",
    ),
    row(
        R::MountPathTaken,
        "something other than the host's securityfs is mounted at `/sys/kernel/security`",
        "remove that mount, or mount the host's securityfs there",
    ),
    row(
        R::NodesWithoutSecurityfs,
        "kernels of the DaemonSet's nodes were built without CONFIG_SECURITYFS, so an agent with \
         the mount cannot start there. The operator does not add the mount. If the mount was added \
         before such a node joined, it stays for the other agents",
        "keep the DaemonSet off these nodes (the message names them), or boot another kernel there",
    ),
    row(
        R::UserNamespace,
        "the pod template has `hostUsers: false`: agents cannot load BPF programs in a user \
         namespace, and they would not start with the mount",
        "remove `hostUsers`",
    ),
    row(
        R::AppArmor,
        "the agent's container is not privileged, and the runtime's default AppArmor profile keeps \
         it from starting and from securityfs on the nodes in the message. If that is every node, \
         the operator does not add the mount",
        "set `appArmorProfile: {type: Unconfined}` in the pod template",
    ),
    row(
        R::PodsForbidden,
        "Pod Security forbids pods with the mount in the DaemonSet's namespace, so the operator \
         does not add it: the old agents would go, and no new ones would come",
        "exempt the namespace (label `pod-security.kubernetes.io/enforce: privileged`), or use \
         `mount: Never`",
    ),
    row(
        R::TakenBack,
        "an agent could not be created with the mount that lsm-ready had added, so the operator \
         removed the mount. The message has the node and the runtime's error, or why the API \
         server refused the pod. The operator adds \
         the mount again when the pod template or the policy changes; the label \
         `lsmready.io/securityfs=taken-back-…` records this",
        "repair the node that the message names, then run `kubectl label daemonset NAME \
         lsmready.io/securityfs-` to try again",
    ),
    row(
        R::Contested,
        "another tool keeps removing the mount (three times in ten minutes), so the operator waits \
         longer before each new try",
        "make that tool ignore our fields, or use `apply: Suggest`; the message has the lines for \
         both",
    ),
    row(
        R::OutsideWindow,
        "the mount is missing, and agents may be restarted in `spec.tetragon.window` only",
        "wait: the message says until when, and how to allow the change now. With `Stalled`, the \
         windows of several policies never overlap",
    ),
    row(
        R::Held,
        "the DaemonSet's owner forbids changes by the annotation `lsmready.io/apply=hold`",
        "ask the owner; the message has the command that allows changes again",
    ),
    row(
        R::BudgetTooLarge,
        "the DaemonSet's update strategy restarts more agents at the same time than \
         `spec.tetragon.maxConcurrent` allows",
        "lower the DaemonSet's `maxUnavailable` or `maxSurge`, or raise `maxConcurrent`",
    ),
    row(
        R::Forbidden,
        "the operator may not patch this DaemonSet",
        "install [config/rbac/patching](../config/rbac/patching), or use `apply: Suggest`",
    ),
    row(
        R::FieldConflict,
        "another field manager owns one of our fields and has set another value",
        "remove the field there; the message names the manager and the field",
    ),
    row(
        R::ApplyFailed,
        "the API server refused the patch",
        "the message has the API server's error",
    ),
];

pub(super) const TETRAGON_ROLLED_OUT: &[Row] = &[
    row(R::RolledOut, "every agent runs the current pod template and is available", ""),
    row(
        R::RollingOut,
        "agents are being replaced",
        "wait; a rollout that cannot continue has one of the reasons below",
    ),
    row(R::Pending, "the rollout starts when the mount has been added", "wait"),
    row(
        R::NotAvailable,
        "every agent runs the current pod template, but not all agents are available",
        "the message names the agents that have not been available for five minutes; read the \
         Events of their pods",
    ),
    row(
        R::OnDelete,
        "the update strategy is OnDelete, and some agents run an older pod template",
        "delete their pods, a few at a time; the message has the command",
    ),
    row(
        R::ImagePull,
        "agents with the current pod template cannot pull their image",
        "correct the image, or give these nodes access to the registry; the message names the \
         agents and has the kubelet's error",
    ),
    row(
        R::ContainerCreateFailed,
        "a container of an agent with the current pod template cannot be created, or the pod's \
         volumes cannot be mounted; such a container has no log. If our mount is the cause, the \
         operator removes it (`TakenBack`)",
        "the message has the runtime's error, or for volumes the command that shows the pod's \
         Events",
    ),
    row(
        R::CrashLooping,
        "agents with the current pod template crash again and again",
        "the message has their last output, and the command for more",
    ),
    row(
        R::Unschedulable,
        "the scheduler finds no node for agents with the current pod template",
        "make room, give the agents a higher priority, or exclude these nodes",
    ),
    row(
        R::BudgetExhausted,
        "no more agents are replaced, because agents that have not been available for five minutes \
         use up the DaemonSet's `maxUnavailable`",
        "repair the agents that the message names, delete Nodes that no longer exist, or raise \
         `maxUnavailable`",
    ),
    row(
        R::NoAgents,
        "the DaemonSet selects no node",
        "compare its nodeSelector and tolerations with the nodes",
    ),
    row(R::DaemonSetNotFound, "the DaemonSet does not exist", "as above"),
];

pub(super) const TETRAGON_HARDENED: &[Row] = &[
    row(R::NothingFound, "none of the following was found", ""),
    row(
        R::Privileged,
        "the container is privileged; then its capabilities and seccomp profile have no effect and \
         are not reported",
        "make all the changes in the message together, on one node first; without changes in the \
         message there is nothing to do",
    ),
    row(
        R::AppArmor,
        "AppArmor is active on nodes of the agent, and its default profile keeps this container \
         from starting there",
        "set `appArmorProfile: {type: Unconfined}`",
    ),
    row(
        R::HostPid,
        "the pod shares the host's process IDs",
        "remove `hostPID` where the message says so",
    ),
    row(
        R::CapabilitiesMissing,
        "the container lacks capabilities without which this release did not start in our tests",
        "add the capabilities that the message names",
    ),
    row(
        R::Capabilities,
        "the container has more capabilities than an agent needed in our tests; the runtime's \
         default set counts unless it is dropped",
        "use `drop: [ALL]` and the list in the message",
    ),
    row(
        R::SecurityfsWritable,
        "a mount leaves securityfs writable; a read-only mount of a directory above it does so too",
        "follow the message: `readOnly`, or another mount of the directory itself",
    ),
    row(
        R::SecurityfsPropagated,
        "a mount of securityfs has mountPropagation Bidirectional",
        "follow the message",
    ),
    row(
        R::NoSeccomp,
        "neither the container nor the pod has a seccomp profile, or it is Unconfined",
        "set `seccompProfile: {type: RuntimeDefault}`",
    ),
    row(
        R::MutableTag,
        "the image has no digest, and its tag is not a full release (`latest`, no tag, a branch, \
         `v1.7`)",
        "use the tag of a release, or better the digest",
    ),
    row(R::DaemonSetNotFound, "the DaemonSet does not exist", "as above"),
    row(R::ContainerNotFound, "the container does not exist", "as above"),
];

//! Tetragon's DaemonSet.

use super::{Row, row};
use crate::conditions::ConditionReason as R;

pub(super) const SECURITYFS_MOUNTED: &[Row] = &[
    row(R::Mounted, "the volume and mount that lsm-ready added are in the pod template", ""),
    row(R::AlreadyMounted, "a mount that is not ours shows the agent the host's securityfs", ""),
    row(
        R::MountsItself,
        "this agent (v1.4.0 or newer) mounts securityfs itself, and its container may: it \
         runs as root with SYS_ADMIN in effect, in the host's user namespace, and no \
         seccomp or AppArmor profile forbids mount(2)",
        "`mount: Always` if it shall have the mount all the same",
    ),
    row(
        R::NoLsmHooks,
        "this agent is older than v1.2.0 and has no `lsmhooks`: it needs no mount and can \
         enforce no LSM policy; nothing is restarted",
        "upgrade Tetragon",
    ),
    row(R::NotWanted, "the policy says `mount: Never`, so nothing was looked at", ""),
    row(
        R::Suggested,
        "the mount is lacking, and `apply: Suggest` leaves it to the DaemonSet's owner",
        "put the values from the message into Tetragon's chart",
    ),
    row(
        R::Pending,
        "the mount is lacking and about to be added",
        "wait; if it stays, read the operator's log",
    ),
    row(
        R::Overruled,
        "another policy's stronger wish for the same DaemonSet was followed (Always over \
         Auto over Never, Patch over Suggest)",
        "make the policies agree",
    ),
    row(
        R::ContainerConflict,
        "an older policy names another container of the same DaemonSet",
        "name the same container in both",
    ),
    row(
        R::DaemonSetNotFound,
        "there is no DaemonSet of that namespace and name",
        "correct `spec.tetragon.daemonSet`, or install Tetragon",
    ),
    row(
        R::ContainerNotFound,
        "the DaemonSet has no such container, and where the default name is meant none or \
         several that could be the agent's",
        "correct `spec.tetragon.daemonSet.container`; the message lists those there are",
    ),
    row(
        R::NotLinux,
        "the DaemonSet is for Windows nodes, which have no securityfs",
        "name the DaemonSet for Linux nodes",
    ),
    row(
        R::DuplicateVolume,
        "two volumes of the pod template have one name, so the API server does not take \
         it (seen in manifests alone)",
        "remove one of them; a volume that the chart renders must not be given as a value \
         too",
    ),
    row(
        R::DuplicateMount,
        "two mounts of one container are at one path, so the API server does not take it \
         (seen in manifests alone)",
        "remove one of them",
    ),
    row(
        R::FileMount,
        "a single file of securityfs is mounted (`…/lsm`), with which the container \
         cannot start",
        "remove that mount; the directory is what is needed",
    ),
    row(R::VolumeNameTaken, "another volume is called `lsm-ready-securityfs`", "rename it"),
    row(
        R::MountPathTaken,
        "something else than the host's securityfs is mounted at `/sys/kernel/security`",
        "remove it, or mount the host's there",
    ),
    row(
        R::NodesWithoutSecurityfs,
        "kernels of the DaemonSet's nodes were built without CONFIG_SECURITYFS, so an \
         agent with the mount cannot start there. The mount is not added; one that was \
         added before the node joined stays, for the other agents",
        "keep the DaemonSet off these nodes (the message names them), or boot another \
         kernel there",
    ),
    row(
        R::UserNamespace,
        "the pod template says `hostUsers: false`: agents cannot load BPF programs there, \
         and with the mount they would not start",
        "remove `hostUsers`",
    ),
    row(
        R::AppArmor,
        "the agent's container is not privileged, and the runtime's default AppArmor \
         profile keeps it from starting and from securityfs, on the nodes in the message. \
         Where that is every node, the mount is not added",
        "`appArmorProfile: {type: Unconfined}` in the pod template",
    ),
    row(
        R::TakenBack,
        "an agent could not be created with the mount that lsm-ready had added, so it was \
         taken back; the message has the node and the runtime's words. It is not added \
         again until the pod template or the policy's wish changes; the label \
         `lsmready.io/securityfs=taken-back-…` remembers it",
        "repair the node that the message names, then `kubectl label daemonset NAME \
         lsmready.io/securityfs-` to try again",
    ),
    row(
        R::Contested,
        "somebody keeps taking the mount out again (three times in ten minutes), so \
         lsm-ready pauses and tries again ever more rarely",
        "let that tool ignore our fields, or say `apply: Suggest`; the message has the \
         lines for both",
    ),
    row(
        R::OutsideWindow,
        "the mount is lacking, and agents are restarted in `spec.tetragon.window` only",
        "wait: the message says until when, and how to let it go now. With `Stalled` the \
         windows of several policies never overlap",
    ),
    row(
        R::Held,
        "the DaemonSet's owner holds it by the annotation `lsmready.io/apply=hold`",
        "ask the owner; the message has the command that lets it go",
    ),
    row(
        R::BudgetTooLarge,
        "the DaemonSet's own update strategy restarts more agents at once than \
         `spec.tetragon.maxConcurrent` allows",
        "lower the DaemonSet's `maxUnavailable` or `maxSurge`, or raise `maxConcurrent`",
    ),
    row(
        R::Forbidden,
        "the operator may not patch this DaemonSet",
        "install [config/rbac/patching](../config/rbac/patching), or say `apply: Suggest`",
    ),
    row(
        R::FieldConflict,
        "another field manager owns one of our fields with another value",
        "the message names manager and field; remove it there",
    ),
    row(R::ApplyFailed, "the API server did not take the patch", "the message is the API server's"),
];

pub(super) const TETRAGON_ROLLED_OUT: &[Row] = &[
    row(R::RolledOut, "every agent runs the present pod template and is available", ""),
    row(
        R::RollingOut,
        "agents are being replaced",
        "wait; what holds it up for good has a reason of its own, below",
    ),
    row(R::Pending, "it will begin when the mount has been added", "wait"),
    row(
        R::NotAvailable,
        "every agent runs the present template, but not all are available",
        "the message names those that have not been for five minutes; their pods' Events \
         tell more",
    ),
    row(
        R::OnDelete,
        "the update strategy is OnDelete, and agents of an older template run",
        "delete their pods, a few at a time; the message has the command",
    ),
    row(
        R::ImagePull,
        "agents of the present template cannot get their image",
        "correct the image, or let these nodes reach its registry; the message names \
         agents and what the kubelet says",
    ),
    row(
        R::ContainerCreateFailed,
        "the kubelet or the runtime cannot create a container of an agent of the present \
         template, or cannot mount the pod's volumes; there is no log to read. Where the \
         mount of lsm-ready is the cause, it is taken back (`TakenBack`)",
        "the message has the runtime's words; for volumes the pod's Events, with the \
         command",
    ),
    row(
        R::CrashLooping,
        "agents of the present template do not stay up",
        "the message has their last words, and the command for more",
    ),
    row(
        R::Unschedulable,
        "the scheduler has no place for agents of the present template",
        "make room, give them a higher priority, or leave these nodes out",
    ),
    row(
        R::BudgetExhausted,
        "no more agents are replaced, as those that have not been available for five \
         minutes use up the DaemonSet's `maxUnavailable`",
        "the message names them: bring them back, delete Nodes that are gone for good, or \
         raise `maxUnavailable`",
    ),
    row(
        R::NoAgents,
        "the DaemonSet selects no node",
        "compare its nodeSelector and tolerations with the nodes",
    ),
    row(R::DaemonSetNotFound, "there is no such DaemonSet", "as above"),
];

pub(super) const TETRAGON_HARDENED: &[Row] = &[
    row(R::NothingFound, "none of the following was found", ""),
    row(
        R::Privileged,
        "the container is privileged (then capabilities and seccomp mean nothing, and are \
         not told)",
        "what the message lists, all of it together, on one node first; nothing where it \
         advises nothing",
    ),
    row(
        R::AppArmor,
        "AppArmor is active on nodes of the agent, and its default profile keeps this \
         container from starting there",
        "`appArmorProfile: {type: Unconfined}`",
    ),
    row(
        R::HostPid,
        "the pod shares the host's process IDs",
        "remove `hostPID` where the message says so",
    ),
    row(
        R::CapabilitiesMissing,
        "the container lacks capabilities without which this release was seen not to start",
        "add those that the message names",
    ),
    row(
        R::Capabilities,
        "capabilities are in effect beyond those with which an agent was seen to work; \
         the runtime's default set counts unless it is dropped",
        "`drop: [ALL]` and the list in the message",
    ),
    row(
        R::SecurityfsWritable,
        "a mount leaves securityfs writable; a read-only mount of a directory above it \
         does too",
        "what the message says: `readOnly`, or a mount of the directory itself beside the \
         other",
    ),
    row(
        R::SecurityfsPropagated,
        "a mount of securityfs has mountPropagation Bidirectional",
        "what the message says",
    ),
    row(
        R::NoSeccomp,
        "neither container nor pod has a seccomp profile, or it is Unconfined",
        "`seccompProfile: {type: RuntimeDefault}`",
    ),
    row(
        R::MutableTag,
        "the image has no digest and its tag is no full release (`latest`, none, a \
         branch, `v1.7`); the tag of a full release is accepted",
        "name the release, or better the digest",
    ),
    row(R::DaemonSetNotFound, "there is no such DaemonSet", "as above"),
    row(R::ContainerNotFound, "there is no such container", "as above"),
];

//! What a container sees at /sys/kernel/security, by its volume mounts.
//!
//! In: the pod template, the container, and whether the DaemonSet has our label. Out: nothing, our
//! mount, another mount of securityfs, or a mount that is in the way. What the agent mounts itself
//! does not count.
//!
//! A mount of a directory above shows securityfs too, with any propagation: container runtimes bind
//! hostPath volumes recursively (rbind), so the container sees what was mounted below it on the
//! host when the container started. `readOnly` covers only the directory itself, not what is
//! mounted below it, unless `recursiveReadOnly` is set
//! (<https://kubernetes.io/docs/concepts/storage/volumes/#read-only-mounts>).

use std::fmt;

use k8s_openapi::api::core::v1::{Container, HostPathVolumeSource, PodSpec, Volume, VolumeMount};
use lsm_ready_crds::names::{SECURITYFS_PATH, SECURITYFS_VOLUME};

use crate::path::{below, normal};

/// What the container sees at /sys/kernel/security.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum View {
    /// An empty directory of its own sysfs.
    Nothing,
    /// The host's securityfs, through the mount that lsm-ready added.
    Ours(Mounted),
    /// The host's securityfs, through another mount.
    Theirs(Mounted),
    /// A mount below the directory, which itself is not mounted. The container cannot start,
    /// because its own sysfs has no such file to mount on.
    Inside(OtherMount),
    /// Something else than the host's securityfs.
    Hidden(OtherMount),
}

/// A mount of the host's securityfs, or of a directory above it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Mounted {
    /// Name of the volume.
    pub volume: String,
    /// The path in the container.
    pub path: String,
    /// Whether the container can write to securityfs through it.
    pub access: Access,
    /// Whether mounts that the container makes below it appear on the host.
    pub bidirectional: bool,
}

/// Whether a container can write to securityfs through a mount.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Access {
    /// It cannot.
    ReadOnly,
    /// It can.
    Writable,
    /// It can, although the directory above is read-only.
    WritableBelow,
}

/// A mount of something else than securityfs.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct OtherMount {
    /// Name of the volume.
    pub volume: String,
    /// The path in the container.
    pub path: String,
    /// What the volume is, for example `hostPath /sys/fs` or `emptyDir`.
    pub source: String,
}

/// What that container sees. `owned` means that the DaemonSet has our label.
#[must_use]
pub fn view(pod: &PodSpec, container: &Container, owned: bool) -> View {
    let mounts = container.volume_mounts.as_deref().unwrap_or_default();
    let is_ours = |mount: &&VolumeMount| {
        owned
            && mount.name == SECURITYFS_VOLUME
            && normal(&mount.mount_path) == SECURITYFS_PATH
            && shows_securityfs(pod, mount)
    };
    if let Some(ours) = mounts.iter().find(is_ours) {
        return View::Ours(mounted(ours));
    }
    // The deepest mount at or above the directory covers the others.
    let is_above =
        |mount: &&VolumeMount| below(SECURITYFS_PATH, &normal(&mount.mount_path)).is_some();
    let depth = |mount: &&VolumeMount| normal(&mount.mount_path).len();
    if let Some(deepest) = mounts.iter().filter(is_above).max_by_key(depth) {
        return covering(pod, deepest);
    }
    let is_inside =
        |mount: &&VolumeMount| below(&normal(&mount.mount_path), SECURITYFS_PATH).is_some();
    mounts.iter().find(is_inside).map_or(View::Nothing, |mount| View::Inside(other(pod, mount)))
}

fn covering(pod: &PodSpec, mount: &VolumeMount) -> View {
    if shows_securityfs(pod, mount) {
        return View::Theirs(mounted(mount));
    }
    let other = other(pod, mount);
    // A file of securityfs on the directory fails in the same way as a mount inside it.
    let is_inside = host_path(pod, &mount.name)
        .is_some_and(|host| below(&normal(&host.path), SECURITYFS_PATH).is_some());
    if is_inside { View::Inside(other) } else { View::Hidden(other) }
}

/// Whether the mount shows the host's securityfs at /sys/kernel/security in the container.
fn shows_securityfs(pod: &PodSpec, mount: &VolumeMount) -> bool {
    let at = normal(&mount.mount_path);
    let (Some(host), Some(rest)) = (host_path(pod, &mount.name), below(SECURITYFS_PATH, &at))
    else {
        return false;
    };
    // Only the node knows the value of a subPathExpr. A subPath is bound without the mounts below
    // it, so it must lead to securityfs itself.
    let sub_path = mount.sub_path.as_deref().unwrap_or_default();
    if mount.sub_path_expr.is_some() || !(sub_path.is_empty() || rest.is_empty()) || is_file(host) {
        return false;
    }
    normal(&format!("{}/{sub_path}/{rest}", host.path)) == SECURITYFS_PATH
}

fn is_file(host: &HostPathVolumeSource) -> bool {
    !matches!(host.type_.as_deref(), None | Some("" | "Directory" | "DirectoryOrCreate"))
}

/// The volume with that name.
#[must_use]
pub fn volume<'a>(pod: &'a PodSpec, name: &str) -> Option<&'a Volume> {
    pod.volumes.iter().flatten().find(|volume| volume.name == name)
}

fn host_path<'a>(pod: &'a PodSpec, name: &str) -> Option<&'a HostPathVolumeSource> {
    volume(pod, name)?.host_path.as_ref()
}

/// Whether the volume is the host's securityfs, as lsm-ready's volume is.
#[must_use]
pub fn is_securityfs(volume: &Volume) -> bool {
    volume
        .host_path
        .as_ref()
        .is_some_and(|host| normal(&host.path) == SECURITYFS_PATH && !is_file(host))
}

/// A phrase for what a volume is.
#[must_use]
pub fn source(volume: &Volume) -> String {
    if let Some(host) = &volume.host_path {
        let type_ = host.type_.as_deref().filter(|type_| !type_.is_empty());
        return format!(
            "hostPath {}{}",
            host.path,
            type_.map_or_else(String::new, |type_| format!(" of type {type_}"))
        );
    }
    // The name of the field that is set is the kind: emptyDir, configMap, csi and so on.
    serde_json::to_value(volume)
        .ok()
        .and_then(|value| value.as_object()?.keys().find(|key| *key != "name").cloned())
        .unwrap_or_else(|| "no source".to_owned())
}

fn mounted(mount: &VolumeMount) -> Mounted {
    Mounted {
        volume: mount.name.clone(),
        path: normal(&mount.mount_path),
        access: access(mount),
        bidirectional: mount.mount_propagation.as_deref() == Some("Bidirectional"),
    }
}

fn access(mount: &VolumeMount) -> Access {
    let recursive = mount.recursive_read_only.as_deref() == Some("Enabled");
    match mount.read_only {
        Some(true) if recursive || normal(&mount.mount_path) == SECURITYFS_PATH => Access::ReadOnly,
        Some(true) => Access::WritableBelow,
        Some(false) | None => Access::Writable,
    }
}

fn other(pod: &PodSpec, mount: &VolumeMount) -> OtherMount {
    let source = volume(pod, &mount.name).map_or_else(|| "an undefined volume".to_owned(), source);
    let source = match mount.sub_path.as_deref().or(mount.sub_path_expr.as_deref()) {
        Some(sub_path) => format!("{source}, subPath {sub_path}"),
        None => source,
    };
    OtherMount { volume: mount.name.clone(), path: normal(&mount.mount_path), source }
}

impl fmt::Display for Mounted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "mounted at {}", self.path)?;
        if self.bidirectional {
            return write!(
                f,
                " with mountPropagation Bidirectional, which the agent does not need: remove \
                 mountPropagation"
            );
        }
        let mount_itself = format!("mount {SECURITYFS_PATH} itself too, with readOnly: true");
        match self.access {
            Access::ReadOnly => write!(f, " read-only"),
            Access::Writable if self.path == SECURITYFS_PATH => {
                write!(f, " writable, which the agent does not need: set readOnly: true")
            }
            Access::Writable => {
                write!(f, " writable, which the agent does not need: {mount_itself}")
            }
            Access::WritableBelow => {
                write!(f, " read-only, but securityfs below it is writable: {mount_itself}")
            }
        }
    }
}

impl fmt::Display for OtherMount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "volume {} ({}) at {}", self.volume, self.source, self.path)
    }
}

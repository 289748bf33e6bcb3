//! What a container sees at /sys/kernel/security, by its volume mounts.
//!
//! In: the pod template, the container and whether the DaemonSet carries our label. Out: nothing, our mount, another's
//! mount of the same thing, or what stands in the way. What the agent itself mounts later is no part of it.
//!
//! A mount of a directory above shows securityfs too, whatever its propagation: container runtimes bind hostPath volumes
//! recursively (rbind), so what was mounted on the host below it when the container started is there. Its `readOnly`
//! covers only the directory itself and not what is mounted below it, unless `recursiveReadOnly` says so
//! (<https://kubernetes.io/docs/concepts/storage/volumes/#read-only-mounts>).

use std::fmt;

use k8s_openapi::api::core::v1::{Container, HostPathVolumeSource, PodSpec, Volume, VolumeMount};
use lsm_ready_crds::names::{SECURITYFS_PATH, SECURITYFS_VOLUME};

use crate::path::{below, normal};

/// What the container sees there.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum View {
    /// Its own sysfs, where that directory is empty.
    Nothing,
    /// The host's securityfs, through the mount that we added.
    Ours(Mounted),
    /// The host's securityfs, through a mount that is not ours.
    Theirs(Mounted),
    /// A mount inside the directory, which itself is not mounted: the container cannot start, as its own sysfs has no
    /// such file to mount on.
    Inside(OtherMount),
    /// Something else than the host's securityfs.
    Hidden(OtherMount),
}

/// A mount of the host's securityfs or of a directory above it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Mounted {
    /// Name of the volume.
    pub volume: String,
    /// Where it is mounted in the container.
    pub path: String,
    /// Whether the container can write to securityfs through it.
    pub access: Access,
    /// What the container mounts below it appears on the host.
    pub bidirectional: bool,
}

/// Whether a container can write through a mount.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Access {
    /// It cannot.
    ReadOnly,
    /// It can.
    Writable,
    /// It can: only the directory above is read-only.
    WritableBelow,
}

/// A mount of something else.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct OtherMount {
    /// Name of the volume.
    pub volume: String,
    /// Where it is mounted in the container.
    pub path: String,
    /// What it holds: `hostPath /sys/fs`, `emptyDir`.
    pub source: String,
}

/// What that container sees.
#[must_use]
pub fn view(pod: &PodSpec, container: &Container, owned: bool) -> View {
    let mounts = container.volume_mounts.as_deref().unwrap_or_default();
    let is_ours = |mount: &&VolumeMount| {
        owned
            && mount.name == SECURITYFS_VOLUME
            && normal(&mount.mount_path) == SECURITYFS_PATH
            && shows(pod, mount)
    };
    if let Some(ours) = mounts.iter().find(is_ours) {
        return View::Ours(mounted(ours));
    }
    // The deepest mount at or above the directory is the one that is seen there.
    let above = |mount: &&VolumeMount| below(SECURITYFS_PATH, &normal(&mount.mount_path)).is_some();
    if let Some(deepest) =
        mounts.iter().filter(above).max_by_key(|mount| normal(&mount.mount_path).len())
    {
        return covering(pod, deepest);
    }
    let inside =
        |mount: &&VolumeMount| below(&normal(&mount.mount_path), SECURITYFS_PATH).is_some();
    mounts.iter().find(inside).map_or(View::Nothing, |mount| View::Inside(other(pod, mount)))
}

fn covering(pod: &PodSpec, mount: &VolumeMount) -> View {
    if shows(pod, mount) {
        return View::Theirs(mounted(mount));
    }
    let other = other(pod, mount);
    // A file of securityfs mounted on the directory fails as a mount inside it does.
    let file = host_path(pod, &mount.name)
        .is_some_and(|host| below(&normal(&host.path), SECURITYFS_PATH).is_some());
    if file { View::Inside(other) } else { View::Hidden(other) }
}

/// Whether the mount shows the host's securityfs at its place in the container.
fn shows(pod: &PodSpec, mount: &VolumeMount) -> bool {
    let at = normal(&mount.mount_path);
    let (Some(host), Some(rest)) = (host_path(pod, &mount.name), below(SECURITYFS_PATH, &at))
    else {
        return false;
    };
    // What a subPathExpr becomes is known on the node alone. A subPath is bound without what is mounted below it, so
    // it must lead to securityfs itself.
    let sub_path = mount.sub_path.as_deref().unwrap_or_default();
    if mount.sub_path_expr.is_some() || !(sub_path.is_empty() || rest.is_empty()) || is_file(host) {
        return false;
    }
    normal(&format!("{}/{sub_path}/{rest}", host.path)) == SECURITYFS_PATH
}

fn is_file(host: &HostPathVolumeSource) -> bool {
    !matches!(host.type_.as_deref(), None | Some("" | "Directory" | "DirectoryOrCreate"))
}

/// The volume of that name.
#[must_use]
pub fn volume<'a>(pod: &'a PodSpec, name: &str) -> Option<&'a Volume> {
    pod.volumes.iter().flatten().find(|volume| volume.name == name)
}

fn host_path<'a>(pod: &'a PodSpec, name: &str) -> Option<&'a HostPathVolumeSource> {
    volume(pod, name)?.host_path.as_ref()
}

/// Whether the volume is the host's securityfs, as ours is.
#[must_use]
pub fn is_securityfs(volume: &Volume) -> bool {
    volume
        .host_path
        .as_ref()
        .is_some_and(|host| normal(&host.path) == SECURITYFS_PATH && !is_file(host))
}

/// What a volume holds, in a few words.
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
    // The field that is set names the kind of source: emptyDir, configMap, csi and so on.
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
        _ => Access::Writable,
    }
}

fn other(pod: &PodSpec, mount: &VolumeMount) -> OtherMount {
    let source =
        volume(pod, &mount.name).map_or_else(|| "a volume that is not defined".to_owned(), source);
    let source = match mount.sub_path.as_deref().or(mount.sub_path_expr.as_deref()) {
        Some(sub_path) => format!("{source}, subPath {sub_path}"),
        None => source,
    };
    OtherMount { volume: mount.name.clone(), path: normal(&mount.mount_path), source }
}

impl fmt::Display for Mounted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "mounted at {}", self.path)?;
        let own = format!("mount {SECURITYFS_PATH} itself as well, with readOnly: true");
        match (self.access, self.bidirectional) {
            (_, true) => {
                write!(
                    f,
                    " with mountPropagation Bidirectional, which is more than the agent needs: leave it out"
                )
            }
            (Access::ReadOnly, false) => write!(f, " read-only"),
            (Access::Writable, false) if self.path == SECURITYFS_PATH => {
                write!(f, " writable, which is more than the agent needs: set readOnly: true")
            }
            (Access::Writable, false) => {
                write!(f, " writable, which is more than the agent needs: {own}")
            }
            (Access::WritableBelow, false) => {
                write!(f, " read-only, which leaves securityfs below it writable: {own}")
            }
        }
    }
}

impl fmt::Display for OtherMount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "volume {} ({}) at {}", self.volume, self.source, self.path)
    }
}

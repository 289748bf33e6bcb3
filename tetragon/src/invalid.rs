//! Pod templates that cannot run with our mount, whichever container is the agent.
//!
//! A live DaemonSet has no duplicates, because the API server refuses them. A manifest can have
//! them: a chart that renders a volume, and gets the same volume as a value, fails only when it is
//! installed.

use k8s_openapi::api::core::v1::{Container, PodSpec};

use crate::refusal::Refusal;

/// Labels of the operating system: the current one, and the one before Kubernetes 1.14.
const OS_LABELS: [&str; 2] = ["kubernetes.io/os", "beta.kubernetes.io/os"];

/// Why our mount cannot be added to that pod template.
#[must_use]
pub fn refusal(pod: &PodSpec) -> Option<Refusal> {
    if is_for_windows(pod) {
        return Some(Refusal::NotLinux);
    }
    let volumes = pod.volumes.iter().flatten().map(|volume| volume.name.as_str());
    if let Some(name) = duplicate(volumes) {
        return Some(Refusal::DuplicateVolume(name.to_owned()));
    }
    pod.init_containers.iter().flatten().chain(&pod.containers).find_map(duplicate_mount)
}

fn is_for_windows(pod: &PodSpec) -> bool {
    let selector = pod.node_selector.iter().flatten();
    let mut selected = selector
        .filter(|(label, _)| OS_LABELS.contains(&label.as_str()))
        .map(|(_, os)| os.as_str());
    pod.os.as_ref().is_some_and(|os| os.name == "windows") || selected.any(|os| os == "windows")
}

fn duplicate_mount(container: &Container) -> Option<Refusal> {
    let paths = container.volume_mounts.iter().flatten().map(|mount| mount.mount_path.as_str());
    duplicate(paths).map(|path| Refusal::DuplicateMount {
        container: container.name.clone(),
        path: path.to_owned(),
    })
}

/// The first text that occurs twice.
fn duplicate<'a>(mut all: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let mut seen = std::collections::HashSet::new();
    all.find(|one| !seen.insert(*one))
}

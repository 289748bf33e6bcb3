//! Which container of a pod template is Tetragon's agent.
//!
//! In: the pod template and the requested name. Out: the container, or a refusal that lists the
//! containers. Init containers are never the agent, not even sidecars (`restartPolicy: Always`),
//! and neither is the chart's exporter.

use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::{Container, PodSpec};
use lsm_ready_crds::policy::DaemonSetRef;

use crate::daemon_set::{pod, version_label};
use crate::image::{Image, Version};
use crate::path::normal;
use crate::refusal::Refusal;

/// Where the agent pins its programs and maps. Each chart since 0.8 mounts the host's directory
/// there.
const BPF_MAPS: &str = "/sys/fs/bpf";

/// Why a container is taken for the agent. Later variants are surer.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum MatchedBy {
    /// It is the only container that mounts BPF maps. Containers of other programs do that too.
    BpfMaps,
    /// It has the requested name.
    Name,
    /// It has Tetragon's image.
    Image,
}

/// The container's name in a policy that gives none. The API server fills it in, so an explicit
/// name that is the same cannot be distinguished from it.
#[must_use]
pub fn default_name() -> String {
    DaemonSetRef::default().container
}

/// The container with that name. If there is none and the name is the default, the only container
/// with Tetragon's image, else the only one that mounts BPF maps, because charts and mirrors rename
/// containers.
///
/// # Errors
/// If there is no such container, or several could be meant.
pub fn agent<'a>(pod: &'a PodSpec, wanted: &str) -> Result<&'a Container, Refusal> {
    let containers = || pod.containers.iter();
    if let Some(named) = containers().find(|container| container.name == wanted) {
        return Ok(named);
    }
    if wanted == default_name() {
        let by_image = only(containers().filter(|container| has_agent_image(container)));
        let by_maps = || only(containers().filter(|container| mounts_bpf_maps(container)));
        if let Some(found) = by_image.or_else(by_maps) {
            return Ok(found);
        }
    }
    Err(not_found(pod, wanted))
}

/// The release of the agents of this DaemonSet, if its image or labels name one.
#[must_use]
pub fn version(daemon_set: &DaemonSet, wanted: &str) -> Option<Version> {
    let container = agent(pod(daemon_set)?, wanted).ok()?;
    Image::parse(container.image.as_deref()?).version(version_label(daemon_set))
}

/// Why this container, which [`agent`] found, is taken for Tetragon's.
#[must_use]
pub fn matched_by(container: &Container, wanted: &str) -> MatchedBy {
    if has_agent_image(container) {
        MatchedBy::Image
    } else if container.name == wanted {
        MatchedBy::Name
    } else {
        MatchedBy::BpfMaps
    }
}

/// The item, if there is exactly one.
fn only<'a>(mut found: impl Iterator<Item = &'a Container>) -> Option<&'a Container> {
    let first = found.next()?;
    found.next().is_none().then_some(first)
}

fn has_agent_image(container: &Container) -> bool {
    container.image.as_deref().is_some_and(|image| Image::parse(image).is_agent())
}

fn mounts_bpf_maps(container: &Container) -> bool {
    container.volume_mounts.iter().flatten().any(|mount| normal(&mount.mount_path) == BPF_MAPS)
}

fn not_found(pod: &PodSpec, wanted: &str) -> Refusal {
    let mut init = pod.init_containers.iter().flatten();
    Refusal::ContainerNotFound {
        wanted: wanted.to_owned(),
        is_init: init.any(|container| container.name == wanted),
        present: pod.containers.iter().map(|container| container.name.clone()).collect(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn container(name: &str, image: &str, mount_path: &str) -> Value {
        json!({"name": name, "image": image, "volumeMounts": [{"name": "v",
            "mountPath": mount_path}]})
    }

    /// The container that is found, and why.
    fn found(containers: &[Value], init: &[Value], wanted: &str) -> Option<(String, MatchedBy)> {
        let pod = json!({"containers": containers, "initContainers": init});
        let pod: PodSpec = serde_json::from_value(pod).unwrap();
        agent(&pod, wanted)
            .ok()
            .map(|container| (container.name.clone(), matched_by(container, wanted)))
    }

    #[test]
    fn the_name_counts_first_and_the_default_name_has_substitutes() {
        let export = container(
            "export-stdout",
            "quay.io/cilium/hubble-export-stdout:v1.1.0",
            "/var/run/cilium/tetragon",
        );
        let named = container("tetragon", "registry:5000/mirror/agent:v1", "/sys/fs/bpf");
        let by_image = container("enforcer", "registry:5000/cilium/tetragon:v1.3.0", "/elsewhere");
        let by_maps = container("enforcer", "registry:5000/mirror/agent:v1", "/sys/fs/bpf/");
        let all = |last: &Value| vec![export.clone(), last.clone()];
        let name = |name: &str, sign| Some((name.to_owned(), sign));
        assert_eq!(found(&all(&named), &[], "tetragon"), name("tetragon", MatchedBy::Name));
        assert_eq!(found(&all(&by_image), &[], "tetragon"), name("enforcer", MatchedBy::Image));
        assert_eq!(found(&all(&by_maps), &[], "tetragon"), name("enforcer", MatchedBy::BpfMaps));
        assert_eq!(
            found(&all(&by_image), &[], "export-stdout"),
            name("export-stdout", MatchedBy::Name)
        );
        // There is no substitute for another name.
        assert_eq!(found(&all(&by_image), &[], "agent"), None);
        // Two images are ambiguous, and sidecars do not count.
        assert_eq!(
            found(&[by_image.clone(), container("b", "tetragon:v1.3.0", "/")], &[], "tetragon"),
            None
        );
        assert_eq!(
            found(std::slice::from_ref(&export), std::slice::from_ref(&by_image), "tetragon"),
            None
        );
    }
}

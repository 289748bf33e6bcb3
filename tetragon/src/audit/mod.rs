//! What the agent's container may do without needing it, and what to change.
//!
//! In: the DaemonSet, the container's name, and the agent's nodes on which AppArmor is active. Out:
//! advice, the most important first. Advice blocks nothing: Tetragon's chart makes the agent
//! privileged by default.
//!
//! ## Guarantees
//! A change is advised only if a real agent of exactly that release was tested with it
//! ([`crate::tested`]). The advice names everything in the pod template that has to change
//! together.

mod privileged;

use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::{Container, PodSpec, PodTemplateSpec};
use lsm_ready_crds::ConditionReason;
use lsm_ready_crds::names::SECURITYFS_PATH;

use crate::agent::agent;
use crate::daemon_set::{pod, release};
use crate::image::{Image, Version};
use crate::path::normal;
use crate::privilege::{
    Capabilities, capabilities, is_confined_by_default, is_privileged, seccomp,
};
use crate::refusal::Refusal;
use crate::tested;
use crate::view::{Access, Mounted, View, view, volume};

/// Something that the container may do without needing it, or that prevents the agent from working.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Advice {
    /// The condition's reason.
    pub reason: ConditionReason,
    /// What was found, and what to change.
    pub message: String,
}

/// The agent's nodes on which AppArmor is active.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub enum AppArmorNodes {
    /// The nodes are not known, because only a manifest is known.
    #[default]
    NotKnown,
    /// The nodes are known.
    Known {
        /// The number of nodes.
        count: usize,
        /// The first names.
        sample: Vec<String>,
    },
}

impl AppArmorNodes {
    /// A phrase that says where AppArmor is active. `None` if it is on no node, or if nothing is
    /// known.
    #[must_use]
    pub fn words(&self) -> Option<String> {
        let Self::Known { count, sample } = self else {
            return None;
        };
        let more = if *count > sample.len() { ", …" } else { "" };
        let names = sample.join(", ");
        (*count > 0).then(|| format!("AppArmor is active on {count} nodes ({names}{more})"))
    }
}

/// The agent in its pod template.
struct Agent<'a> {
    template: &'a PodTemplateSpec,
    pod: &'a PodSpec,
    container: &'a Container,
    release: Option<Version>,
    nodes: &'a AppArmorNodes,
}

/// The advice about the agent of that DaemonSet.
///
/// # Errors
/// If there is no such container.
pub fn audit(
    daemon_set: &DaemonSet,
    container: &str,
    nodes: &AppArmorNodes,
) -> Result<Vec<Advice>, Refusal> {
    let (empty, no_template) = (PodSpec::default(), PodTemplateSpec::default());
    let pod = pod(daemon_set).unwrap_or(&empty);
    let template = daemon_set.spec.as_ref().map_or(&no_template, |spec| &spec.template);
    let container = agent(pod, container)?;
    let agent = Agent { template, pod, container, release: release(daemon_set, container), nodes };
    let mounted = match view(pod, container, false) {
        View::Ours(mounted) | View::Theirs(mounted) => Some(mounted),
        View::Nothing | View::Inside(_) | View::Hidden(_) => None,
    };
    let advice = [
        agent.privileged(),
        agent.confined_by_app_armor(),
        agent.host_pid(),
        agent.missing_capabilities(),
        agent.excess_capabilities(),
        mounted.as_ref().and_then(|mounted| agent.writable_mount(mounted)),
        mounted.as_ref().and_then(|mounted| agent.propagated_mount(mounted)),
        agent.without_seccomp(),
        mutable_tag(container),
    ];
    Ok(advice.into_iter().flatten().collect())
}

impl Agent<'_> {
    fn confined_by_app_armor(&self) -> Option<Advice> {
        if !is_confined_by_default(self.template, self.pod, self.container) {
            return None;
        }
        let active = self.nodes.words()?;
        let change = "set appArmorProfile to type: Unconfined";
        let message = format!(
            "{active}, and the runtime's default profile prevents container {} from starting \
             there, because it is not privileged: {}",
            self.container.name,
            tested::advice(self.release, &tested::UNCONFINED, change)
        );
        Some(Advice { reason: ConditionReason::AppArmor, message })
    }

    fn host_pid(&self) -> Option<Advice> {
        if self.pod.host_pid != Some(true) {
            return None;
        }
        let advice = if self.mounts_host_proc() {
            let change = "remove hostPID, as Tetragon's charts do without it";
            tested::advice(self.release, &tested::WITHOUT_HOST_PID, change)
        } else {
            "nothing is advised, because the host's /proc is not mounted, which Tetragon's charts \
             mount instead of hostPID"
                .to_owned()
        };
        let message = format!("the pod shares the host's process IDs (hostPID): {advice}");
        Some(Advice { reason: ConditionReason::HostPid, message })
    }

    fn mounts_host_proc(&self) -> bool {
        let mounts = self.container.volume_mounts.iter().flatten();
        let volumes = mounts.filter_map(|mount| volume(self.pod, &mount.name));
        let mut paths = volumes.filter_map(|volume| Some(normal(&volume.host_path.as_ref()?.path)));
        paths.any(|path| path == "/proc")
    }

    /// Missing capabilities without which an agent of this release did not start.
    fn missing_capabilities(&self) -> Option<Advice> {
        let tested = tested::with(self.release)?;
        let held = capabilities(self.container);
        let missing: Vec<&str> =
            tested.vital.iter().copied().filter(|name| !held.has(name)).collect();
        (!missing.is_empty()).then(|| {
            let message = format!(
                "container {} lacks capabilities without which Tetragon {} did not start in a \
                 test ({}): add them",
                self.container.name,
                tested.release,
                missing.join(", ")
            );
            Advice { reason: ConditionReason::CapabilitiesMissing, message }
        })
    }

    /// Effective capabilities that a tested agent worked without. A privileged container has all of
    /// them, which is reported as being privileged.
    fn excess_capabilities(&self) -> Option<Advice> {
        if is_privileged(self.container) {
            return None;
        }
        let tested = tested::with(self.release).unwrap_or(tested::newest());
        let is_excess = |name: &String| !tested.capabilities.contains(&name.as_str());
        let excess = match capabilities(self.container) {
            Capabilities::AllBut(_) => "ALL".to_owned(),
            Capabilities::Only(held) => {
                held.into_iter().filter(is_excess).collect::<Vec<_>>().join(", ")
            }
        };
        (!excess.is_empty()).then(|| {
            let change = format!("set drop: [ALL] and add: [{}]", tested.capabilities.join(", "));
            let message = format!(
                "container {} has effective capabilities that Tetragon {} worked without in a \
                 test ({excess}; the runtime's default capabilities count unless they are \
                 dropped): {}",
                self.container.name,
                tested.release,
                tested::advice(self.release, &[tested.release], &change)
            );
            Advice { reason: ConditionReason::Capabilities, message }
        })
    }

    fn writable_mount(&self, mounted: &Mounted) -> Option<Advice> {
        if mounted.access == Access::ReadOnly {
            return None;
        }
        let message = format!(
            "volume {} at {} makes {SECURITYFS_PATH} writable, through which security modules are \
             configured: {}",
            mounted.volume,
            mounted.path,
            self.change_mount(mounted, "set readOnly: true")
        );
        Some(Advice { reason: ConditionReason::SecurityfsWritable, message })
    }

    fn propagated_mount(&self, mounted: &Mounted) -> Option<Advice> {
        mounted.bidirectional.then(|| {
            let message = format!(
                "mounts that the container makes below volume {} at {} appear on the host: {}",
                mounted.volume,
                mounted.path,
                self.change_mount(mounted, "remove mountPropagation there")
            );
            Advice { reason: ConditionReason::SecurityfsPropagated, message }
        })
    }

    /// Advises that change, or another mount if the mount is of a directory above: changing that
    /// one would change what else the agent sees below it.
    fn change_mount(&self, mounted: &Mounted, change: &str) -> String {
        let mount_itself = format!(
            "mount {SECURITYFS_PATH} itself too, with readOnly: true and without mountPropagation"
        );
        let advice = if mounted.path == SECURITYFS_PATH { change } else { &mount_itself };
        tested::advice(self.release, &tested::READ_ONLY_SECURITYFS, advice)
    }

    fn without_seccomp(&self) -> Option<Advice> {
        let is_confined =
            seccomp(self.pod, self.container).is_some_and(|profile| profile.type_ != "Unconfined");
        // A privileged container runs without seccomp, whatever the profile is
        // (<https://kubernetes.io/docs/tutorials/security/seccomp/>).
        if is_confined || is_privileged(self.container) {
            return None;
        }
        let change = "set seccompProfile to type: RuntimeDefault";
        let advice = tested::advice(self.release, &tested::releases(), change);
        let name = &self.container.name;
        let message = format!("container {name} runs without a seccomp profile: {advice}");
        Some(Advice { reason: ConditionReason::NoSeccomp, message })
    }
}

fn mutable_tag(container: &Container) -> Option<Advice> {
    let image = container.image.as_deref().unwrap_or_default();
    (!Image::parse(image).is_settled()).then(|| Advice {
        reason: ConditionReason::MutableTag,
        message: format!(
            "image {image:?} has neither a digest nor the tag of a full release, so any restart \
             may run another image: write the release (v1.7.0) or, better, its digest"
        ),
    })
}

#[cfg(test)]
mod tests;

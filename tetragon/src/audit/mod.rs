//! What the agent's container may do beyond what its work was seen to need.
//!
//! In: the DaemonSet, the container's name, and the agent's nodes on which AppArmor is active. Out: findings, the weightiest
//! first, each once. They hold up nothing: Tetragon's chart makes the agent privileged by default.
//!
//! ## Guarantees
//! A finding advises a change only where a real agent of exactly that release was seen to work with it ([`crate::tested`]), and
//! names everything else in the pod template that has to change with it.

use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::{Container, PodSpec, PodTemplateSpec};
use lsm_ready_crds::ConditionReason;
use lsm_ready_crds::names::SECURITYFS_PATH;

use crate::agent::agent;
use crate::image::{Image, Version};
use crate::path::normal;
use crate::plan::{pod, release};
use crate::privilege::{
    AppArmor, Capabilities, app_armor, capabilities, is_confined_by_default, is_privileged, seccomp,
};
use crate::refusal::Refusal;
use crate::tested::{self, TestedAgent};
use crate::view::{Access, Mounted, View, view, volume};

/// Something that the container may do and need not, or that keeps the agent from its work.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Advice {
    /// The condition's reason.
    pub reason: ConditionReason,
    /// What it is, and what to change.
    pub message: String,
}

/// The agent's nodes on which AppArmor is active.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub enum AppArmorNodes {
    /// The nodes are not known, as where only a manifest is looked at.
    #[default]
    NotKnown,
    /// That many.
    Known {
        /// How many.
        count: usize,
        /// The first of them by name.
        sample: Vec<String>,
    },
}

impl AppArmorNodes {
    /// AppArmor is active on some node, in words; none where it is on no node or nothing is known.
    #[must_use]
    pub fn words(&self) -> Option<String> {
        let Self::Known { count, sample } = self else {
            return None;
        };
        let names = sample.join(", ");
        match (*count, count.saturating_sub(sample.len())) {
            (0, _) => None,
            (count, 0) => Some(format!("AppArmor is active on {count} nodes ({names})")),
            (count, _) => Some(format!("AppArmor is active on {count} nodes ({names}, …)")),
        }
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

/// What is found about the agent of that DaemonSet.
///
/// # Errors
/// Where there is no such container.
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
    let found = [
        agent.privileged(),
        agent.confined(),
        agent.host_pid(),
        agent.missing(),
        agent.beyond(),
        mounted.as_ref().and_then(|mounted| agent.writable(mounted)),
        mounted.as_ref().and_then(|mounted| agent.propagated(mounted)),
        agent.without_seccomp(),
        mutable_tag(container),
    ];
    let excess = |(reason, message)| Advice { reason, message };
    Ok(found.into_iter().flatten().map(excess).collect())
}

type Found = Option<(ConditionReason, String)>;

impl Agent<'_> {
    fn privileged(&self) -> Found {
        is_privileged(self.container).then(|| {
            let advice = match tested::with(self.release) {
                Some(seen) => self.less(seen),
                None => tested::advice(self.release, &tested::releases(), ""),
            };
            let message = format!(
                "container {} is privileged, as Tetragon's chart makes it, and may do everything on its node: {advice}",
                self.container.name
            );
            (ConditionReason::Privileged, message)
        })
    }

    /// All that has to change so that the agent runs with less, as it was seen to.
    fn less(&self, seen: &TestedAgent) -> String {
        let mut changes = vec![format!(
            "securityContext of the container (tetragon.securityContext in the chart's values) with privileged: false, \
             capabilities: {{drop: [ALL], add: [{}]}} and seccompProfile: {{type: RuntimeDefault}}",
            seen.capabilities.join(", ")
        )];
        let (bpf, other): (Vec<_>, Vec<_>) =
            self.bidirectional().into_iter().partition(|(_, path)| path == BPF_MAPS);
        let only = "the API server takes Bidirectional from privileged containers only";
        changes.extend(bpf.iter().map(|(volume, path)| {
            format!(
                "mountPropagation: HostToContainer in place of Bidirectional at {path} (volume {volume}), as {only} (the chart \
                 has no value for it: kustomize or a Helm post-renderer)"
            )
        }));
        changes.extend(other.iter().map(|(volume, path)| {
            format!("no Bidirectional at {path} (volume {volume}) either, as {only}, which was not tried")
        }));
        if seen.with_mount {
            changes.push(format!(
                "the host's {SECURITYFS_PATH} mounted, as by lsm-ready with mount: Auto"
            ));
        }
        let declined = app_armor(self.template, self.pod, self.container) == AppArmor::Unconfined;
        match self.nodes {
            AppArmorNodes::NotKnown if !declined => {
                changes.push("where AppArmor is active on a node, appArmorProfile: {type: Unconfined}".to_owned());
            }
            nodes => changes.extend(nodes.words().filter(|_| !declined).map(|active| {
                format!("appArmorProfile: {{type: Unconfined}}, as {active}, whose default profile keeps the agent from starting")
            })),
        }
        format!(
            "Tetragon {} was seen to load an LSM policy and to deny on {} with less. It takes all of this together: {}. Change \
             it on one node first",
            seen.release,
            seen.kernel,
            changes.join("; ")
        )
    }

    /// Volume and path of the container's mounts that propagate to the host.
    fn bidirectional(&self) -> Vec<(String, String)> {
        let mounts = self.container.volume_mounts.iter().flatten();
        let both =
            mounts.filter(|mount| mount.mount_propagation.as_deref() == Some("Bidirectional"));
        both.map(|mount| (mount.name.clone(), normal(&mount.mount_path))).collect()
    }

    /// Under the runtime's default AppArmor profile an unprivileged agent does not work.
    fn confined(&self) -> Found {
        if !is_confined_by_default(self.template, self.pod, self.container) {
            return None;
        }
        let active = self.nodes.words()?;
        let change = "set appArmorProfile to type: Unconfined";
        let message = format!(
            "{active}, and the runtime's default profile keeps container {} from starting there, as it is not privileged: {}",
            self.container.name,
            tested::advice(self.release, &tested::UNCONFINED, change)
        );
        Some((ConditionReason::AppArmor, message))
    }

    fn host_pid(&self) -> Found {
        (self.pod.host_pid == Some(true)).then(|| {
            let advice = if self.mounts_host_proc() {
                tested::advice(self.release, &tested::WITHOUT_HOST_PID, "remove that, as Tetragon's charts do without it")
            } else {
                "nothing is advised, as the host's /proc is not mounted, by which Tetragon's charts do without it"
                    .to_owned()
            };
            (ConditionReason::HostPid, format!("the pod shares the host's process IDs (hostPID): {advice}"))
        })
    }

    fn mounts_host_proc(&self) -> bool {
        let volumes = self
            .container
            .volume_mounts
            .iter()
            .flatten()
            .filter_map(|mount| volume(self.pod, &mount.name));
        let mut paths = volumes.filter_map(|volume| Some(normal(&volume.host_path.as_ref()?.path)));
        paths.any(|path| path == "/proc")
    }

    /// A capability without which an agent of this release was seen not to start.
    fn missing(&self) -> Found {
        let (seen, held) = (tested::with(self.release)?, capabilities(self.container));
        let missing: Vec<&str> =
            seen.vital.iter().copied().filter(|name| !held.has(name)).collect();
        (!missing.is_empty()).then(|| {
            let message = format!(
                "container {} lacks capabilities without which Tetragon {} was seen not to start ({}): add them",
                self.container.name,
                seen.release,
                missing.join(", ")
            );
            (ConditionReason::CapabilitiesMissing, message)
        })
    }

    /// Capabilities in effect beyond those with which an agent was seen to work. A privileged container has all of them.
    fn beyond(&self) -> Found {
        if is_privileged(self.container) {
            return None;
        }
        let seen = tested::with(self.release).unwrap_or(tested::newest());
        let needed = |name: &String| seen.capabilities.contains(&name.as_str());
        let beyond = match capabilities(self.container) {
            Capabilities::AllBut(_) => "ALL".to_owned(),
            Capabilities::Only(held) => {
                held.into_iter().filter(|name| !needed(name)).collect::<Vec<_>>().join(", ")
            }
        };
        (!beyond.is_empty()).then(|| {
            let change = format!("set drop: [ALL] and add: [{}]", seen.capabilities.join(", "));
            let message = format!(
                "container {} has capabilities in effect that Tetragon {} was seen to do without ({beyond}; what the runtime \
                 gives by default counts unless it is dropped): {}",
                self.container.name,
                seen.release,
                tested::advice(self.release, &[seen.release], &change)
            );
            (ConditionReason::Capabilities, message)
        })
    }

    fn writable(&self, mounted: &Mounted) -> Found {
        if mounted.access == Access::ReadOnly {
            return None;
        }
        let message = format!(
            "volume {} at {} leaves {SECURITYFS_PATH} writable, through which security modules are configured: {}",
            mounted.volume,
            mounted.path,
            self.own_mount(mounted, "set readOnly: true")
        );
        Some((ConditionReason::SecurityfsWritable, message))
    }

    fn propagated(&self, mounted: &Mounted) -> Found {
        mounted.bidirectional.then(|| {
            let message = format!(
                "what the container mounts below volume {} at {} appears on the host: {}",
                mounted.volume,
                mounted.path,
                self.own_mount(mounted, "leave out mountPropagation there")
            );
            (ConditionReason::SecurityfsPropagated, message)
        })
    }

    /// A change of a mount of a directory above would change what else the agent sees below it.
    fn own_mount(&self, mounted: &Mounted, change: &str) -> String {
        let beside = format!(
            "mount {SECURITYFS_PATH} itself as well, with readOnly: true and without mountPropagation"
        );
        let advice = if mounted.path == SECURITYFS_PATH { change } else { &beside };
        tested::advice(self.release, &tested::READ_ONLY_SECURITYFS, advice)
    }

    /// A privileged container runs without seccomp, whatever is said
    /// (<https://kubernetes.io/docs/tutorials/security/seccomp/>).
    fn without_seccomp(&self) -> Found {
        let confined =
            seccomp(self.pod, self.container).is_some_and(|profile| profile.type_ != "Unconfined");
        (!confined && !is_privileged(self.container)).then(|| {
            let change = "set seccompProfile to type: RuntimeDefault";
            let advice = tested::advice(self.release, &tested::releases(), change);
            (
                ConditionReason::NoSeccomp,
                format!(
                    "container {} runs without a seccomp profile: {advice}",
                    self.container.name
                ),
            )
        })
    }
}

/// Where the agent pins its programs and maps.
const BPF_MAPS: &str = "/sys/fs/bpf";

fn mutable_tag(container: &Container) -> Found {
    let image = container.image.as_deref().unwrap_or_default();
    (!Image::parse(image).is_settled()).then(|| {
        let message = format!(
            "image {image:?} names no digest and no full release, so it may become another one at any restart: give the \
             release (v1.7.0) or, better, its digest"
        );
        (ConditionReason::MutableTag, message)
    })
}

#[cfg(test)]
mod tests;

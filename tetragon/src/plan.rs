//! The mount plan: what to do about a DaemonSet, as a pure function of the DaemonSet and of what
//! the policies request.
//!
//! ## Flow
//! the agent's container ([`crate::agent`]) → what it sees at /sys/kernel/security
//! ([`crate::view`]) → what it needs ([`crate::need`]) → the plan.
//!
//! ## Guarantees
//! There is never a second mount of securityfs: a mount with any name satisfies each request. Our
//! mount is found by our label on the DaemonSet, and is ignored when the need for it is judged, so
//! the plan for a patched DaemonSet patches nothing more. Our mount stays when the agent no longer
//! needs it (after an upgrade to v1.4.0), because removing it would restart each agent:
//! docs/adr/0003-one-mount-kept.md.

use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::{Container, PodSpec, PodTemplateSpec};
use kube::ResourceExt;
use lsm_ready_crds::names::{DAEMON_SET_LABEL, SECURITYFS_VOLUME};
use lsm_ready_crds::policy::Mount;

use crate::agent::agent;
use crate::daemon_set::template;
use crate::invalid;
use crate::need::{AgentNeed, need};
use crate::privilege::{self, AppArmor};
use crate::refusal::Refusal;
use crate::taken_back;
use crate::view::{Mounted, View, is_securityfs, source, view, volume};

pub use crate::daemon_set::{pod, release, version_label};
pub use crate::need::{Need, NoNeed};
pub use crate::request::MountRequest;

/// What to do about a DaemonSet.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Plan {
    /// Nothing: no policy requests the mount, and the DaemonSet has nothing of ours.
    NotWanted,
    /// Nothing: the agent sees securityfs, or needs no securityfs, without our mount.
    NotNeeded(NoNeed),
    /// Nothing: our mount is there.
    Keep {
        /// The mount as it is now.
        mounted: Mounted,
        /// Why the agent needs the mount. `None` if it would do without by now.
        still_needed: Option<Need>,
    },
    /// Add our volume, mount and label.
    Patch {
        /// Name of the agent's container.
        container: String,
        /// Why the agent needs the mount.
        need: Need,
    },
    /// Ask the DaemonSet's owner to add a mount.
    Suggest {
        /// Name of the agent's container.
        container: String,
        /// Why the agent needs the mount.
        need: Need,
    },
    /// Remove what is ours.
    Remove {
        /// What made our mount superfluous. `None` if no policy requests the mount any more.
        superseded: Option<NoNeed>,
    },
    /// Nothing can be done before somebody changes the DaemonSet or the policy.
    Refused(Refusal),
}

/// What to do about that DaemonSet.
#[must_use]
pub fn plan(daemon_set: &DaemonSet, request: &MountRequest) -> Plan {
    if !request.any() {
        return if labelled(daemon_set) {
            Plan::Remove { superseded: None }
        } else {
            Plan::NotWanted
        };
    }
    let empty = PodSpec::default();
    let pod = pod(daemon_set).unwrap_or(&empty);
    if let Some(refusal) = invalid::refusal(pod) {
        return Plan::Refused(refusal);
    }
    match agent(pod, &request.container) {
        Ok(container) => Agent { daemon_set, pod, container, request }.plan(),
        Err(refusal) => Plan::Refused(refusal),
    }
}

/// The agent's container in its DaemonSet, and what the policies request for it.
struct Agent<'a> {
    daemon_set: &'a DaemonSet,
    pod: &'a PodSpec,
    container: &'a Container,
    request: &'a MountRequest,
}

impl Agent<'_> {
    fn plan(&self) -> Plan {
        match view(self.pod, self.container, owned(self.daemon_set)) {
            View::Ours(mounted) => {
                let need = self.need();
                let still_needed = need
                    .for_mount(self.request.patch)
                    .or_else(|| need.for_mount(self.request.suggest));
                Plan::Keep { mounted, still_needed }
            }
            View::Theirs(mounted) => self.not_needed(NoNeed::AlreadyMounted(mounted)),
            View::Inside(mount) => Plan::Refused(Refusal::FileMount(mount)),
            View::Hidden(mount) if mount.volume == SECURITYFS_VOLUME => {
                Plan::Refused(Refusal::VolumeNameTaken(mount.source))
            }
            View::Hidden(mount) => Plan::Refused(Refusal::MountPathTaken(mount)),
            View::Nothing => self.add_mount(),
        }
    }

    /// The plan for a container that does not see securityfs.
    fn add_mount(&self) -> Plan {
        let MountRequest { patch, suggest, .. } = *self.request;
        let need = self.need();
        let (patch, suggest) = (need.for_mount(patch), need.for_mount(suggest));
        if patch.is_none() && suggest.is_none() {
            return match need.into_result() {
                Ok(no_need) => self.not_needed(no_need),
                // Not reached: if the agent needs a mount, each request finds that need.
                Err(_) => Plan::NotWanted,
            };
        }
        if let Some(refusal) = self.refusal() {
            return Plan::Refused(refusal);
        }
        let container = self.container.name.clone();
        match (patch, suggest) {
            (Some(need), _) => Plan::Patch { container, need },
            (None, Some(need)) => Plan::Suggest { container, need },
            (None, None) => Plan::NotWanted,
        }
    }

    fn need(&self) -> AgentNeed {
        let empty = PodTemplateSpec::default();
        let template = template(self.daemon_set).unwrap_or(&empty);
        need(release(self.daemon_set, self.container), template, self.pod, self.container)
    }

    fn not_needed(&self, no_need: NoNeed) -> Plan {
        if labelled(self.daemon_set) {
            Plan::Remove { superseded: Some(no_need) }
        } else {
            Plan::NotNeeded(no_need)
        }
    }

    /// Why a mount of ours would break the agent, or would not help it.
    fn refusal(&self) -> Option<Refusal> {
        if privilege::has_user_namespace(self.pod) {
            return Some(Refusal::UserNamespace);
        }
        let is_confined = self.app_armor() == AppArmor::RuntimeDefault
            && !privilege::is_privileged(self.container);
        if is_confined {
            return Some(Refusal::AppArmor(self.container.name.clone()));
        }
        if !self.request.without_securityfs.is_empty() {
            let nodes = self.request.without_securityfs.clone();
            return Some(Refusal::NodesWithoutSecurityfs(nodes));
        }
        // The following concerns only mounts that the operator adds.
        if self.request.patch == Mount::Never {
            return None;
        }
        if taken_back::stands(self.daemon_set, self.request) {
            return Some(Refusal::TakenBack { container: self.container.name.clone() });
        }
        let volume = volume(self.pod, SECURITYFS_VOLUME)?;
        (!is_securityfs(volume)).then(|| Refusal::VolumeNameTaken(source(volume)))
    }

    fn app_armor(&self) -> AppArmor {
        template(self.daemon_set).map_or(AppArmor::Unset, |template| {
            privilege::app_armor(template, self.pod, self.container)
        })
    }
}

/// Whether the mount in the DaemonSet is ours, by its label. The label survives a restart of the
/// operator.
#[must_use]
pub fn owned(daemon_set: &DaemonSet) -> bool {
    labelled(daemon_set) && !taken_back::is_marked(daemon_set)
}

/// Whether our label is all that is left of our mount, because somebody else removed the volume.
#[must_use]
pub fn has_only_our_label(daemon_set: &DaemonSet) -> bool {
    let volume = pod(daemon_set).and_then(|pod| volume(pod, SECURITYFS_VOLUME));
    owned(daemon_set) && volume.is_none()
}

/// Whether the DaemonSet has our label, with any value.
#[must_use]
pub fn labelled(daemon_set: &DaemonSet) -> bool {
    daemon_set.labels().contains_key(DAEMON_SET_LABEL)
}

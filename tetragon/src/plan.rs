//! The mount plan: what has to be done about a DaemonSet, as a pure function of it and of what is wished.
//!
//! ## Flow
//! the agent's container ([`crate::agent`]) → what it sees at /sys/kernel/security ([`crate::view`]) → what the agent needs → the plan.
//!
//! ## Guarantees
//! Only ever one mount of securityfs: an existing one by any name satisfies every wish. What we added is found by our
//! label on the DaemonSet and is left out when the need for it is judged, so a plan that was applied plans nothing more.
//! A mount of ours that the agent has come to need no longer (an upgrade to v1.4.0) stays, as taking it away would
//! restart every agent: docs/adr/0003-one-mount-kept.md.

use lsm_ready_crds::ConditionReason;
use std::fmt;

use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::{Container, PodSpec, PodTemplateSpec};
use kube::ResourceExt;
use lsm_ready_crds::names::{DAEMON_SET_LABEL, SECURITYFS_VOLUME};
use lsm_ready_crds::policy::Mount;

use crate::agent::agent;
use crate::image::{Image, LSM_HOOKS_SINCE, MOUNTS_ITSELF_SINCE, VERSION_LABEL, Version};
use crate::invalid;
use crate::privilege::{self, AppArmor, Obstacle, may_mount};
use crate::refusal::Refusal;
use crate::taken_back;
use crate::view::{Mounted, View, is_securityfs, source, view, volume};

/// What all policies together want of one DaemonSet. `Never` in both: nobody wants anything.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct MountRequest {
    /// The agent's container.
    pub container: String,
    /// The strongest wish of those who let the operator patch.
    pub patch: Mount,
    /// The strongest wish of those who only want to be told.
    pub suggest: Mount,
    /// Names of the nodes of the DaemonSet whose kernels have no securityfs. An agent with the mount cannot start there.
    pub without_securityfs: Vec<String>,
}

impl MountRequest {
    /// Nobody wants anything.
    #[must_use]
    pub fn none() -> Self {
        Self {
            container: String::new(),
            patch: Mount::Never,
            suggest: Mount::Never,
            without_securityfs: Vec::new(),
        }
    }

    /// Somebody wants something.
    #[must_use]
    pub fn any(&self) -> bool {
        self.patch.max(self.suggest) > Mount::Never
    }
}

/// What has to be done.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Plan {
    /// Nothing: no policy wants the mount, and there is nothing of ours.
    NotWanted,
    /// Nothing: the agent sees securityfs without us.
    NotNeeded(NoNeed),
    /// Nothing: our mount is there. `still_needed` is none where the agent could do without it by now.
    Keep {
        /// The mount as it is now.
        mounted: Mounted,
        /// Why the agent needs it.
        still_needed: Option<Need>,
    },
    /// Our volume, mount and label have to be added.
    Patch {
        /// Name of the container.
        container: String,
        /// Why.
        need: Need,
    },
    /// The DaemonSet's owner has to add a mount.
    Suggest {
        /// Name of the container.
        container: String,
        /// Why.
        need: Need,
    },
    /// What is ours has to go. `superseded` says by what, where a policy does want the agent to see securityfs.
    Remove {
        /// What took our mount's place.
        superseded: Option<NoNeed>,
    },
    /// Nothing can be done before somebody changes the DaemonSet or the policy.
    Refused(Refusal),
}

/// Why no mount of ours is needed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum NoNeed {
    /// There is one.
    AlreadyMounted(Mounted),
    /// The agent of that release mounts securityfs itself, and its container may.
    MountsItself(Version),
    /// The agent of that release knows no `lsmhooks`, so it never looks at securityfs.
    NoLsmHooks(Version),
}

/// Why a mount is needed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Need {
    /// The policy says `Always`.
    Always,
    /// The release does not mount securityfs itself.
    Release(Version),
    /// The release would, and this keeps its container from it.
    Unprivileged(Version, Obstacle),
    /// The image names no release.
    UnknownRelease(String),
}

/// What has to be done about that DaemonSet.
#[must_use]
pub fn plan(daemon_set: &DaemonSet, wish: &MountRequest) -> Plan {
    let owned = owned(daemon_set);
    if !wish.any() {
        return if labelled(daemon_set) {
            Plan::Remove { superseded: None }
        } else {
            Plan::NotWanted
        };
    }
    let empty = PodSpec::default();
    let pod = pod(daemon_set).unwrap_or(&empty);
    let container = match invalid::refusal(pod).map_or_else(|| agent(pod, &wish.container), Err) {
        Ok(container) => container,
        Err(refusal) => return Plan::Refused(refusal),
    };
    let needs = needs(daemon_set, pod, container);
    match view(pod, container, owned) {
        View::Ours(mounted) => Plan::Keep {
            mounted,
            still_needed: need(wish.patch, &needs).or_else(|| need(wish.suggest, &needs)),
        },
        View::Theirs(mounted) => unneeded(daemon_set, NoNeed::AlreadyMounted(mounted)),
        View::Inside(mount) => Plan::Refused(Refusal::FileMount(mount)),
        View::Hidden(mount) if mount.volume == SECURITYFS_VOLUME => {
            Plan::Refused(Refusal::VolumeNameTaken(mount.source))
        }
        View::Hidden(mount) => Plan::Refused(Refusal::MountPathTaken(mount)),
        View::Nothing => missing(daemon_set, pod, container, wish, &needs),
    }
}

/// Nothing shows the container securityfs.
fn missing(
    daemon_set: &DaemonSet,
    pod: &PodSpec,
    container: &Container,
    wish: &MountRequest,
    needs: &Result<NoNeed, Need>,
) -> Plan {
    let (patch, suggest) = (need(wish.patch, needs), need(wish.suggest, needs));
    let name = container.name.clone();
    match (patch, suggest, needs) {
        (None, None, Ok(reason)) => unneeded(daemon_set, reason.clone()),
        // Not reached: somebody wishes something, and an agent in need makes every wish a need.
        (None, None, Err(_)) => Plan::NotWanted,
        (patch, suggest, _) => match useless(daemon_set, pod, container, wish) {
            Some(refusal) => Plan::Refused(refusal),
            None => match (patch, suggest) {
                (Some(need), _) => Plan::Patch { container: name, need },
                (None, Some(need)) => Plan::Suggest { container: name, need },
                (None, None) => Plan::NotWanted,
            },
        },
    }
}

/// Why a mount of ours would break the agent, or could not help it.
fn useless(
    daemon_set: &DaemonSet,
    pod: &PodSpec,
    container: &Container,
    wish: &MountRequest,
) -> Option<Refusal> {
    if privilege::has_user_namespace(pod) {
        return Some(Refusal::UserNamespace);
    }
    let confined = app_armor(daemon_set, pod, container) == AppArmor::RuntimeDefault;
    if confined && !privilege::is_privileged(container) {
        return Some(Refusal::AppArmor(container.name.clone()));
    }
    if !wish.without_securityfs.is_empty() {
        return Some(Refusal::NodesWithoutSecurityfs(wish.without_securityfs.clone()));
    }
    if wish.patch == Mount::Never {
        return None;
    }
    if taken_back::stands(daemon_set, wish) {
        return Some(Refusal::TakenBack { container: container.name.clone() });
    }
    let other = volume(pod, SECURITYFS_VOLUME).filter(|volume| !is_securityfs(volume))?;
    Some(Refusal::VolumeNameTaken(source(other)))
}

fn app_armor(daemon_set: &DaemonSet, pod: &PodSpec, container: &Container) -> AppArmor {
    template(daemon_set)
        .map_or(AppArmor::Unset, |template| privilege::app_armor(template, pod, container))
}

fn unneeded(daemon_set: &DaemonSet, reason: NoNeed) -> Plan {
    if labelled(daemon_set) {
        Plan::Remove { superseded: Some(reason) }
    } else {
        Plan::NotNeeded(reason)
    }
}

/// What that wish comes down to for that agent.
fn need(wish: Mount, needs: &Result<NoNeed, Need>) -> Option<Need> {
    match wish {
        Mount::Never => None,
        Mount::Auto => needs.clone().err(),
        Mount::Always => Some(Need::Always),
    }
}

/// Why this agent needs no mount, or why it needs one. Unknown means that it does: a mount too many is a restart, one too
/// few is an agent that cannot enforce.
fn needs(daemon_set: &DaemonSet, pod: &PodSpec, container: &Container) -> Result<NoNeed, Need> {
    let image = container.image.as_deref().unwrap_or_default();
    let version =
        release(daemon_set, container).ok_or_else(|| Need::UnknownRelease(image.to_owned()))?;
    if version < LSM_HOOKS_SINCE {
        return Ok(NoNeed::NoLsmHooks(version));
    }
    if version < MOUNTS_ITSELF_SINCE {
        return Err(Need::Release(version));
    }
    let empty = PodTemplateSpec::default();
    match may_mount(template(daemon_set).unwrap_or(&empty), pod, container) {
        Ok(()) => Ok(NoNeed::MountsItself(version)),
        Err(obstacle) => Err(Need::Unprivileged(version, obstacle)),
    }
}

/// The agent's release, as its image or the chart's label names it.
#[must_use]
pub fn release(daemon_set: &DaemonSet, container: &Container) -> Option<Version> {
    Image::parse(container.image.as_deref().unwrap_or_default()).version(version_label(daemon_set))
}

fn template(daemon_set: &DaemonSet) -> Option<&PodTemplateSpec> {
    daemon_set.spec.as_ref().map(|spec| &spec.template)
}

/// What the chart says its version is, in the pod template or, where its labels are overridden, in the DaemonSet.
#[must_use]
pub fn version_label(daemon_set: &DaemonSet) -> Option<&str> {
    let template = daemon_set.spec.as_ref().and_then(|spec| spec.template.metadata.as_ref());
    let label = template.and_then(|metadata| metadata.labels.as_ref()?.get(VERSION_LABEL));
    label.or_else(|| daemon_set.labels().get(VERSION_LABEL)).map(String::as_str)
}

/// The pod that the DaemonSet makes.
#[must_use]
pub fn pod(daemon_set: &DaemonSet) -> Option<&PodSpec> {
    daemon_set.spec.as_ref()?.template.spec.as_ref()
}

/// Whether the DaemonSet's label says that the mount in it is ours: by it we find what is ours, also after a restart.
#[must_use]
pub fn owned(daemon_set: &DaemonSet) -> bool {
    labelled(daemon_set) && !taken_back::is_marked(daemon_set)
}

/// Whether the DaemonSet carries our label, whatever it says.
#[must_use]
pub fn labelled(daemon_set: &DaemonSet) -> bool {
    daemon_set.labels().contains_key(DAEMON_SET_LABEL)
}

impl Need {
    /// A code for programs.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Always => "Always",
            Self::Release(_) => "Release",
            Self::Unprivileged(..) => "Unprivileged",
            Self::UnknownRelease(_) => "UnknownRelease",
        }
    }
}

impl fmt::Display for Need {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Always => write!(f, "it is wished in any case (mount: Always)"),
            Self::Release(version) => {
                write!(
                    f,
                    "Tetragon {version} does not mount securityfs itself ({MOUNTS_ITSELF_SINCE} and later do)"
                )
            }
            Self::Unprivileged(version, obstacle) => {
                write!(
                    f,
                    "Tetragon {version} mounts securityfs itself where its container may, and {obstacle}"
                )
            }
            Self::UnknownRelease(image) => {
                write!(f, "image {image:?} does not tell which release of Tetragon it is")
            }
        }
    }
}

impl NoNeed {
    /// The condition's reason.
    #[must_use]
    pub const fn reason(&self) -> ConditionReason {
        match self {
            Self::AlreadyMounted(_) => ConditionReason::AlreadyMounted,
            Self::MountsItself(_) => ConditionReason::MountsItself,
            Self::NoLsmHooks(_) => ConditionReason::NoLsmHooks,
        }
    }
}

impl fmt::Display for NoNeed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AlreadyMounted(mounted) => {
                write!(f, "volume {} shows it to the agent: {mounted}", mounted.volume)
            }
            Self::MountsItself(version) => {
                write!(f, "Tetragon {version} mounts securityfs itself, and its container may")
            }
            Self::NoLsmHooks(version) => write!(
                f,
                "Tetragon {version} knows no lsmhooks (v1.2.0 and later do), so it needs no mount and cannot \
                 enforce LSM policies; to enforce them, upgrade Tetragon"
            ),
        }
    }
}

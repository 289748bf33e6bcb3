//! Whether an agent needs a mount of securityfs, by its release and by what its container may do.

use std::fmt;

use k8s_openapi::api::core::v1::{Container, PodSpec, PodTemplateSpec};
use lsm_ready_crds::ConditionReason;
use lsm_ready_crds::policy::Mount;

use crate::image::{LSM_HOOKS_SINCE, MOUNTS_ITSELF_SINCE, Version};
use crate::privilege::{Obstacle, may_mount};
use crate::view::Mounted;

/// Why an agent needs no mount of ours.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum NoNeed {
    /// Another mount shows it securityfs.
    AlreadyMounted(Mounted),
    /// This release mounts securityfs itself, and its container may.
    MountsItself(Version),
    /// This release does not support `lsmhooks`, so it never reads securityfs.
    NoLsmHooks(Version),
}

/// Why an agent needs a mount.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Need {
    /// The policy says `mount: Always`.
    Always,
    /// This release does not mount securityfs itself.
    Release(Version),
    /// This release mounts securityfs itself, but its container may not.
    Unprivileged(Version, Obstacle),
    /// The image names no release.
    UnknownRelease(String),
}

/// Whether an agent needs a mount, for `mount: Auto`.
pub(crate) struct AgentNeed(Result<NoNeed, Need>);

/// Whether the agent of that release in that container needs a mount. An unknown release needs one:
/// a superfluous mount costs a restart, but without a required mount the agent cannot enforce.
pub(crate) fn need(
    release: Option<Version>,
    template: &PodTemplateSpec,
    pod: &PodSpec,
    container: &Container,
) -> AgentNeed {
    let Some(version) = release else {
        let image = container.image.clone().unwrap_or_default();
        return AgentNeed(Err(Need::UnknownRelease(image)));
    };
    AgentNeed(if version < LSM_HOOKS_SINCE {
        Ok(NoNeed::NoLsmHooks(version))
    } else if version < MOUNTS_ITSELF_SINCE {
        Err(Need::Release(version))
    } else {
        match may_mount(template, pod, container) {
            Ok(()) => Ok(NoNeed::MountsItself(version)),
            Err(obstacle) => Err(Need::Unprivileged(version, obstacle)),
        }
    })
}

impl AgentNeed {
    /// The need of a policy with that `mount`, if it has one.
    pub fn for_mount(&self, mount: Mount) -> Option<Need> {
        match mount {
            Mount::Never => None,
            Mount::Auto => self.0.clone().err(),
            Mount::Always => Some(Need::Always),
        }
    }

    pub fn into_result(self) -> Result<NoNeed, Need> {
        self.0
    }
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

impl fmt::Display for Need {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Always => write!(f, "the policy says mount: Always"),
            Self::Release(version) => write!(
                f,
                "Tetragon {version} does not mount securityfs itself ({MOUNTS_ITSELF_SINCE} and \
                 later do)"
            ),
            Self::Unprivileged(version, obstacle) => write!(
                f,
                "Tetragon {version} mounts securityfs itself if its container may, but {obstacle}"
            ),
            Self::UnknownRelease(image) => {
                write!(f, "image {image:?} does not name a release of Tetragon")
            }
        }
    }
}

impl fmt::Display for NoNeed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AlreadyMounted(mounted) => {
                write!(f, "volume {} shows securityfs to the agent: {mounted}", mounted.volume)
            }
            Self::MountsItself(version) => {
                write!(f, "Tetragon {version} mounts securityfs itself, and its container may")
            }
            Self::NoLsmHooks(version) => write!(
                f,
                "Tetragon {version} does not support lsmhooks (v1.2.0 and later do), so it needs \
                 no mount and cannot enforce LSM policies: upgrade Tetragon to enforce them"
            ),
        }
    }
}

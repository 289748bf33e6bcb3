//! Which release of Tetragon an image reference names.
//!
//! In: the container's image, and the labels of the chart. Out: a version, if they name one. No
//! registry is asked.

use std::fmt;

/// The chart puts its appVersion here (<https://helm.sh/docs/chart_best_practices/labels/>).
pub const VERSION_LABEL: &str = "app.kubernetes.io/version";

/// First release that mounts securityfs itself (cilium/tetragon#3512).
pub const MOUNTS_ITSELF_SINCE: Version = Version::release(1, 4, 0);

/// First release that supports `lsmhooks`. Its pre-releases may support them too.
pub const LSM_HOOKS_SINCE: Version = Version { major: 1, minor: 2, patch: 0, final_: false };

/// First release whose policies have a mode, which the agents report (`TracingPolicyMode` of
/// sensors.proto). Its pre-releases may have it too.
pub const MODES_SINCE: Version = Version { major: 1, minor: 4, patch: 0, final_: false };

/// Suffixes of `tetragon-` in names of the agent's images: other builds of the agent. The images
/// `tetragon-operator` and `tetragon-rthooks` are not the agent's.
const BUILDS: [&str; 6] = ["ci", "dev", "debug", "enterprise", "fips", "race"];

/// Maximum major version, so that a date such as `2026.11.24` is not taken for a version.
const HIGHEST_MAJOR: u32 = 99;

/// A version of Tetragon. A pre-release (1.4.0-rc.1) is less than its final release.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Version {
    major: u32,
    minor: u32,
    patch: u32,
    final_: bool,
}

impl Version {
    /// The final release with that version.
    #[must_use]
    pub const fn release(major: u32, minor: u32, patch: u32) -> Self {
        Self { major, minor, patch, final_: true }
    }

    /// The version in a tag: `v1.3.0`, `1.4.0-rc.1`, `v1.7`. `None` for anything else (`latest`, a
    /// commit, a date).
    #[must_use]
    pub fn parse(tag: &str) -> Option<Self> {
        let bare = tag.strip_prefix('v').unwrap_or(tag);
        let (numbers, suffix) = bare
            .split_once(['-', '+'])
            .map_or((bare, None), |(numbers, rest)| (numbers, Some(rest)));
        let numbers: Vec<u32> = numbers.split('.').map(number).collect::<Option<_>>()?;
        let (major, minor, patch) = match numbers[..] {
            [major, minor] => (major, minor, 0),
            [major, minor, patch] => (major, minor, patch),
            _ => return None,
        };
        (major <= HIGHEST_MAJOR).then_some(Self { major, minor, patch, final_: suffix.is_none() })
    }

    /// The major version: 1 for v1.4.0.
    #[must_use]
    pub const fn major(self) -> u32 {
        self.major
    }

    /// The minor version: 4 for v1.4.0.
    #[must_use]
    pub const fn minor(self) -> u32 {
        self.minor
    }
}

fn number(digits: &str) -> Option<u32> {
    // `parse` alone also accepts "+1".
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())?
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let suffix = if self.final_ { "" } else { "-pre" };
        write!(f, "v{}.{}.{}{suffix}", self.major, self.minor, self.patch)
    }
}

/// The parts of `registry:5000/path/name:tag@sha256:…`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Image<'a> {
    /// The registry, the path and the name.
    pub repository: &'a str,
    /// The text after the last colon of the name.
    pub tag: Option<&'a str>,
    /// The text after the `@`.
    pub digest: Option<&'a str>,
}

impl<'a> Image<'a> {
    /// Splits a reference into its parts. Each text gives an image, whether it can be pulled or
    /// not.
    #[must_use]
    pub fn parse(reference: &'a str) -> Self {
        let (named, digest) = match reference.split_once('@') {
            Some((named, digest)) => (named, Some(digest)),
            None => (reference, None),
        };
        // A colon before the last slash is before the registry's port.
        let name = named.rfind('/').map_or(0, |slash| slash + 1);
        match named[name..].split_once(':') {
            Some((before, tag)) => {
                Self { repository: &named[..name + before.len()], tag: Some(tag), digest }
            }
            None => Self { repository: named, tag: None, digest },
        }
    }

    /// Whether it is an image of Tetragon's agent, from any registry, by the last part of the
    /// repository (`quay.io/cilium/tetragon`, `registry:5000/mirror/tetragon-ci`).
    #[must_use]
    pub fn is_agent(&self) -> bool {
        self.is_build_of("tetragon")
    }

    /// Whether the last part of the repository is that name, or another build of the same
    /// program: `NAME-ci`.
    #[must_use]
    pub fn is_build_of(&self, program: &str) -> bool {
        let name = self.repository.rsplit('/').next().unwrap_or_default();
        match name.strip_prefix(program) {
            Some("") => true,
            Some(rest) => rest.strip_prefix('-').is_some_and(|build| BUILDS.contains(&build)),
            None => false,
        }
    }

    /// Whether the reference always means the same image: it has a digest, or the tag of a full
    /// release (`v1.7.0`). Tetragon does not move the tags of its releases. `latest`, `v1.7`, a
    /// branch and a missing tag are meant to move.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        let full = |tag: &str| {
            Version::parse(tag).is_some()
                && tag.split(['-', '+']).next().unwrap_or(tag).matches('.').count() == 2
        };
        self.digest.is_some() || self.tag.is_some_and(full)
    }

    /// The release of the image. The tag decides. The chart's label counts only for an image with a
    /// digest and no tag. Beside a tag that names no release (`latest`, or a custom build) the
    /// label still has the chart's version, which says nothing about that image.
    #[must_use]
    pub fn version(&self, label: Option<&str>) -> Option<Version> {
        match (self.tag, self.digest) {
            (Some(tag), _) => Version::parse(tag),
            (None, Some(_)) => label.and_then(Version::parse),
            (None, None) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_split_into_their_parts() {
        let cases = [
            ("tetragon", ("tetragon", None, None)),
            ("quay.io/cilium/tetragon:v1.3.0", ("quay.io/cilium/tetragon", Some("v1.3.0"), None)),
            ("registry:5000/cilium/tetragon", ("registry:5000/cilium/tetragon", None, None)),
            (
                "registry:5000/tetragon:v1.4.0@sha256:aa",
                ("registry:5000/tetragon", Some("v1.4.0"), Some("sha256:aa")),
            ),
            (
                "quay.io/cilium/tetragon@sha256:bb",
                ("quay.io/cilium/tetragon", None, Some("sha256:bb")),
            ),
            ("", ("", None, None)),
        ];
        for (reference, (repository, tag, digest)) in cases {
            assert_eq!(Image::parse(reference), Image { repository, tag, digest }, "{reference}");
        }
    }

    #[test]
    fn the_agents_image_goes_by_the_repositorys_last_part() {
        for agent in [
            "tetragon",
            "quay.io/cilium/tetragon:v1.3.0",
            "registry:5000/mirror/quay.io/cilium/tetragon@sha256:aa",
            "quay.io/cilium/tetragon-ci:8f3ac1e",
            "quay.io/isovalent/tetragon-enterprise:v1.16.0",
        ] {
            assert!(Image::parse(agent).is_agent(), "{agent}");
        }
        for other in [
            "quay.io/cilium/tetragon-operator:v1.3.0",
            "quay.io/cilium/tetragon-operator-ci:8f3ac1e",
            "quay.io/cilium/tetragon-rthooks:v0.5",
            "quay.io/cilium/hubble-export-stdout:v1.0.4",
            "tetragon/busybox",
            "registry/mytetragon:v1.3.0",
            "",
        ] {
            assert!(!Image::parse(other).is_agent(), "{other}");
        }
    }

    #[test]
    fn versions_are_ordered_and_other_tags_are_not_versions() {
        let itself = |tag: &str| Version::parse(tag).map(|version| version >= MOUNTS_ITSELF_SINCE);
        for old in [
            "v1.0.0",
            "1.3.0",
            "v1.3.1",
            "1.3.0-rc.1",
            "v1.4.0-rc.1",
            "v1.4.0-pre.0",
            "v0.11.0",
            "1.3",
        ] {
            assert_eq!(itself(old), Some(false), "{old}");
        }
        for new in [
            "v1.4.0",
            "1.4",
            "v1.4.1-rc.1",
            "v1.7.0",
            "1.10.0",
            "v1.8.0-pre.0",
            "v1.7.0-ubi9",
            "2.0.0",
        ] {
            assert_eq!(itself(new), Some(true), "{new}");
        }
        for other in [
            "latest",
            "main",
            "v1",
            "1",
            "2026.11.24",
            "1.x",
            "v",
            "",
            "1..0",
            "+1.7.0",
            "1.7.0.1",
            "8f3ac1e",
        ] {
            assert_eq!(itself(other), None, "{other}");
        }
    }

    #[test]
    fn lsm_hooks_are_supported_from_1_2_on() {
        let knows = |tag: &str| Version::parse(tag).unwrap() >= LSM_HOOKS_SINCE;
        for old in ["v0.8.0", "v1.0.0", "1.1.2", "v1.1.3-rc.1"] {
            assert!(!knows(old), "{old}");
        }
        for new in ["v1.2.0-pre.0", "v1.2.0", "1.2", "v1.3.0"] {
            assert!(knows(new), "{new}");
        }
    }

    #[test]
    fn the_label_counts_only_for_an_image_with_a_digest_alone() {
        let version = |image: &str| {
            Image::parse(image).version(Some("1.7.0")).map(|version| version.to_string())
        };
        assert_eq!(version("tetragon@sha256:aa").as_deref(), Some("v1.7.0"));
        assert_eq!(version("tetragon:v1.3.0@sha256:aa").as_deref(), Some("v1.3.0"));
        assert_eq!(version("tetragon:latest"), None);
        assert_eq!(version("tetragon"), None);
        assert_eq!(Image::parse("tetragon@sha256:aa").version(None), None);
    }
}

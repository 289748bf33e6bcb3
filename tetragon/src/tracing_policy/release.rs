//! The releases of Tetragon whose rules are known, and sets of them.

use std::fmt;

use crate::image::Version;

/// A release, with all its patch releases.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Release {
    /// v1.3, the oldest release whose rules are known. v1.2.0 is the first with the field
    /// `lsmhooks`.
    V1_3,
    /// v1.4
    V1_4,
    /// v1.5
    V1_5,
    /// v1.6
    V1_6,
    /// v1.7
    V1_7,
    /// The development branch of August 2026 (commit 4fbfe2d), which becomes v1.8.
    Main,
}

use Release::{Main, V1_3, V1_4, V1_5, V1_6, V1_7};

impl Release {
    /// All releases, the oldest first.
    pub const ALL: [Self; 6] = [V1_3, V1_4, V1_5, V1_6, V1_7, Main];

    /// The name of the release: `v1.4`, or `main`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            V1_3 => "v1.3",
            V1_4 => "v1.4",
            V1_5 => "v1.5",
            V1_6 => "v1.6",
            V1_7 => "v1.7",
            Main => "main",
        }
    }
}

/// Which release's rules apply to a version.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ReleaseMatch {
    /// The rules of the version's own release are known.
    Exactly(Release),
    /// The version has `lsmhooks` and is older than each known release. The oldest known rules
    /// apply.
    Before(Release),
    /// The version is newer than each known release. The rules of the development branch apply.
    After(Release),
    /// The version is older than v1.2.0, so it has no `lsmhooks`.
    WithoutLsmHooks,
}

impl ReleaseMatch {
    /// The match for that version.
    #[must_use]
    pub fn of(version: Version) -> Self {
        match (version.major(), version.minor()) {
            (0, _) | (1, 0 | 1) => Self::WithoutLsmHooks,
            (1, 2) => Self::Before(V1_3),
            (1, 3) => Self::Exactly(V1_3),
            (1, 4) => Self::Exactly(V1_4),
            (1, 5) => Self::Exactly(V1_5),
            (1, 6) => Self::Exactly(V1_6),
            (1, 7) => Self::Exactly(V1_7),
            (1, 8) => Self::Exactly(Main),
            _ => Self::After(Main),
        }
    }

    /// The release whose rules apply. `None` if the version has no `lsmhooks`.
    #[must_use]
    pub const fn rules(self) -> Option<Release> {
        match self {
            Self::Exactly(release) | Self::Before(release) | Self::After(release) => Some(release),
            Self::WithoutLsmHooks => None,
        }
    }
}

/// A set of releases.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Releases(u8);

impl Releases {
    /// All known releases.
    pub const ALL: Self = Self((1 << Release::ALL.len()) - 1);

    /// Only that release.
    #[must_use]
    pub const fn only(release: Release) -> Self {
        Self(1 << release as u8)
    }

    /// That release and later ones.
    #[must_use]
    pub const fn since(release: Release) -> Self {
        Self(Self::ALL.0 & !((1 << release as u8) - 1))
    }

    /// That release and earlier ones.
    #[must_use]
    pub const fn until(release: Release) -> Self {
        Self(Self::ALL.0 & ((2 << release as u8) - 1))
    }

    /// The releases that are in both sets.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// The releases that are in at least one of the sets.
    #[must_use]
    pub const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// The releases of this set that are not in the other.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Whether the set contains that release.
    #[must_use]
    pub const fn contains(self, release: Release) -> bool {
        self.0 & (1 << release as u8) != 0
    }

    /// Whether the set contains no release.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The releases of the set, the oldest first.
    pub fn iter(self) -> impl Iterator<Item = Release> {
        Release::ALL.into_iter().filter(move |release| self.contains(*release))
    }

    /// The first and the last release of each run without a gap.
    fn runs(self) -> Vec<(Release, Release)> {
        let mut runs: Vec<(Release, Release)> = Vec::new();
        for release in self.iter() {
            match runs.last_mut() {
                Some((_, last)) if *last as u8 + 1 == release as u8 => *last = release,
                _ => runs.push((release, release)),
            }
        }
        runs
    }
}

impl fmt::Display for Releases {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Self::ALL {
            return f.write_str("every release from v1.3 to main");
        }
        let runs = self.runs().into_iter().map(|run| match run {
            (V1_3, V1_3) => "v1.3".to_owned(),
            (V1_3, last) => format!("v1.3 to {}", last.name()),
            (first, last) if first == last => first.name().to_owned(),
            (first, Main) => format!("{} and later", first.name()),
            (first, last) => format!("{} to {}", first.name(), last.name()),
        });
        let runs: Vec<String> = runs.collect();
        if runs.is_empty() { f.write_str("no release") } else { f.write_str(&runs.join(", ")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_are_shown_as_ranges() {
        let cases = [
            (Releases::ALL, "every release from v1.3 to main"),
            (Releases::only(V1_3), "v1.3"),
            (Releases::only(Main), "main"),
            (Releases::since(V1_4), "v1.4 and later"),
            (Releases::until(V1_6), "v1.3 to v1.6"),
            (Releases::since(V1_5).and(Releases::until(V1_6)), "v1.5 to v1.6"),
            (Releases::only(V1_3).or(Releases::since(V1_7)), "v1.3, v1.7 and later"),
            (Releases::default(), "no release"),
        ];
        for (set, shown) in cases {
            assert_eq!(set.to_string(), shown);
        }
    }

    #[test]
    fn a_version_names_its_release() {
        let known = |tag| ReleaseMatch::of(Version::parse(tag).unwrap());
        assert_eq!(known("v1.1.2"), ReleaseMatch::WithoutLsmHooks);
        assert_eq!(known("v1.2.0"), ReleaseMatch::Before(V1_3));
        assert_eq!(known("1.4.1"), ReleaseMatch::Exactly(V1_4));
        assert_eq!(known("v1.8.0-pre.0"), ReleaseMatch::Exactly(Main));
        assert_eq!(known("v1.9.0"), ReleaseMatch::After(Main));
        assert_eq!(known("v2.0.0"), ReleaseMatch::After(Main));
    }
}

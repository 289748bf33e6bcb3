//! Which versions of the probe this version understands.
//!
//! In: the `probeVersion` of a report. Out: nothing where the version is known, otherwise why not.
//!
//! A version is known if it is a semantic version with our major version and a minor version that
//! differs from ours by at most one. So operator and probe may be upgraded or downgraded by one
//! minor version in either order. A patch version, a pre-release (`0.2.0-rc.1`) and build metadata
//! (`0.2.0+abc`) make no difference: reports change their meaning with minor versions only.

use semver::Version;

/// The version of this crate, which is the version of operator, probe and plugin.
const OURS: &str = env!("CARGO_PKG_VERSION");

/// Why reports of that version of the probe are not understood, in our own words. `None` where they
/// are.
#[must_use]
pub fn unknown_version(probe: &str) -> Option<String> {
    unknown_to(OURS, probe)
}

fn unknown_to(ours: &str, probe: &str) -> Option<String> {
    let Ok(known) = Version::parse(ours) else {
        return Some(format!("the version {ours} of lsm-ready is not a semantic version"));
    };
    let Ok(probe) = Version::parse(probe) else {
        return Some(
            "the report's probeVersion is not a semantic version, such as 0.1.0".to_owned(),
        );
    };
    let is_known = probe.major == known.major && probe.minor.abs_diff(known.minor) <= 1;
    (!is_known).then(|| {
        format!(
            "the report is of probe version {}.{}, and lsm-ready {ours} understands versions {}",
            probe.major,
            probe.minor,
            understood(&known)
        )
    })
}

/// The known minor versions in words, for example `0.1 to 0.3`.
fn understood(known: &Version) -> String {
    let (major, minor) = (known.major, known.minor);
    format!("{major}.{} to {major}.{}", minor.saturating_sub(1), minor.saturating_add(1))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn one_minor_version_of_difference_is_understood() {
        for (ours, probe, known) in [
            ("0.1.0", "0.1.0", true),
            ("0.1.0", "0.1.99", true),
            ("0.1.0", "0.0.9", true),
            ("0.1.0", "0.2.0", true),
            ("0.1.0", "0.2.0-rc.1", true),
            ("0.1.0", "0.1.0+g1234", true),
            ("0.2.0-rc.1", "0.1.0", true),
            ("0.2.0-rc.1", "0.3.7-alpha+x", true),
            ("0.1.0", "0.3.0", false),
            ("0.3.0", "0.1.9", false),
            ("0.1.0", "1.1.0", false),
            ("1.0.0", "0.1.0", false),
            ("0.1.0", "", false),
            ("0.1.0", "0.1", false),
            ("0.1.0", "v0.1.0", false),
            ("0.1.0", "0.1.0 ", false),
            ("0.1.0", "00.1.0", false),
            ("0.1.0", "0.1.0-", false),
            ("0.1.0", "0.99999999999999999999.0", false),
            ("0.1.0", "0.18446744073709551615.0", false),
            ("0.18446744073709551615.0", "0.18446744073709551615.0", true),
        ] {
            assert_eq!(unknown_to(ours, probe).is_none(), known, "{ours} {probe}");
        }
        assert_eq!(unknown_version(OURS), None);
    }

    #[test]
    fn the_message_has_both_versions_and_no_text_of_the_node() {
        assert_eq!(
            unknown_to("0.1.0", "7.3.1-evil+text").unwrap(),
            "the report is of probe version 7.3, and lsm-ready 0.1.0 understands versions 0.0 to \
             0.2"
        );
    }

    proptest! {
        #[test]
        fn no_text_of_a_node_is_repeated(text in "\\PC{0,64}") {
            if Version::parse(&text).is_err() {
                prop_assert_eq!(unknown_to("0.1.0", &text), unknown_to("0.1.0", ""));
            }
        }
    }
}

//! What a kernel lacks for LSM programs, judged by its configuration and its version.
//!
//! In: the facts. Out: everything that is missing at once, so that the next kernel that is booted
//! has all of it.

use std::fmt;

use super::Facts;

/// The options that a kernel needs to load and attach LSM programs, in the order in which the
/// canary needs them.
const NEEDED: [&str; 5] = [
    "CONFIG_BPF_SYSCALL",
    "CONFIG_BPF_JIT",
    "CONFIG_BPF_LSM",
    "CONFIG_DEBUG_INFO_BTF",
    "CONFIG_DYNAMIC_FTRACE",
];
/// The first Linux version with LSM programs.
const FIRST: (u32, u32) = (5, 7);
/// The first Linux version that attaches LSM programs on arm64.
const FIRST_ON_ARM64: (u32, u32) = (6, 4);

/// One thing that is missing.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Missing {
    /// The kernel was built without this option.
    Option(&'static str),
    /// The kernel is older than the first version that supports LSM programs on its architecture.
    Version {
        release: String,
        /// The first version that supports them.
        first: (u32, u32),
    },
}

/// What is missing, the options first.
pub fn missing(facts: &Facts) -> Vec<Missing> {
    let config = facts.kernel_config.as_ref();
    let lacks = |option: &&str| config.is_some_and(|config| config.lacks(option));
    let options = NEEDED.into_iter().filter(lacks).map(Missing::Option);
    options.chain(too_old(facts)).collect()
}

/// Whether the version shows that the kernel is too old. Oracle's UEK has a mark of Red Hat in its
/// release, but follows the upstream kernel in this.
fn too_old(facts: &Facts) -> Option<Missing> {
    let is_arm64 = facts.kernel.machine == "aarch64";
    let first = if is_arm64 { FIRST_ON_ARM64 } else { FIRST };
    let is_telling = !facts.backports() || facts.kernel.release.contains("uek");
    let is_older = facts.kernel_is_before(FIRST) == Some(true) && is_telling;
    let cannot_attach = is_arm64 && facts.has_trampolines() == Some(false);
    (is_older || cannot_attach)
        .then(|| Missing::Version { release: facts.kernel.release.clone(), first })
}

/// What is missing, in words.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Words {
    /// `built without A and B (by /proc/config.gz)`
    pub built: Option<String>,
    /// `Linux 5.4.0 is older than 5.7, the first version that has LSM programs`
    pub version: Option<String>,
}

pub fn words(facts: &Facts) -> Words {
    let (options, version): (Vec<_>, Vec<_>) =
        missing(facts).into_iter().partition(|missing| matches!(missing, Missing::Option(_)));
    let path = facts.kernel_config.as_ref().map_or("", |config| config.path.as_str());
    let built = (!options.is_empty())
        .then(|| format!("built without {} (by {path})", enumerated(&options)));
    Words { built, version: version.first().map(ToString::to_string) }
}

/// What is missing, in one sentence. Empty if nothing is known to be missing.
pub fn describe(facts: &Facts) -> String {
    let Words { built, version } = words(facts);
    let built = built.map(|built| format!("the kernel was {built}"));
    built.into_iter().chain(version).collect::<Vec<_>>().join(", and ")
}

/// The detail, followed by everything that the kernel is known to lack.
pub fn with_missing(detail: &str, facts: &Facts) -> String {
    match describe(facts) {
        missing if missing.is_empty() => detail.to_owned(),
        missing => format!("{detail}; {missing}"),
    }
}

/// `A, B and C`.
fn enumerated(all: &[Missing]) -> String {
    let names: Vec<String> = all.iter().map(ToString::to_string).collect();
    match names.as_slice() {
        [rest @ .., last] if !rest.is_empty() => format!("{} and {last}", rest.join(", ")),
        names => names.concat(),
    }
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Option(name) => f.write_str(name),
            Self::Version { release, first: first @ (major, minor) } => {
                let does = if *first == FIRST_ON_ARM64 {
                    "attaches LSM programs on arm64"
                } else {
                    "has LSM programs"
                };
                write!(
                    f,
                    "Linux {release} is older than {major}.{minor}, the first version that {does}"
                )
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use lsm_ready_crds::node::Kernel;

    use super::*;
    use crate::facts::kernel_config::tests::config;

    fn described(machine: &str, release: &str, built: &str) -> String {
        let kernel = Kernel { release: release.to_owned(), machine: machine.to_owned() };
        describe(&Facts { kernel, kernel_config: config(built), ..Facts::default() })
    }

    #[test]
    fn one_sentence_names_everything_that_is_missing() {
        let photon = "# CONFIG_BPF_LSM is not set\n# CONFIG_DEBUG_INFO_BTF is not set\n";
        let whole = "CONFIG_BPF_SYSCALL=y\nCONFIG_BPF_JIT=y\nCONFIG_DYNAMIC_FTRACE=y\n";
        let built = "the kernel was built without CONFIG_BPF_LSM and CONFIG_DEBUG_INFO_BTF \
                     (by /proc/config.gz)";
        let old =
            "Linux 5.4.0-42-generic is older than 5.7, the first version that has LSM programs";
        for (machine, release, config, expected) in [
            ("x86_64", "6.1.10-11.ph5", photon, built.to_owned()),
            ("x86_64", "6.1.10-11.ph5", whole, built.to_owned()),
            ("x86_64", "5.4.0-42-generic", "", old.to_owned()),
            ("x86_64", "5.4.0-42-generic", photon, format!("{built}, and {old}")),
            ("x86_64", "6.12.1", "CONFIG_BPF_LSM=y\n", String::new()),
            ("x86_64", "4.18.0-553.el8_10.x86_64", "", String::new()),
        ] {
            assert_eq!(described(machine, release, config), expected, "{release} {config}");
        }
    }

    #[test]
    fn the_first_version_named_is_the_one_of_the_architecture() {
        for (machine, release, word) in [
            (
                "aarch64",
                "5.10.0-28-arm64",
                "older than 6.4, the first version that attaches LSM programs on arm64",
            ),
            ("aarch64", "5.4.0-1-arm64", "older than 6.4,"),
            ("x86_64", "5.4.17-2136.330.7.el8uek.x86_64", "older than 5.7,"),
        ] {
            assert!(described(machine, release, "").contains(word), "{release}");
        }
        assert_eq!(described("aarch64", "5.10.0-216.oe2203sp4.aarch64", ""), "");
    }
}

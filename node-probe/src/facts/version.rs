//! What follows from the kernel's version. In: the release, the machine and the system. Out:
//! whether the kernel is older than a version and has BPF trampolines; unknown for vendors that
//! backport much from newer kernels.

use super::Facts;

/// Marks of RPM releases (`.fc41`) whose kernels follow upstream, and of Debian's backports
/// (`.deb11`).
const FOLLOW_UPSTREAM: [&str; 5] = ["fc", "ph", "cm", "azl", "deb"];
/// Flavours of SUSE's kernels.
const SUSE: [&str; 5] = ["default", "preempt", "azure", "64kb", "rt"];
/// Architectures at the end of an RPM's release.
const ARCHITECTURES: [&str; 6] = ["aarch64", "x86_64", "i686", "riscv64", "s390x", "ppc64le"];
/// Systems that backport, and whose kernels have no mark.
const SYSTEMS: [&str; 9] = [
    "amzn",
    "anolis",
    "alinux",
    "bottlerocket",
    "cos",
    "openeuler",
    "opencloudos",
    "rhel",
    "tencentos",
];

impl Facts {
    /// Whether the kernel is older than that version. `None` if its release does not begin with
    /// numbers.
    pub fn kernel_is_before(&self, version: (u32, u32)) -> Option<bool> {
        let mut numbers = self.kernel.release.split(|letter: char| !letter.is_ascii_digit());
        let mut number = || numbers.next()?.parse().ok();
        Some((number()?, number()?) < version)
    }

    /// Whether LSM programs can be attached, which needs BPF trampolines. x86_64 has them in every
    /// version with LSM programs. arm64 got trampolines in Linux 6.0, and in 6.4 the direct calls
    /// that a kernel with ftrace needs to attach anything (HAVE_DYNAMIC_FTRACE_WITH_DIRECT_CALLS).
    /// So arm64 is `None` in between, and on older kernels of vendors that backport. Other
    /// architectures are `None` too.
    pub fn has_trampolines(&self) -> Option<bool> {
        match self.kernel.machine.as_str() {
            "x86_64" => Some(true),
            "aarch64" if !self.kernel_is_before((6, 4))? => Some(true),
            "aarch64" if self.backports() => None,
            "aarch64" => self.kernel_is_before((6, 0))?.then_some(false),
            _ => None,
        }
    }

    /// Whether the vendor backports much from newer kernels, so that an old version does not mean
    /// that something is missing. Every RPM vendor counts that is not known to follow upstream.
    pub fn backports(&self) -> bool {
        let release = self.kernel.release.as_str();
        let has_mark = release.split('.').any(is_vendors_mark);
        let is_google =
            || release.strip_suffix('+').is_some_and(|version| version.split('.').all(is_number));
        has_mark
            || is_suse(release)
            || ["-android", "tlinux"].iter().any(|mark| release.contains(mark))
            || is_google()
            || SYSTEMS.iter().any(|id| self.os.is(id))
    }
}

/// Whether it is letters with a digit behind them: `el9_5`, `oe2203sp4`, `amzn2023`.
fn is_vendors_mark(part: &str) -> bool {
    let rest = part.trim_start_matches(|letter: char| letter.is_ascii_lowercase());
    let name = &part[..part.len() - rest.len()];
    let is_architecture = ARCHITECTURES.iter().any(|architecture| part.starts_with(architecture));
    let has_digit = part.contains(|letter: char| letter.is_ascii_digit());
    !name.is_empty() && has_digit && !is_architecture && !FOLLOW_UPSTREAM.contains(&name)
}

/// Whether it is one of SUSE's enterprise kernels: they have a point in the middle
/// (`5.14.21-150500.55.7-default`). Tumbleweed's have none (`6.3.9-1-default`) and follow upstream.
fn is_suse(release: &str) -> bool {
    let Some((_, rest)) = release.split_once('-') else {
        return false;
    };
    rest.rsplit_once('-')
        .is_some_and(|(middle, flavour)| SUSE.contains(&flavour) && middle.contains('.'))
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use lsm_ready_crds::node::Kernel;
    use proptest::prelude::*;

    use super::*;
    use crate::facts::OsRelease;

    fn facts(machine: &str, release: &str, os: &str) -> Facts {
        let kernel = Kernel { release: release.to_owned(), machine: machine.to_owned() };
        Facts { kernel, os: OsRelease::parse(os), ..Facts::default() }
    }

    #[test]
    fn versions_are_compared_by_number() {
        for (release, before) in [
            ("5.10.0-28-amd64", Some(true)),
            ("5.11.0", Some(false)),
            ("5.9", Some(true)),
            ("6.1.0-9-arm64", Some(false)),
            ("4.18.0-553.el8", Some(true)),
            ("next-2026", None),
            ("99999999999.1", None),
            ("6", None),
            ("", None),
        ] {
            assert_eq!(facts("", release, "").kernel_is_before((5, 11)), before, "{release}");
        }
    }

    #[test]
    fn old_arm64_kernels_that_follow_upstream_have_no_trampolines() {
        for release in [
            "5.10.0-28-arm64",
            "5.10.0-0.deb10.16-arm64",
            "5.4.0-0.bpo.4-arm64",
            "5.15.0",
            "5.15.0-1051-aws",
            "5.15.0-1053-azure",
            "5.15.148-tegra",
            "5.15.84-v8+",
            "5.15.167.4-microsoft-standard-WSL2",
            "5.19.2-1-default",
            "5.18.19-200.fc36.aarch64",
            "5.15.138.1-4.cm2",
            "5.10.152-3.ph4-esx",
        ] {
            assert_eq!(facts("aarch64", release, "").has_trampolines(), Some(false), "{release}");
        }
    }

    #[test]
    fn old_arm64_kernels_of_vendors_that_backport_are_unknown() {
        for release in [
            "5.14.0-503.11.1.el9_5.aarch64",
            "5.14.0-503.11.1.el9_5.aarch64+64k",
            "5.15.0-207.156.6.el9uek.aarch64",
            "5.10.0-216.0.0.115.oe2203sp4.aarch64",
            "5.10.0-216.oe2203sp4.aarch64",
            "5.10.134-16.3.al8.aarch64",
            "5.10.134-16.2.an8.aarch64",
            "5.10.0-60.18.0.50.r865_35.hce2.aarch64",
            "5.10.205-195.807.amzn2.aarch64",
            "4.19.90-52.22.v2207.ky10.aarch64",
            "4.19.90-2403.3.0.0270.84.uel20.aarch64",
            "5.10.0-136.12.0.86.h1799.eulerosv2r12.aarch64",
            "5.10.0-136.12.0.86.ctl3.aarch64",
            "5.4.119-19.0009.44.tl3",
            "5.4.119-1-tlinux4-0010.3",
            "5.14.21-150500.55.7-default",
            "5.3.18-59.5-default",
            "5.14.21-150500.33.3-azure",
            "5.10.66-android12-9-00001-gabcdef",
            "5.15.154+",
        ] {
            assert_eq!(facts("aarch64", release, "").has_trampolines(), None, "{release}");
        }
        for os in ["ID=bottlerocket", "ID=cos", "ID=tencentos", "ID=x\nID_LIKE=\"rhel fedora\""] {
            assert_eq!(facts("aarch64", "5.15.180", os).has_trampolines(), None, "{os}");
        }
    }

    #[test]
    fn trampolines_depend_on_architecture_and_version() {
        for (machine, release, expected) in [
            ("x86_64", "5.7.0", Some(true)),
            ("aarch64", "6.1.0-28-arm64", None),
            ("aarch64", "6.3.9-1-default", None),
            ("aarch64", "6.4.0", Some(true)),
            ("aarch64", "6.12.0-55.el10.aarch64", Some(true)),
            ("aarch64", "next", None),
            ("s390x", "6.12.0", None),
        ] {
            assert_eq!(
                facts(machine, release, "").has_trampolines(),
                expected,
                "{machine} {release}"
            );
        }
    }

    proptest! {
        #[test]
        fn any_vendors_mark_makes_an_old_kernel_unknown(
            minor in 0..20u32, build in 0..999u32, vendor in "[a-z]{2,9}", number in 0..99u32,
        ) {
            prop_assume!(!FOLLOW_UPSTREAM.contains(&vendor.as_str()));
            let release = format!("5.{minor}.0-{build}.{vendor}{number}.aarch64");
            prop_assert_eq!(facts("aarch64", &release, "").has_trampolines(), None, "{}", release);
        }

        #[test]
        fn no_text_makes_it_panic(release in "\\PC{0,30}|[0-9.+a-z_-]{0,30}") {
            let facts = facts("aarch64", &release, "");
            let has_version = facts.kernel_is_before((6, 0)).is_some();
            prop_assert!(has_version || facts.has_trampolines().is_none());
        }
    }
}

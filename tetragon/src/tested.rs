//! What real agents were seen to run and deny with. All advice about the agent's container comes from here.
//!
//! What was not seen with a release is not advised for it.

use crate::image::Version;

/// A security context with which an agent was seen to load an LSM policy and to deny.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct TestedAgent {
    /// The release.
    pub release: Version,
    /// The kernel of the node.
    pub kernel: &'static str,
    /// The capabilities that were added, with `drop: [ALL]`, seccomp's RuntimeDefault, and HostToContainer at /sys/fs/bpf.
    pub capabilities: &'static [&'static str],
    /// Those of them without which it was seen not to start.
    pub vital: &'static [&'static str],
    /// It needed a mount of the host's securityfs for it.
    pub with_mount: bool,
}

/// SYS_RESOURCE is for the memory lock of kernels before 5.11, SYSLOG for the kernel's symbols. On 6.12 both releases also denied
/// without these two and without DAC_READ_SEARCH, which DAC_OVERRIDE covers.
const CAPABILITIES: [&str; 8] = [
    "BPF",
    "PERFMON",
    "SYS_ADMIN",
    "SYS_RESOURCE",
    "SYSLOG",
    "SYS_PTRACE",
    "DAC_READ_SEARCH",
    "DAC_OVERRIDE",
];
const KERNEL: &str = "Debian's 6.12";

/// All that were seen, the newest last.
pub const ALL: [TestedAgent; 2] = [
    TestedAgent {
        release: Version::release(1, 3, 0),
        kernel: KERNEL,
        capabilities: &CAPABILITIES,
        vital: &[],
        with_mount: true,
    },
    TestedAgent {
        release: Version::release(1, 7, 0),
        kernel: KERNEL,
        capabilities: &CAPABILITIES,
        vital: &["SYS_ADMIN", "DAC_OVERRIDE"],
        with_mount: false,
    },
];

/// Releases that were seen not to start under containerd's default AppArmor profile, and to deny with Unconfined.
pub const UNCONFINED: [Version; 2] = [Version::release(1, 3, 0), Version::release(1, 7, 0)];

/// Releases that were seen to work in a pod without `hostPID`, as their charts make it.
pub const WITHOUT_HOST_PID: [Version; 2] = [Version::release(1, 3, 0), Version::release(1, 7, 0)];

/// Releases that were seen to read the list of LSMs through a read-only mount of the host's securityfs, not propagated.
pub const READ_ONLY_SECURITYFS: [Version; 1] = [Version::release(1, 3, 0)];

/// What was seen with exactly that release.
#[must_use]
pub fn with(release: Option<Version>) -> Option<&'static TestedAgent> {
    ALL.iter().find(|seen| Some(seen.release) == release)
}

/// That advice where the release is one of those it was seen with, and otherwise that nothing is advised.
#[must_use]
pub fn advice(release: Option<Version>, seen_with: &[Version], advice: &str) -> String {
    let releases = seen_with.iter().map(Version::to_string).collect::<Vec<_>>().join(", ");
    if release.is_some_and(|release| seen_with.contains(&release)) {
        return format!("{advice} (seen to work with {releases})");
    }
    let this =
        release.map_or_else(|| "this unknown release".to_owned(), |release| release.to_string());
    format!("nothing is advised, as less was tried with {releases} only and not with {this}")
}

/// The newest release that was tried, for what is said of releases that were not.
#[must_use]
pub const fn newest() -> &'static TestedAgent {
    &ALL[ALL.len() - 1]
}

/// The releases of [`ALL`].
#[must_use]
pub fn releases() -> Vec<Version> {
    ALL.iter().map(|seen| seen.release).collect()
}

//! What real agents of Tetragon were tested with. All advice about the agent's container comes from
//! here.
//!
//! Nothing is advised for a release that was not tested.

use crate::image::Version;

/// A security context with which an agent was seen to load an LSM policy and to deny.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct TestedAgent {
    /// The release.
    pub release: Version,
    /// The kernel of the node.
    pub kernel: &'static str,
    /// The added capabilities. With them were `drop: [ALL]`, seccomp's RuntimeDefault, and
    /// HostToContainer at /sys/fs/bpf.
    pub capabilities: &'static [&'static str],
    /// The capabilities without which it did not start.
    pub vital: &'static [&'static str],
    /// It needed a mount of the host's securityfs.
    pub with_mount: bool,
}

/// Kernels before 5.11 need SYS_RESOURCE for the limit of locked memory. SYSLOG is for the kernel's
/// symbols. On 6.12 both releases also denied without these two, and without DAC_READ_SEARCH, which
/// DAC_OVERRIDE includes.
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

/// The tested agents, the newest last.
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

/// Releases that did not start under containerd's default AppArmor profile, and denied with
/// Unconfined.
pub const UNCONFINED: [Version; 2] = [Version::release(1, 3, 0), Version::release(1, 7, 0)];

/// Releases that worked in a pod without `hostPID`, as their charts make it.
pub const WITHOUT_HOST_PID: [Version; 2] = [Version::release(1, 3, 0), Version::release(1, 7, 0)];

/// Releases that read the list of LSMs through a read-only mount of the host's securityfs without
/// propagation.
pub const READ_ONLY_SECURITYFS: [Version; 1] = [Version::release(1, 3, 0)];

/// The tested agent of exactly that release.
#[must_use]
pub fn with(release: Option<Version>) -> Option<&'static TestedAgent> {
    ALL.iter().find(|agent| Some(agent.release) == release)
}

/// The advice, if that release is among the tested ones. Otherwise, that nothing is advised.
#[must_use]
pub fn advice(release: Option<Version>, tested: &[Version], advice: &str) -> String {
    let releases = tested.iter().map(Version::to_string).collect::<Vec<_>>().join(", ");
    if release.is_some_and(|release| tested.contains(&release)) {
        return format!("{advice} (tested with {releases})");
    }
    let this = release
        .map_or_else(|| "the release of this image".to_owned(), |release| release.to_string());
    format!("nothing is advised, because only {releases} were tested with less, not {this}")
}

/// The newest tested agent, whose capabilities are compared with those of untested releases.
#[must_use]
pub const fn newest() -> &'static TestedAgent {
    &ALL[ALL.len() - 1]
}

/// The tested releases.
#[must_use]
pub fn releases() -> Vec<Version> {
    ALL.iter().map(|agent| agent.release).collect()
}

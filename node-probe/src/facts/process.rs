//! What this process may do. In: the texts of `/proc/self/status`, `/proc/self/limits` and
//! `/proc/self/ns/user`. Out: its capabilities, whether they count, whether a seccomp filter is
//! active, and how much memory it may lock.

/// Numbers of include/uapi/linux/capability.h.
const CAP_SYS_ADMIN: u32 = 21;
const CAP_SYS_RESOURCE: u32 = 24;
const CAP_PERFMON: u32 = 38;
const CAP_BPF: u32 = 39;

/// The inode of the initial user namespace (PROC_USER_INIT_INO in include/linux/proc_ns.h). bpf(2)
/// needs capabilities in that namespace.
const INITIAL_USER_NAMESPACE: &str = "user:[4026531837]";

/// Each field is `None` if the texts do not say.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Process {
    /// The effective capabilities, as a bit set.
    pub capabilities: Option<u64>,
    /// 0 is no seccomp, 1 strict mode, 2 a filter.
    pub seccomp: Option<u8>,
    /// Whether the process is in the host's user namespace.
    pub in_initial_user_namespace: Option<bool>,
    /// The hard limit on locked memory.
    pub memlock: Option<Memlock>,
}

/// A limit on locked memory.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Memlock {
    Unlimited,
    Bytes(u64),
}

impl Process {
    pub fn parse(status: &str, limits: &str, user_namespace: &str) -> Self {
        let field = |name: &str| {
            status
                .lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix(':').map(str::trim))
        };
        let user_namespace = user_namespace.trim();
        Self {
            capabilities: field("CapEff").and_then(|bits| u64::from_str_radix(bits, 16).ok()),
            seccomp: field("Seccomp").and_then(|mode| mode.parse().ok()),
            in_initial_user_namespace: user_namespace
                .starts_with("user:[")
                .then(|| user_namespace == INITIAL_USER_NAMESPACE),
            memlock: hard_memlock(limits),
        }
    }

    fn holds(self, capability: u32) -> Option<bool> {
        self.capabilities.map(|bits| bits >> capability & 1 == 1)
    }

    /// The capabilities that this process lacks to load an LSM program. CAP_SYS_ADMIN includes
    /// both.
    pub fn missing_capabilities(self) -> Vec<&'static str> {
        if self.holds(CAP_SYS_ADMIN) == Some(true) {
            return Vec::new();
        }
        [(CAP_BPF, "CAP_BPF"), (CAP_PERFMON, "CAP_PERFMON")]
            .into_iter()
            .filter(|(capability, _)| self.holds(*capability) == Some(false))
            .map(|(_, name)| name)
            .collect()
    }

    /// The number of bytes that this process may lock, if it cannot raise that limit itself.
    pub fn fixed_memlock(self) -> Option<u64> {
        match self.memlock {
            Some(Memlock::Bytes(bytes)) if self.holds(CAP_SYS_RESOURCE) == Some(false) => {
                Some(bytes)
            }
            _ => None,
        }
    }

    /// Whether a seccomp filter is active.
    pub fn is_filtered(self) -> bool {
        self.seccomp.is_some_and(|mode| mode != 0)
    }
}

/// The hard limit in a line `Max locked memory  SOFT  HARD  bytes` (fs/proc/base.c). The soft limit
/// does not matter, because the canary raises it to the hard one.
fn hard_memlock(limits: &str) -> Option<Memlock> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max locked memory"))?;
    match line.split_whitespace().nth(1)? {
        "unlimited" => Some(Memlock::Unlimited),
        bytes => bytes.parse().ok().map(Memlock::Bytes),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::facts::tests::bytes_with;

    fn missing(bits: &str) -> Vec<&'static str> {
        Process::parse(&format!("Name:\tx\nCapEff:\t{bits}\nSeccomp:\t2\n"), "", "")
            .missing_capabilities()
    }

    #[test]
    fn missing_capabilities_are_named() {
        assert_eq!(missing("000000c000000000"), [""; 0]);
        assert_eq!(missing("0000008000000000"), ["CAP_PERFMON"]);
        assert_eq!(missing("0000004000000000"), ["CAP_BPF"]);
        assert_eq!(missing("0000000000000000"), ["CAP_BPF", "CAP_PERFMON"]);
        assert_eq!(missing("0000000000200000"), [""; 0], "CAP_SYS_ADMIN");
        assert_eq!(missing("nonsense"), [""; 0], "not known to be missing");
    }

    #[test]
    fn seccomp_and_the_namespace_are_read() {
        let process =
            Process::parse("Seccomp:\t2\nSeccomp_filters:\t1\n", "", "user:[4026531837]\n");
        assert!(process.is_filtered());
        assert_eq!(process.in_initial_user_namespace, Some(true));
        assert_eq!(
            Process::parse("", "", "user:[4026532000]").in_initial_user_namespace,
            Some(false)
        );
        assert_eq!(Process::parse("", "", "").in_initial_user_namespace, None);
    }

    #[test]
    fn a_limit_counts_only_if_it_cannot_be_raised() {
        let fixed = |capabilities: &str, hard: &str| {
            let limits = format!(
                "Limit  Soft Limit  Hard Limit  Units\nMax locked memory   8192   {hard}   bytes\n"
            );
            Process::parse(&format!("CapEff:\t{capabilities}\n"), &limits, "").fixed_memlock()
        };
        assert_eq!(fixed("000000c000000000", "65536"), Some(65536));
        assert_eq!(fixed("000000c001000000", "65536"), None, "CAP_SYS_RESOURCE");
        assert_eq!(fixed("000000c000000000", "unlimited"), None);
        assert_eq!(fixed("000000c000000000", "nonsense"), None);
        assert_eq!(fixed("nonsense", "65536"), None, "not known to be fixed");
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(
            status in bytes_with(&[
                "CapEff:", "Seccomp:", "\n", "\t", "0000", "ffffffffffffffff", "2",
            ]),
            limits in bytes_with(&["Max locked memory", " ", "65536", "unlimited", "\n"]),
            namespace in bytes_with(&["user:[", "4026531837", "]"]),
        ) {
            let process = Process::parse(&status, &limits, &namespace);
            prop_assert!(process.missing_capabilities().len() <= 2);
            prop_assert!(process.fixed_memlock().is_none() || process.memlock.is_some());
        }
    }
}

//! The reasons for which a node is not ready, and the one for which it is: a closed list with a code each.
//!
//! The probe puts a code into `LsmNode.status.reason`; the verdict adds those that only follow from a policy.
//! Codes are part of the API: people alert on them.

macro_rules! reasons {
    ($($(#[doc = $meaning:literal])+ $name:ident),+ $(,)?) => {
        /// Why a node is ready, is not, or is not known to be.
        #[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
        pub enum Reason {
            $($(#[doc = $meaning])+ $name,)+
        }

        impl Reason {
            /// Every reason, in the order of the documentation.
            pub const ALL: &'static [Self] = &[$(Self::$name,)+];

            /// The code that stands in objects, events and metrics.
            #[must_use]
            pub const fn code(self) -> &'static str {
                match self {
                    $(Self::$name => stringify!($name),)+
                }
            }

            /// What it means.
            #[must_use]
            pub fn meaning(self) -> &'static str {
                match self {
                    $(Self::$name => concat!($($meaning, "\n"),+).trim(),)+
                }
            }
        }
    };
}

reasons! {
    /// The canary was loaded, attached, fired, and denied our call and only ours.
    CanaryDenied,
    /// The canary loads and attaches but never runs: `bpf` is not among the active LSMs.
    BpfNotInLsmList,
    /// The kernel lists `bpf` as active, yet refuses LSM programs to a process that holds the capabilities.
    ListedButRefused,
    /// The kernel lists `bpf` as active and the canary attaches, yet it never runs.
    ListedButNotFired,
    /// The kernel refuses LSM programs to a process that holds the capabilities, and does not list `bpf` as active or
    /// its list cannot be read.
    LsmProgramsRefused,
    /// The canary loads and attaches but never runs; the list of active LSMs cannot be read, so `bpf` is most likely
    /// not among them.
    NeverFired,
    /// Something answers the canary's prctl before anything is loaded, so nothing could be tried.
    CallIntercepted,
    /// The probe lacks CAP_BPF or CAP_PERFMON, so nothing could be tried.
    MissingCapability,
    /// A seccomp filter refuses bpf(2) to the probe, so nothing could be tried.
    SeccompRefusesBpf,
    /// The kernel offers no BTF at /sys/kernel/btf/vmlinux, which LSM programs need.
    BtfMissing,
    /// The kernel's BTF has no bpf_lsm_ functions: it was built without CONFIG_BPF_LSM.
    HookNotInBtf,
    /// The kernel does not know BPF programs of type LSM.
    ProgramTypeUnsupported,
    /// The program loads but the architecture has no BPF trampolines to attach it with (arm64 before Linux 6.4).
    TrampolineUnsupported,
    /// The kernel did not take the canary, for another reason than the ones above.
    LoadFailed,
    /// The canary could not be attached, for another reason than the ones above.
    AttachFailed,
    /// The canary's process or the kernel had not enough memory, so nothing could be tried.
    NoMemory,
    /// The canary ran but the call was not denied as it should have been.
    FiredNotDenied,
    /// The canary did not end within its deadline and was killed.
    CanaryTimedOut,
    /// The process of the canary crashed.
    CanaryCrashed,
    /// The process of the canary could not be started, so nothing could be tried.
    CanaryNotStarted,
    /// There is no report from this node's probe yet.
    NoReport,
    /// The newest report is about an earlier boot of the node.
    ReportFromEarlierBoot,
    /// The evidence is below what the policy requires.
    EvidenceTooLow,
    /// A further LSM that the policy requires is not active.
    RequiredLsmInactive,
    /// The list of active LSMs could not be read, so a required one cannot be judged.
    LsmListUnknown,
    /// A hook that the policy requires does not accept a program on this kernel.
    HookNotAttachable,
    /// A hook that the policy requires to be sleepable does not accept a sleepable program on this kernel.
    HookNotSleepable,
    /// The node has no (genuine) hook profile, so required hooks cannot be judged.
    HookProfileMissing,
    /// Programs may not read kernel memory on this node (lockdown=confidentiality).
    KernelReadsForbidden,
    /// Whether programs may read kernel memory on this node is not known.
    KernelReadsUnknown,
}

impl Reason {
    /// The reason with that code; a code of another version gives none.
    #[must_use]
    pub fn from_code(code: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|reason| reason.code() == code)
    }
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_unique_and_found_again() {
        for reason in Reason::ALL {
            assert_eq!(Reason::from_code(reason.code()), Some(*reason));
            assert!(!reason.meaning().is_empty());
        }
    }
}

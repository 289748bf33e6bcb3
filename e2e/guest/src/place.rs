//! Places to ask from: what the process that asks can see and may do. `guest measure` runs programs
//! in them.

use serde::{Deserialize, Serialize};

/// Where the question is asked.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Place {
    /// As root, with everything in its place.
    Host,
    /// securityfs is not mounted: its place is an empty directory.
    SecurityfsEmpty,
    /// There is no `/sys/kernel/security`.
    SecurityfsMissing,
    /// There is no sysfs, as in a container that was not given any.
    SysfsMissing,
    /// sysfs has no `/sys/kernel/btf/vmlinux`, as on a kernel without CONFIG_DEBUG_INFO_BTF.
    BtfMissing,
    /// The kernel interprets BPF programs (`net.core.bpf_jit_enable=0`).
    JitOff,
    /// With the two capabilities that the probe's container has, and no more.
    OnlyBpfAndPerfmon,
    /// As root without CAP_BPF and CAP_SYS_ADMIN.
    CapBpfMissing,
    /// As root without CAP_PERFMON and CAP_SYS_ADMIN.
    CapPerfmonMissing,
    /// As an ordinary user.
    Nobody,
    /// With all capabilities, in a user namespace of its own.
    UserNamespace,
    /// A seccomp filter answers bpf(2) with EPERM.
    SeccompEperm,
    /// A seccomp filter answers bpf(2) with ENOSYS.
    SeccompEnosys,
    /// A seccomp filter kills who calls bpf(2).
    SeccompKill,
    /// A seccomp filter answers prctl(2) with EPERM where it does not know the option.
    SeccompPrctl,
}

/// What keeps a process from trying, so that nothing follows about the kernel.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Hindrance {
    /// It may not load programs.
    Capability,
    /// It does not get to bpf(2).
    Seccomp,
    /// It does not get to prctl(2).
    Prctl,
    /// It does not see sysfs, hence no BTF.
    Sysfs,
}

impl Place {
    /// All of them.
    pub const ALL: [Self; 15] = [
        Self::Host,
        Self::SecurityfsEmpty,
        Self::SecurityfsMissing,
        Self::SysfsMissing,
        Self::BtfMissing,
        Self::JitOff,
        Self::OnlyBpfAndPerfmon,
        Self::CapBpfMissing,
        Self::CapPerfmonMissing,
        Self::Nobody,
        Self::UserNamespace,
        Self::SeccompEperm,
        Self::SeccompEnosys,
        Self::SeccompKill,
        Self::SeccompPrctl,
    ];

    /// Its name on the command line and in the table.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::SecurityfsEmpty => "securityfs-empty",
            Self::SecurityfsMissing => "securityfs-missing",
            Self::SysfsMissing => "sysfs-missing",
            Self::BtfMissing => "btf-missing",
            Self::JitOff => "jit-off",
            Self::OnlyBpfAndPerfmon => "only-bpf-and-perfmon",
            Self::CapBpfMissing => "cap-bpf-missing",
            Self::CapPerfmonMissing => "cap-perfmon-missing",
            Self::Nobody => "nobody",
            Self::UserNamespace => "user-namespace",
            Self::SeccompEperm => "seccomp-eperm",
            Self::SeccompEnosys => "seccomp-enosys",
            Self::SeccompKill => "seccomp-kill",
            Self::SeccompPrctl => "seccomp-prctl",
        }
    }

    /// What keeps a process there from trying.
    pub const fn hindrance(self) -> Option<Hindrance> {
        match self {
            Self::CapBpfMissing | Self::CapPerfmonMissing | Self::Nobody | Self::UserNamespace => {
                Some(Hindrance::Capability)
            }
            Self::SeccompEperm | Self::SeccompEnosys | Self::SeccompKill => {
                Some(Hindrance::Seccomp)
            }
            Self::SeccompPrctl => Some(Hindrance::Prctl),
            Self::SysfsMissing => Some(Hindrance::Sysfs),
            Self::Host
            | Self::SecurityfsEmpty
            | Self::SecurityfsMissing
            | Self::BtfMissing
            | Self::JitOff
            | Self::OnlyBpfAndPerfmon => None,
        }
    }

    /// The list of active LSMs can be read as a file there.
    pub const fn has_securityfs(self) -> bool {
        !matches!(self, Self::SecurityfsEmpty | Self::SecurityfsMissing | Self::SysfsMissing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_serialized_form() {
        for place in Place::ALL {
            assert_eq!(serde_json::to_value(place).unwrap(), place.name());
        }
    }
}

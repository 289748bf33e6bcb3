//! Which system this is and what boots it, as far as that decides how its command line is changed.
//!
//! In: the facts. Out: a [`Machine`] and, where it stands in one, the [`Cloud`]. What is not recognised is
//! [`Machine::Unknown`]: then no way is invented.

use crate::facts::cmdline::Writer;
use crate::facts::{Facts, OsRelease};

/// A kind of machine, by how its command line is changed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Machine {
    /// gVisor: a kernel in user space, without BPF.
    GVisor,
    /// A micro-VM, whose command line is given by whoever starts it.
    MicroVm,
    /// LinuxKit, as in Docker Desktop.
    LinuxKit,
    /// Google's Container-Optimized OS.
    ContainerOptimized,
    /// Windows Subsystem for Linux 2.
    Wsl,
    /// Bottlerocket.
    Bottlerocket,
    /// Talos, and whether GRUB boots it.
    Talos {
        /// GRUB rather than a unified kernel image.
        grub: bool,
    },
    /// Flatcar Container Linux.
    Flatcar,
    /// Fedora CoreOS, Red Hat Enterprise Linux CoreOS and other systems of rpm-ostree.
    CoreOs,
    /// SUSE's systems with a read-only root and transactional-update.
    Transactional,
    /// The firmware of a Raspberry Pi.
    RaspberryPi,
    /// systemd-boot or another EFI stub.
    SystemdBoot,
    /// GRUB as Debian and Ubuntu configure it.
    DebianGrub,
    /// GRUB with boot loader entries that grubby edits: the family of Red Hat, and Amazon Linux.
    Grubby,
    /// GRUB otherwise.
    Grub,
    /// Not recognised.
    Unknown,
}

impl Machine {
    /// Recognises it, the more special first.
    #[must_use]
    pub fn of(facts: &Facts) -> Self {
        sandbox(facts).or_else(|| immutable(facts)).unwrap_or_else(|| boot_loader(facts))
    }

    /// Why its command line cannot be changed from inside, where it cannot.
    #[must_use]
    pub const fn locked(self) -> Option<&'static str> {
        match self {
            Self::GVisor => Some(
                "This is gVisor, a kernel in user space that has no LSM BPF: take a node (or a RuntimeClass) without it.",
            ),
            Self::MicroVm => Some(
                "This looks like a micro-VM (Firecracker or the like), whose kernel and command line are chosen by who \
                 starts it (Firecracker: boot_args of the boot source): it cannot be changed from inside.",
            ),
            Self::LinuxKit => Some(
                "This is a LinuxKit VM such as Docker Desktop's, whose kernel and command line are part of its image: \
                 take another machine.",
            ),
            Self::ContainerOptimized => Some(
                "Container-Optimized OS verifies its boot partition and takes no boot parameters of yours: take another \
                 node image (on GKE ubuntu_containerd).",
            ),
            _ => None,
        }
    }
}

/// What is no machine of one's own.
fn sandbox(facts: &Facts) -> Option<Machine> {
    let release = facts.kernel.release.as_str();
    // gVisor says 4.4.0 and nothing behind it, as no distribution's kernel does, and newer ones their name.
    if release == "4.4.0" || release.contains("gvisor") {
        return Some(Machine::GVisor);
    }
    if release.ends_with("-linuxkit") {
        return Some(Machine::LinuxKit);
    }
    if release.contains("microsoft-standard-WSL") {
        return Some(Machine::Wsl);
    }
    (facts.cmdline.written_by == Some(Writer::MicroVm)).then_some(Machine::MicroVm)
}

/// Systems with a way of their own.
fn immutable(facts: &Facts) -> Option<Machine> {
    let os = &facts.os;
    let one_of = |ids: &[&str]| ids.contains(&os.id.as_str());
    if one_of(&["rhcos", "fedora-coreos"])
        || (one_of(&["fedora", "rhel", "centos", "scos"]) && os.variant_id == "coreos")
    {
        return Some(Machine::CoreOs);
    }
    if one_of(&["opensuse-microos", "sle-micro", "sl-micro", "suse-microos"]) {
        return Some(Machine::Transactional);
    }
    match os.id.as_str() {
        "cos" => Some(Machine::ContainerOptimized),
        "bottlerocket" => Some(Machine::Bottlerocket),
        "talos" => Some(Machine::Talos { grub: facts.cmdline.boot_image.is_some() }),
        "flatcar" => Some(Machine::Flatcar),
        "raspbian" => Some(Machine::RaspberryPi),
        _ if facts.cmdline.ostree => Some(Machine::CoreOs),
        _ => (facts.cmdline.written_by == Some(Writer::RaspberryPi)).then_some(Machine::RaspberryPi),
    }
}

fn boot_loader(facts: &Facts) -> Machine {
    let one_of = |ids: &[&str]| ids.iter().any(|id| facts.os.is(id));
    if facts.cmdline.efi_initrd && facts.cmdline.boot_image.is_none() {
        Machine::SystemdBoot
    } else if one_of(&["debian", "ubuntu"]) {
        Machine::DebianGrub
    } else if one_of(&["rhel", "fedora", "centos", "rocky", "almalinux", "amzn", "ol"]) {
        Machine::Grubby
    } else if facts.cmdline.boot_image.is_some() || one_of(&["suse", "sles", "opensuse", "azurelinux"]) {
        Machine::Grub
    } else {
        Machine::Unknown
    }
}

/// A cloud whose managed nodes are replaced, with all that was changed on them.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Cloud {
    /// Amazon's.
    Aws,
    /// Microsoft's.
    Azure,
    /// Google's.
    Google,
}

impl Cloud {
    /// Recognises it by the kernel's flavour, the system, and the maker that the firmware names.
    #[must_use]
    pub fn of(facts: &Facts) -> Option<Self> {
        let flavour = |name: &str| facts.kernel.release.split('-').any(|part| part == name);
        let OsRelease { id, .. } = &facts.os;
        if flavour("aws") || id == "amzn" || facts.sys_vendor == "Amazon EC2" {
            Some(Self::Aws)
        } else if flavour("azure") || id == "azurelinux" {
            Some(Self::Azure)
        } else if flavour("gke") || flavour("gcp") || facts.sys_vendor == "Google" {
            Some(Self::Google)
        } else {
            None
        }
    }

    /// What has to be done so that the next node has the change too.
    #[must_use]
    pub const fn for_good(self) -> &'static str {
        match self {
            Self::Aws => {
                "On EKS put this into the user data of the node group's launch template, or into its AMI: a node that is \
                 replaced has forgotten what was changed on it."
            }
            Self::Azure => {
                "AKS has no setting for boot parameters, and each upgrade of the node image undoes the change: let a \
                 privileged DaemonSet make it and reboot the node, or use nodes that you manage yourself."
            }
            Self::Google => {
                "GKE has no setting for boot parameters, and a node that is upgraded or repaired has forgotten the \
                 change: let a privileged DaemonSet make it and reboot the node, or use nodes that you manage yourself."
            }
        }
    }
}

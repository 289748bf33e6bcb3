//! The signs by which the rows recognise a system. In: the facts. Out: what booted it, and which
//! makers its system and its kernel are from.

use crate::facts::{Cmdline, Facts, OsRelease};

/// What the rows look at.
#[derive(Debug)]
pub struct Signs<'a> {
    /// The kernel's command line.
    pub cmdline: &'a Cmdline,
    /// The operating system.
    pub os: &'a OsRelease,
    /// `uname -r`.
    pub release: &'a str,
    /// `uname -m`.
    pub machine: &'a str,
    /// What booted it.
    pub boot: Boot,
    /// Whose kernel it is.
    pub kernel: Option<Maker>,
    /// The node is a container: its kernel is not its own.
    pub is_container: bool,
}

/// What put the command line together.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Boot {
    /// GRUB: it always sets BOOT_IMAGE, to a path or `(device)path`.
    Grub,
    /// Syslinux or PXELINUX: it sets BOOT_IMAGE as its configuration has it, and leaves `initrd=`.
    Syslinux,
    /// systemd-boot with the files of kernel-install, in a folder that is named after the machine's
    /// id.
    KernelInstall,
    /// systemd-boot, rEFInd or the firmware: `initrd=` with backslashes, as EFI has them.
    EfiStub,
    /// A unified kernel image, U-Boot, a start without boot loader, or another.
    Unknown,
}

/// Whose kernel, or whose system. Systems with kernels that are told apart by their release.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Maker {
    /// Debian, and systems with its kernels.
    Debian,
    /// Ubuntu, and systems with its kernels.
    Ubuntu,
    /// Proxmox.
    Proxmox,
    /// Fedora.
    Fedora,
    /// Red Hat, and systems that are built from its sources.
    RedHat,
    /// openEuler, and systems that are built from it.
    Euler,
    /// Anolis, Alibaba Cloud Linux, TencentOS, OpenCloudOS.
    Anolis,
    /// Amazon Linux.
    Amazon,
    /// SUSE.
    Suse,
    /// Alpine.
    Alpine,
    /// Arch, Manjaro.
    Arch,
    /// Talos.
    Talos,
    /// Flatcar.
    Flatcar,
    /// Photon.
    Photon,
    /// Azure Linux, CBL-Mariner.
    AzureLinux,
}

/// openEuler, and systems that are built from it, by their ID.
pub const EULER: [&str; 4] = ["openeuler", "euleros", "hce", "kylin"];

/// Systems of China that are built as Red Hat's are.
pub const ANOLIS: [&str; 5] = ["anolis", "alinux", "tencentos", "opencloudos", "tlinux"];

/// Systems that are built from Red Hat's sources, and itself.
pub const RED_HAT: [&str; 11] = [
    "rhel",
    "centos",
    "rocky",
    "almalinux",
    "ol",
    "rhcos",
    "scos",
    "cloudlinux",
    "eurolinux",
    "scientific",
    "miraclelinux",
];

/// Systems with Debian's or Ubuntu's own GRUB scripts (`update-grub` and /etc/default/grub.d).
pub const DEBIAN_GRUB: [&str; 11] = [
    "debian",
    "ubuntu",
    "linuxmint",
    "zorin",
    "elementary",
    "kali",
    "devuan",
    "pop",
    "neon",
    "parrot",
    "pureos",
];

const UBUNTU_FLAVOURS: [&str; 12] = [
    "generic",
    "lowlatency",
    "aws",
    "azure",
    "gcp",
    "gke",
    "oracle",
    "kvm",
    "ibm",
    "raspi",
    "nvidia",
    "realtime",
];

impl<'a> Signs<'a> {
    /// Looks for them.
    pub fn of(facts: &'a Facts) -> Self {
        let release = facts.kernel.release.as_str();
        let kernel = kernel_maker(release);
        Self {
            cmdline: &facts.cmdline,
            os: &facts.os,
            release,
            machine: &facts.kernel.machine,
            boot: boot(&facts.cmdline),
            kernel,
            is_container: is_container(facts, kernel),
        }
    }

    /// The system's ID is one of these.
    pub fn is(&self, ids: &[&str]) -> bool {
        ids.contains(&self.os.id.as_str())
    }

    /// GRUB booted it.
    pub fn grub(&self) -> bool {
        self.boot == Boot::Grub
    }
}

fn boot(cmdline: &Cmdline) -> Boot {
    if let Some(image) = &cmdline.boot_image {
        // Syslinux and PXELINUX leave initrd= on the command line. GRUB loads the file itself.
        let is_grub =
            image.starts_with('(') || (image.starts_with('/') && cmdline.value("initrd").is_none());
        return if is_grub { Boot::Grub } else { Boot::Syslinux };
    }
    match cmdline.value("initrd").filter(|path| path.contains('\\')) {
        None => Boot::Unknown,
        Some(path) => {
            let folder = path.trim_start_matches('\\').split('\\').next().unwrap_or_default();
            let is_machine_id =
                folder.len() == 32 && folder.bytes().all(|byte| byte.is_ascii_hexdigit());
            if is_machine_id { Boot::KernelInstall } else { Boot::EfiStub }
        }
    }
}

/// Whether some part of the release is that, with digits behind it: `.el9` in
/// `5.14.0-503.el9.x86_64`.
fn has_tag(release: &str, tag: &str) -> bool {
    release
        .match_indices(tag)
        .any(|(at, _)| release[at + tag.len()..].starts_with(|next: char| next.is_ascii_digit()))
}

/// Whose kernel it is, by its release.
fn kernel_maker(release: &str) -> Option<Maker> {
    let tags = [
        (".fc", Maker::Fedora),
        (".el", Maker::RedHat),
        (".amzn", Maker::Amazon),
        (".oe", Maker::Euler),
        (".hce", Maker::Euler),
        (".an", Maker::Anolis),
        (".al", Maker::Anolis),
        (".tl", Maker::Anolis),
        (".oc", Maker::Anolis),
        (".ky", Maker::Euler),
        ("tlinux", Maker::Anolis),
        ("eulerosv", Maker::Euler),
        (".ph", Maker::Photon),
        (".cm", Maker::AzureLinux),
        (".azl", Maker::AzureLinux),
        ("-arch", Maker::Arch),
    ];
    if let Some((_, maker)) = tags.into_iter().find(|(tag, _)| has_tag(release, tag)) {
        return Some(maker);
    }
    let parts: Vec<&str> = release.split('-').collect();
    let numbered = parts
        .get(1)
        .is_some_and(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()));
    let third = parts.get(2).copied().unwrap_or_default();
    match parts.last().copied().unwrap_or_default() {
        "pve" => Some(Maker::Proxmox),
        "talos" => Some(Maker::Talos),
        "flatcar" => Some(Maker::Flatcar),
        "default" if parts.len() > 2 => Some(Maker::Suse),
        "MANJARO" => Some(Maker::Arch),
        "amd64" | "arm64" | "armmp" | "686" | "powerpc64le" => Some(Maker::Debian),
        "virt" if numbered => Some(Maker::Alpine),
        _ => (numbered && UBUNTU_FLAVOURS.contains(&third)).then_some(Maker::Ubuntu),
    }
}

/// Whose system it is, by its ID. What it says it is like does not count: derivatives may have
/// kernels of another maker.
fn system_maker(os: &OsRelease) -> Option<Maker> {
    match os.id.as_str() {
        "debian" | "devuan" | "kali" | "parrot" => Some(Maker::Debian),
        "ubuntu" | "pop" | "zorin" | "elementary" | "neon" => Some(Maker::Ubuntu),
        "fedora" | "fedora-coreos" => Some(Maker::Fedora),
        "amzn" => Some(Maker::Amazon),
        "alpine" => Some(Maker::Alpine),
        "arch" | "manjaro" => Some(Maker::Arch),
        "flatcar" => Some(Maker::Flatcar),
        "photon" => Some(Maker::Photon),
        "mariner" | "azurelinux" => Some(Maker::AzureLinux),
        "sles" | "sled" | "sle-micro" | "sl-micro" => Some(Maker::Suse),
        id if id.starts_with("opensuse") => Some(Maker::Suse),
        id if EULER.contains(&id) => Some(Maker::Euler),
        id if ANOLIS.contains(&id) => Some(Maker::Anolis),
        id if RED_HAT.contains(&id) => Some(Maker::RedHat),
        _ => None,
    }
}

/// The node says so, or its system is one maker's and its kernel another's.
fn is_container(facts: &Facts, kernel: Option<Maker>) -> bool {
    let says_so = facts.provider_id.starts_with("kind://")
        || facts.cmdline.value("container").is_some()
        || !facts.container.is_empty()
        || facts.os.pretty_name.starts_with("K3s ");
    if says_so
        || (facts.os.id == "talos" && !facts.kernel.release.contains("talos") && kernel.is_some())
    {
        return true;
    }
    let Some((system, kernel)) = system_maker(&facts.os).zip(kernel) else {
        return false;
    };
    let fits = match kernel {
        Maker::Proxmox => system == Maker::Debian,
        Maker::RedHat => [Maker::RedHat, Maker::Euler, Maker::Anolis].contains(&system),
        kernel => system == kernel,
    };
    !fits
}

//! The signs by which the rows recognise a system. In: the facts. Out: the boot loader, and the
//! vendors of the system and its kernel.

use crate::facts::{Cmdline, Facts, OsRelease};

#[derive(Debug)]
pub struct Signs<'a> {
    pub cmdline: &'a Cmdline,
    pub os: &'a OsRelease,
    /// `uname -r`.
    pub release: &'a str,
    /// `uname -m`.
    pub machine: &'a str,
    /// The boot loader.
    pub boot: Boot,
    /// The kernel's vendor, if its release shows one.
    pub kernel: Option<Vendor>,
    /// Whether the node is a container, which does not run its own kernel.
    pub is_container: bool,
}

/// The boot loader, by what it leaves on the command line.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Boot {
    /// GRUB. It always sets BOOT_IMAGE, to a path or `(device)path`.
    Grub,
    /// Syslinux or PXELINUX. It sets BOOT_IMAGE as its configuration has it, and leaves `initrd=`.
    Syslinux,
    /// systemd-boot with the files of kernel-install, in a folder named after the machine's id.
    KernelInstall,
    /// systemd-boot, rEFInd or the firmware. It leaves `initrd=` with EFI's backslashes.
    EfiStub,
    /// A unified kernel image, U-Boot, a start without boot loader, or another.
    Unknown,
}

/// The vendor of a kernel or of a system, as far as the kernel's release shows it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Vendor {
    /// Debian, and systems with Debian's kernels.
    Debian,
    /// Ubuntu, and systems with Ubuntu's kernels.
    Ubuntu,
    Proxmox,
    Fedora,
    /// Red Hat, and systems built from its sources.
    RedHat,
    /// openEuler, and systems built from it.
    Euler,
    /// Anolis, Alibaba Cloud Linux, TencentOS, OpenCloudOS.
    Anolis,
    Amazon,
    Suse,
    Alpine,
    /// Arch, Manjaro.
    Arch,
    Talos,
    Flatcar,
    Photon,
    /// Azure Linux, CBL-Mariner.
    AzureLinux,
}

/// openEuler and systems built from it, by their ID.
pub const EULER: [&str; 4] = ["openeuler", "euleros", "hce", "kylin"];

/// Chinese systems that are built as Red Hat's are.
pub const ANOLIS: [&str; 5] = ["anolis", "alinux", "tencentos", "opencloudos", "tlinux"];

/// Red Hat, and systems built from its sources.
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

/// Systems with Debian's or Ubuntu's GRUB scripts (`update-grub` and /etc/default/grub.d).
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
    pub fn of(facts: &'a Facts) -> Self {
        let release = facts.kernel.release.as_str();
        let kernel = kernel_vendor(release);
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

    /// Whether the system's ID is one of these.
    pub fn is(&self, ids: &[&str]) -> bool {
        ids.contains(&self.os.id.as_str())
    }

    /// Whether GRUB booted the system.
    pub fn grub(&self) -> bool {
        self.boot == Boot::Grub
    }
}

fn boot(cmdline: &Cmdline) -> Boot {
    if let Some(image) = &cmdline.boot_image {
        // Syslinux and PXELINUX leave `initrd=` on the command line. GRUB loads that file itself.
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

/// Whether the release has the tag with a digit behind it, such as `.el9` in
/// `5.14.0-503.el9.x86_64`.
fn has_tag(release: &str, tag: &str) -> bool {
    release
        .match_indices(tag)
        .any(|(at, _)| release[at + tag.len()..].starts_with(|next: char| next.is_ascii_digit()))
}

/// The kernel's vendor, by its release.
fn kernel_vendor(release: &str) -> Option<Vendor> {
    let tags = [
        (".fc", Vendor::Fedora),
        (".el", Vendor::RedHat),
        (".amzn", Vendor::Amazon),
        (".oe", Vendor::Euler),
        (".hce", Vendor::Euler),
        (".an", Vendor::Anolis),
        (".al", Vendor::Anolis),
        (".tl", Vendor::Anolis),
        (".oc", Vendor::Anolis),
        (".ky", Vendor::Euler),
        ("tlinux", Vendor::Anolis),
        ("eulerosv", Vendor::Euler),
        (".ph", Vendor::Photon),
        (".cm", Vendor::AzureLinux),
        (".azl", Vendor::AzureLinux),
        ("-arch", Vendor::Arch),
    ];
    if let Some((_, vendor)) = tags.into_iter().find(|(tag, _)| has_tag(release, tag)) {
        return Some(vendor);
    }
    let parts: Vec<&str> = release.split('-').collect();
    let numbered = parts
        .get(1)
        .is_some_and(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()));
    let third = parts.get(2).copied().unwrap_or_default();
    match parts.last().copied().unwrap_or_default() {
        "pve" => Some(Vendor::Proxmox),
        "talos" => Some(Vendor::Talos),
        "flatcar" => Some(Vendor::Flatcar),
        "default" if parts.len() > 2 => Some(Vendor::Suse),
        "MANJARO" => Some(Vendor::Arch),
        "amd64" | "arm64" | "armmp" | "686" | "powerpc64le" => Some(Vendor::Debian),
        "virt" if numbered => Some(Vendor::Alpine),
        _ => (numbered && UBUNTU_FLAVOURS.contains(&third)).then_some(Vendor::Ubuntu),
    }
}

/// The system's vendor, by its ID. ID_LIKE does not count, because a derivative can have kernels of
/// another vendor.
fn system_vendor(os: &OsRelease) -> Option<Vendor> {
    match os.id.as_str() {
        "debian" | "devuan" | "kali" | "parrot" => Some(Vendor::Debian),
        "ubuntu" | "pop" | "zorin" | "elementary" | "neon" => Some(Vendor::Ubuntu),
        "fedora" | "fedora-coreos" => Some(Vendor::Fedora),
        "amzn" => Some(Vendor::Amazon),
        "alpine" => Some(Vendor::Alpine),
        "arch" | "manjaro" => Some(Vendor::Arch),
        "flatcar" => Some(Vendor::Flatcar),
        "photon" => Some(Vendor::Photon),
        "mariner" | "azurelinux" => Some(Vendor::AzureLinux),
        "sles" | "sled" | "sle-micro" | "sl-micro" => Some(Vendor::Suse),
        id if id.starts_with("opensuse") => Some(Vendor::Suse),
        id if EULER.contains(&id) => Some(Vendor::Euler),
        id if ANOLIS.contains(&id) => Some(Vendor::Anolis),
        id if RED_HAT.contains(&id) => Some(Vendor::RedHat),
        _ => None,
    }
}

/// Whether the node says that it is a container, or its system and its kernel have different
/// vendors.
fn is_container(facts: &Facts, kernel: Option<Vendor>) -> bool {
    let says_so = facts.provider_id.starts_with("kind://")
        || facts.cmdline.value("container").is_some()
        || !facts.container.is_empty()
        || facts.os.pretty_name.starts_with("K3s ");
    if says_so
        || (facts.os.id == "talos" && !facts.kernel.release.contains("talos") && kernel.is_some())
    {
        return true;
    }
    let Some((system, kernel)) = system_vendor(&facts.os).zip(kernel) else {
        return false;
    };
    let fits = match kernel {
        Vendor::Proxmox => system == Vendor::Debian,
        Vendor::RedHat => [Vendor::RedHat, Vendor::Euler, Vendor::Anolis].contains(&system),
        kernel => system == kernel,
    };
    !fits
}

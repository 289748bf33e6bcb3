//! Tests that rows recognise machines, and that each row is complete.

use std::collections::BTreeSet;

use lsm_ready_crds::node::Kernel;
use proptest::prelude::*;

use super::super::steps::{Change, steps};
use super::*;
use crate::facts::{Cmdline, NodeInfo, OsRelease};

const GRUB: &str = "BOOT_IMAGE=/boot/vmlinuz root=/dev/vda1 ro";

fn facts(release: &str, cmdline: &str, os: &str) -> Facts {
    let arm = ["tegra", "raspi", "rpi", "aarch64", "rockchip", "sunxi"]
        .iter()
        .any(|word| release.contains(word));
    let machine = if arm { "aarch64" } else { "x86_64" };
    Facts {
        kernel: Kernel { release: release.to_owned(), machine: machine.to_owned() },
        cmdline: Cmdline::parse(cmdline),
        os: OsRelease::parse(os),
        ..Facts::default()
    }
}

fn set(facts: &Facts) -> String {
    steps(Change::Set { parameter: "lsm=yama,bpf", instead: None }, facts)
}

/// Release, command line, os-release, and words of the steps. No words if the neutral text is
/// right.
const MACHINES: &[(&str, &str, &str, &str)] = &[
    // GRUB as each distribution has it.
    ("6.1.0-28-amd64", GRUB, "ID=debian", "update-grub"),
    ("6.8.0-48-generic", GRUB, "ID=ubuntu\nID_LIKE=debian", "update-grub"),
    ("6.8.0-48-generic", GRUB, "ID=linuxmint\nID_LIKE=\"ubuntu debian\"", "update-grub"),
    ("6.12.25-amd64", GRUB, "ID=kali\nID_LIKE=debian", "update-grub"),
    ("6.1.0-28-amd64", GRUB, "ID=devuan\nID_LIKE=debian", "update-grub"),
    ("6.8.12-4-pve", GRUB, "ID=debian", "update-grub"),
    ("6.9.3-76060903-generic", GRUB, "ID=pop\nID_LIKE=\"ubuntu debian\"", "update-grub"),
    ("6.6.30_1", GRUB, "ID=void", "update-grub"),
    ("6.9.1-arch1-1", GRUB, "ID=arch", "grub-mkconfig -o /boot/grub/grub.cfg"),
    ("6.6.30-2-MANJARO", GRUB, "ID=manjaro\nID_LIKE=arch", "grub-mkconfig -o /boot/grub/grub.cfg"),
    ("6.6.30-gentoo", GRUB, "ID=gentoo", "grub-mkconfig -o /boot/grub/grub.cfg"),
    ("6.6.31-0-lts", GRUB, "ID=alpine", "grub-mkconfig -o /boot/grub/grub.cfg"),
    (
        "5.14.21-150500.55-default",
        GRUB,
        "ID=sles\nID_LIKE=suse",
        "grub2-mkconfig -o /boot/grub2/grub.cfg",
    ),
    (
        "6.4.0-150600.21-azure",
        GRUB,
        "ID=sles\nID_LIKE=suse",
        "grub2-mkconfig -o /boot/grub2/grub.cfg",
    ),
    ("6.4.0-150600.21-default", GRUB, "PRETTY_NAME=\"openSUSE Leap 15.6\"", "grub2-mkconfig"),
    ("5.14.0-503.el9.x86_64", GRUB, "ID=rhel", "grubby --update-kernel=ALL --args='lsm=yama,bpf'"),
    ("5.14.0-503.el9.x86_64", GRUB, "ID=rocky\nID_LIKE=\"rhel centos fedora\"", "grubby"),
    ("5.15.0-205.el9uek.x86_64", GRUB, "ID=ol\nID_LIKE=fedora", "grubby"),
    ("6.11.4-301.fc41.x86_64", GRUB, "ID=fedora", "grubby"),
    ("6.1.112-124.190.amzn2023.x86_64", GRUB, "ID=amzn\nID_LIKE=fedora", "grubby"),
    ("5.10.228-219.884.amzn2.x86_64", GRUB, "ID=amzn\nID_LIKE=\"centos rhel fedora\"", "grubby"),
    ("5.14.0-503.el9.x86_64", GRUB, "ID=newclone\nID_LIKE=\"rhel fedora\"", "grubby"),
    ("5.14.0-503.el9.x86_64", GRUB, "", "grubby"),
    (
        "5.10.134-18.al8.x86_64",
        GRUB,
        "PRETTY_NAME=\"Alibaba Cloud Linux 3 (Soaring Falcon)\"",
        "grubby",
    ),
    ("5.10.134-18.an8.x86_64", GRUB, "PRETTY_NAME=\"Anolis OS 8.8\"", "grubby"),
    ("5.4.119-19.0009.28", GRUB, "PRETTY_NAME=\"TencentOS Server 3.1 (Final)\"", "grubby"),
    ("6.6.47-12.oc9.x86_64", GRUB, "PRETTY_NAME=\"OpenCloudOS 9.2\"", "grubby"),
    ("5.10.0-216.oe2203sp4.x86_64", GRUB, "ID=openEuler", "/boot/efi/EFI/openEuler/grub.cfg"),
    ("4.19.90-2107.6.eulerosv2r10.x86_64", GRUB, "ID=euleros", "/boot/efi/EFI/openEuler/grub.cfg"),
    ("4.19.90-52.22.v2207.ky10.x86_64", GRUB, "ID=kylin", "grubby"),
    ("6.6.57.1-7.azl3", GRUB, "ID=azurelinux", "grub2-mkconfig -o /boot/grub2/grub.cfg"),
    ("5.15.167.1-2.cm2", GRUB, "ID=mariner", "mariner_cmdline"),
    ("6.1.10-11.ph5", "BOOT_IMAGE=/vmlinuz root=PARTUUID=x", "ID=photon", "/boot/grub2/grub.cfg"),
    // Systems with their own way to set parameters.
    (
        "6.12.20",
        "initrd=\\EFI\\nixos\\x.efi init=/nix/store/x/init",
        "ID=nixos",
        "lib.mkForce [ \"yama\" \"bpf\" ]",
    ),
    ("6.6.30-gnu", GRUB, "ID=guix", "guix system reconfigure"),
    (
        "6.8.12-4-pve",
        "initrd=\\EFI\\proxmox\\x root=ZFS=rpool/ROOT/pve-1",
        "ID=debian",
        "proxmox-boot-tool refresh",
    ),
    (
        "6.9.3-76060903-generic",
        "initrd=\\EFI\\Pop_OS-1\\initrd.img",
        "ID=pop\nID_LIKE=\"ubuntu debian\"",
        "kernelstub -a",
    ),
    (
        "6.12.20-0-virt",
        "BOOT_IMAGE=vmlinuz-virt initrd=initramfs-virt",
        "ID=alpine",
        "update-extlinux",
    ),
    (
        "5.14.21-150500.55-default",
        "",
        "PRETTY_NAME=\"SUSE Linux Enterprise Micro 5.5\"",
        "transactional-update grub.cfg",
    ),
    ("6.4.0-20-default", "", "ID=sl-micro\nID_LIKE=suse", "transactional-update grub.cfg"),
    (
        "6.11.5-1-default",
        GRUB,
        "ID=opensuse-microos\nID_LIKE=\"suse opensuse\"",
        "transactional-update grub.cfg",
    ),
    (
        "6.11.5-1-default",
        "initrd=\\opensuse-microos\\6.11.5-1-default\\initrd-1",
        "ID=opensuse-microos\nID_LIKE=\"suse opensuse\"",
        "sdbootutil update-all-entries",
    ),
    (
        "6.11.5-1-default",
        "BOOT_IMAGE=(hd0,gpt1)/opensuse-tumbleweed/6.11.5-1-default/linux-1",
        "ID=opensuse-tumbleweed\nID_LIKE=\"suse opensuse\"",
        "sdbootutil update-all-entries",
    ),
    (
        "6.9.1-arch1-1",
        "initrd=\\initramfs-linux.img root=/dev/vda2",
        "ID=arch",
        "/boot/loader/entries",
    ),
    (
        "6.9.1-200.fc41.x86_64",
        "initrd=\\0123456789abcdef0123456789abcdef\\6.9.1\\initrd",
        "ID=fedora",
        "kernel-install add-all",
    ),
    ("6.6.44-production+truenas", GRUB, "ID=debian", "kernel_extra_options"),
    (
        "6.8.0-48-generic",
        "snapd_recovery_mode=run console=ttyS0",
        "ID=ubuntu-core",
        "system.kernel.cmdline-append",
    ),
    (
        "6.8.0-48-generic",
        "BOOT_IMAGE=/boot/vmlinuz cos-img/filename=/cOS/active.img",
        "ID=ubuntu",
        "extra_cmdline",
    ),
    ("5.10.0", "BOOT_IMAGE=../vmlinuz", "ID=rancheros", "ros config syslinux"),
    // Images.
    ("5.15.180", "BOOT_IMAGE=(hd0,gpt3)/vmlinuz bootconfig", "ID=bottlerocket", "apiclient reboot"),
    ("6.18.2-talos", "talos.platform=metal", "ID=talos", "Image Factory schematic"),
    ("6.18.2-talos", "BOOT_IMAGE=/A/vmlinuz", "ID=talos", "machine.install.extraKernelArgs"),
    (
        "6.6.60-flatcar",
        "BOOT_IMAGE=/flatcar/vmlinuz-a",
        "ID=flatcar\nID_LIKE=coreos",
        "/oem/grub.cfg",
    ),
    (
        "6.11.4-301.fc41.x86_64",
        "BOOT_IMAGE=(hd0,gpt3)/x ostree=/ostree/boot.1",
        "ID=fedora\nVARIANT_ID=coreos",
        "rpm-ostree kargs",
    ),
    (
        "6.11.4-301.fc41.x86_64",
        "BOOT_IMAGE=(hd0,gpt3)/x ostree=/ostree/boot.1",
        "ID=fedora\nVARIANT_ID=silverblue",
        "rpm-ostree",
    ),
    (
        "5.14.0-427.el9.x86_64",
        "BOOT_IMAGE=(hd0,gpt3)/x ostree=/ostree",
        "ID=rhcos\nID_LIKE=\"rhel fedora\"",
        "MachineConfig",
    ),
    // Boards.
    ("6.8.12-tegra", "root=PARTUUID=x rw rootwait console=ttyUTC0", "ID=ubuntu", "APPEND"),
    (
        "6.8.0-1013-raspi",
        "vc_mem.mem_size=0x4000 root=LABEL=writable",
        "ID=ubuntu",
        "/boot/firmware/cmdline.txt",
    ),
    (
        "6.6.51+rpt-rpi-v8",
        "coherent_pool=1M vc_mem.mem_base=0x3ec00000",
        "ID=debian",
        "cmdline.txt",
    ),
    (
        "6.6.75-current-rockchip64",
        "root=UUID=x rootwait ubootpart=1",
        "ID=debian",
        "armbianEnv.txt",
    ),
    (
        "6.1.77-rockchip",
        "root=/dev/mmcblk0p2 rootwait",
        "ID=debian",
        "/boot/extlinux/extlinux.conf",
    ),
    ("5.15.153.1-microsoft-standard-WSL2", "initrd=\\initrd.img", "ID=debian", ".wslconfig"),
    // Machines that no row recognises.
    ("6.1.0-28-cloud-amd64", "root=/dev/vda console=ttyS0", "ID=debian", ""),
    ("6.8.0-48-generic", "root=UUID=x ro quiet", "ID=ubuntu", ""),
    ("6.8.0-48-generic", "initrd=\\x root=UUID=x", "ID=ubuntu", ""),
    ("5.14.0-503.el9.x86_64", "root=UUID=x ro", "ID=rhel", ""),
    ("6.1.99-vyos", GRUB, "ID=vyos\nID_LIKE=debian", ""),
    ("6.6.30", GRUB, "ID=slackware", ""),
    ("6.6.30", "BOOT_IMAGE=pxe/vmlinuz initrd=pxe/initrd", "ID=debian", ""),
    ("6.1.0-28-amd64", "BOOT_IMAGE=/pxe/vmlinuz initrd=/pxe/initrd ip=dhcp", "ID=debian", ""),
    ("6.4.0-20-default", "initrd=\\sle\\x", "PRETTY_NAME=\"SUSE Linux Enterprise Micro 5.5\"", ""),
    ("6.6.30", GRUB, "ID=y", ""),
    ("6.6.30", GRUB, "", ""),
    (
        "6.5.0-28-generic",
        "BOOT_IMAGE=/boot/ostree/x ostree=/ostree/boot.1",
        "ID=endless\nID_LIKE=debian",
        "",
    ),
    ("6.6.30-steamos", GRUB, "ID=steamos\nID_LIKE=arch", ""),
];

#[test]
fn machines_get_the_steps_of_their_system() {
    for (release, cmdline, os, words) in MACHINES {
        let facts = facts(release, cmdline, os);
        let fix = set(&facts);
        if words.is_empty() {
            assert!(
                of(&facts).is_none() && fix.contains("was not recognised"),
                "{release} {os}: {fix}"
            );
            assert!(!fix.contains("grub"), "{release} {os}: {fix}");
        } else {
            assert!(fix.contains(words), "{release} {os}: {fix}");
        }
        assert!(fix.contains("yama"), "{release} {os}: {fix}");
    }
}

/// Release, command line, os-release, and words that say why it cannot be changed from inside.
const LOCKED: &[(&str, &str, &str, &str)] = &[
    ("4.4.0", "", "ID=debian", "gVisor"),
    ("4.19.0-gvisor", "", "ID=debian", "gVisor"),
    ("6.10.14-linuxkit", "", "ID=debian", "LinuxKit"),
    ("6.12.1-orbstack-00292", "", "ID=ubuntu", "OrbStack"),
    ("6.6.30", "init=/bin/maitred", "ID=debian", "ChromeOS"),
    ("6.12.8", "systemd.unit=kata-containers.target", "ID=debian", "Kata"),
    ("5.10.225", "reboot=k panic=1 pci=off", "ID=debian", "boot_args"),
    ("6.1.85+", "cros_efi", "ID=cos", "current image of Container-Optimized OS"),
    ("6.6.95", "BOOT_IMAGE=/boot/bzImage root=/dev/sr0", "ID=buildroot", "minikube's ISO"),
    (
        "6.1.129",
        "BOOT_IMAGE=(hd0,gpt3)/vmlinuz",
        "PRETTY_NAME=\"Bottlerocket (EKS Auto, Standard) 2025.7.18\"",
        "EKS Auto Mode",
    ),
    ("6.1.0-28-amd64", "BOOT_IMAGE=/live/vmlinuz boot=live", "ID=debian", "live medium"),
    (
        "6.6.31-0-virt",
        "BOOT_IMAGE=/boot/vmlinuz-virt modules=loop,squashfs",
        "ID=alpine",
        "live medium",
    ),
    // Containers, recognised by a kernel of another vendor than the system's.
    ("6.11.4-301.fc41.x86_64", "BOOT_IMAGE=(hd0,gpt2)/v", "ID=debian", "container"),
    ("6.8.0-48-generic", GRUB, "ID=debian", "container"),
    ("5.14.0-503.el9.x86_64", GRUB, "ID=debian", "container"),
    ("6.8.12-4-pve", GRUB, "ID=ubuntu\nID_LIKE=debian", "container"),
    ("6.8.12-4-pve", "initrd=\\EFI\\proxmox\\x", "ID=alpine", "container"),
    ("6.9.1-arch1-1", GRUB, "ID=debian", "container"),
    ("6.4.0-150600.21-default", GRUB, "ID=ubuntu", "container"),
    ("6.1.112-124.190.amzn2023.x86_64", GRUB, "ID=ubuntu", "container"),
    ("6.8.0-48-generic", GRUB, "PRETTY_NAME=\"K3s v1.31.4+k3s1\"", "container"),
    ("6.8.0-48-generic", GRUB, "ID=talos", "container"),
];

#[test]
fn locked_machines_get_no_steps() {
    for (release, cmdline, os, words) in LOCKED {
        let facts = facts(release, cmdline, os);
        let fix = set(&facts);
        assert!(fix.contains(words) && locked(&facts).is_some(), "{release} {os}: {fix}");
        assert!(
            !["update-grub", "grubby", "mkconfig"].iter().any(|word| fix.contains(word)),
            "{release} {os}: {fix}"
        );
    }
    let kind = NodeInfo {
        provider_id: "kind://docker/kind/kind-worker".to_owned(),
        ..NodeInfo::default()
    };
    let by_provider =
        Facts { provider_id: kind.provider_id, ..facts("6.1.0-28-amd64", GRUB, "ID=debian") };
    assert!(set(&by_provider).contains("container"));
    let systemd = Facts { container: "lxc".to_owned(), ..facts("6.8.12-4-pve", GRUB, "ID=debian") };
    assert!(set(&systemd).contains("container"));
}

#[test]
fn every_row_is_complete_and_has_a_source() {
    let mut names = BTreeSet::new();
    for system in all() {
        assert!(names.insert(system.name), "{} has two rows", system.name);
        assert!(!system.sign.is_empty() && !system.sources.is_empty(), "{}", system.name);
        assert!(
            system.sources.iter().all(|source| source.starts_with("https://")),
            "{}",
            system.name
        );
        match &system.method {
            Method::Locked(why) => assert!(why.ends_with('.'), "{}", system.name),
            Method::Steps(Steps { set, replace, remove, .. }) => {
                assert!(set.contains("{parameter}") || set.contains("{value}"), "{}", system.name);
                assert!(remove.contains("{parameter}"), "{}", system.name);
                assert!(
                    replace.is_none_or(|replace| replace.contains("{parameter}")),
                    "{}",
                    system.name
                );
                // The C program grubby adds first and removes then, so this would remove what it
                // added.
                assert!(
                    !replace.is_some_and(|replace| replace.contains("--remove-args")),
                    "{}",
                    system.name
                );
                // No command overwrites a file.
                assert!(!set.contains("' > /") && !set.contains("tee /"), "{}", system.name);
            }
        }
    }
}

#[test]
fn the_page_has_every_row() {
    let page = page::page();
    for system in all() {
        assert_eq!(page.matches(&format!("\n## {}\n", system.name)).count(), 1, "{}", system.name);
    }
    assert!(!page.contains("{parameter}") && !page.contains("{name}"), "a place was not filled in");
}

proptest! {
    #[test]
    fn every_machine_gets_a_complete_text(
        release in "[4-6]\\.[0-9]{1,2}\\.0-(1-)?(generic|amd64|pve|talos|default|tegra|x|\
                    503\\.el9|301\\.fc41)?",
        cmdline in "((BOOT_IMAGE=|initrd=|/|\\\\|vmlinuz| |ostree=/x|rootwait|vc_mem\\.x=1|\
                    boot=live|lsm=yama)){0,8}",
        os in "(ID=|ID_LIKE=|PRETTY_NAME=)\
               (debian|ubuntu|rhel|fedora|talos|cos|alpine|arch|sles|K3s v1|x)",
    ) {
        let facts = facts(&release, &cmdline, &os);
        let removed = steps(Change::Remove("lockdown=confidentiality"), &facts);
        for (text, word) in [(set(&facts), "yama"), (removed, "lockdown")] {
            prop_assert!(locked(&facts).is_some() || text.contains(word), "{}", text);
            let placeholders = ["{parameter}", "{name}", "{value}", "{old}", "{items}"];
            prop_assert!(!placeholders.iter().any(|place| text.contains(place)), "{}", text);
            // GRUB's commands only if GRUB left its sign.
            let commands = ["update-grub", "grubby", "grub-mkconfig", "grub2-mkconfig"];
            let is_grub = commands.iter().any(|command| text.contains(command));
            prop_assert!(!is_grub || facts.cmdline.boot_image.is_some(), "{}", text);
        }
    }
}

//! SUSE's systems.

use super::signs::{Boot, Signs};
use super::{Steps, System, Way};

pub(super) const ROWS: &[System] = &[
    System {
        name: "MicroOS, Tumbleweed and others with sdbootutil (systemd-boot, GRUB with boot loader \
               entries)",
        sign: "a system of SUSE's, and `initrd=` with backslashes, or BOOT_IMAGE in a folder that \
               is called opensuse-…",
        is: |signs| {
            let entry =
                |image: &String| image.contains("/opensuse-") || image.contains("/sl-micro");
            is_suse(signs)
                && ([Boot::EfiStub, Boot::KernelInstall].contains(&signs.boot)
                    || signs.cmdline.boot_image.as_ref().is_some_and(entry))
        },
        way: Way::Steps(Steps {
            set: "As root run `sed -i '1 s/$/ {parameter}/' /etc/kernel/cmdline` (the file is one \
                  line; if there is no such file, write it first, with the words of /proc/cmdline \
                  but initrd= and BOOT_IMAGE=), then `sdbootutil update-all-entries`, then reboot.",
            replace: None,
            remove: "Take {parameter} out of /etc/kernel/cmdline, run `sdbootutil \
                     update-all-entries` as root, then reboot.",
            by_hand: true,
        }),
        lasts: "/etc/kernel/cmdline makes it last: each new snapshot and kernel gets its entry \
                from it. sdbootutil renews the TPM's predictions for an encrypted disk as well.",
        sources: &["https://github.com/openSUSE/sdbootutil/blob/main/sdbootutil"],
    },
    System {
        name: "SLE Micro, SL Micro, MicroOS and Leap Micro with GRUB",
        sign: "ID=sle-micro, sl-micro or suse-microos; ID=opensuse-microos or opensuse-leap-micro \
               with BOOT_IMAGE",
        // SLE Micro and SL Micro know no other boot loader than GRUB.
        is: |signs| {
            let efi_stub = [Boot::EfiStub, Boot::KernelInstall].contains(&signs.boot);
            (signs.is(&["sle-micro", "sl-micro", "suse-microos", "sle-micro-rancher"]) && !efi_stub)
                || (signs.is(&["opensuse-microos", "opensuse-leap-micro", "leap-micro"])
                    && signs.grub())
        },
        way: Way::Steps(Steps {
            set: "As root run `sed -i '$ a \
                  GRUB_CMDLINE_LINUX_DEFAULT=\"$GRUB_CMDLINE_LINUX_DEFAULT {parameter}\"' \
                  /etc/default/grub`, then `transactional-update grub.cfg`, then reboot.",
            replace: None,
            remove: "Take {parameter} out of /etc/default/grub, run `transactional-update \
                     grub.cfg` as root, then reboot.",
            by_hand: true,
        }),
        lasts: "The new snapshot has it, and those after it; a rollback to an older one undoes it.",
        sources: &[
            "https://github.com/openSUSE/transactional-update/blob/master/man/transactional-update.8.xml",
        ],
    },
    System {
        name: "SLES, openSUSE Leap and Tumbleweed with GRUB",
        sign: "ID=sles, sled, opensuse-leap or opensuse-tumbleweed, and BOOT_IMAGE with a path, \
               without `initrd=`",
        is: |signs| {
            signs.is(&[
                "sles",
                "sled",
                "sles_sap",
                "opensuse",
                "opensuse-leap",
                "opensuse-tumbleweed",
            ]) && signs.grub()
        },
        way: Way::Steps(Steps {
            set: "GRUB: as root run `sed -i '$ a \
                  GRUB_CMDLINE_LINUX_DEFAULT=\"$GRUB_CMDLINE_LINUX_DEFAULT {parameter}\"' \
                  /etc/default/grub`, then `grub2-mkconfig -o /boot/grub2/grub.cfg`, then reboot.",
            replace: None,
            remove: "GRUB: take {parameter} out of /etc/default/grub, run `grub2-mkconfig -o \
                     /boot/grub2/grub.cfg` as root, then reboot.",
            by_hand: true,
        }),
        lasts: "Kernel updates keep it.",
        sources: &[
            "https://documentation.suse.com/smart/systems-management/html/kernel-boot-parameters-modify/index.html",
        ],
    },
];

fn is_suse(signs: &Signs<'_>) -> bool {
    signs.os.is("suse")
        || signs.os.is("opensuse")
        || signs.os.id.starts_with("opensuse")
        || signs.is(&["sles", "sl-micro"])
}

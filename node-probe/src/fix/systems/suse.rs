//! SUSE's systems.

use super::signs::{Boot, Signs};
use super::{Method, Steps, System};

pub(super) const ROWS: &[System] = &[
    System {
        name: "MicroOS, Tumbleweed and others with sdbootutil (systemd-boot, GRUB with boot loader \
               entries)",
        sign: "a system of SUSE, with `initrd=` with backslashes, or with BOOT_IMAGE in a folder \
               named opensuse-…",
        is: |signs| {
            let entry =
                |image: &String| image.contains("/opensuse-") || image.contains("/sl-micro");
            is_suse(signs)
                && ([Boot::EfiStub, Boot::KernelInstall].contains(&signs.boot)
                    || signs.cmdline.boot_image.as_ref().is_some_and(entry))
        },
        method: Method::Steps(Steps {
            set: "As root run `sed -i '1 s/$/ {parameter}/' /etc/kernel/cmdline` (the file is one \
                  line; if it does not exist, create it first, with the words of /proc/cmdline \
                  except initrd= and BOOT_IMAGE=), then `sdbootutil update-all-entries`, then \
                  reboot.",
            replace: None,
            remove: "Remove {parameter} from /etc/kernel/cmdline, run `sdbootutil \
                     update-all-entries` as root, then reboot.",
            by_hand: true,
        }),
        lasts: "New snapshots and kernels get the parameters of /etc/kernel/cmdline. sdbootutil \
                also updates the TPM's predictions for an encrypted disk.",
        sources: &["https://github.com/openSUSE/sdbootutil/blob/main/sdbootutil"],
    },
    System {
        name: "SLE Micro, SL Micro, MicroOS and Leap Micro with GRUB",
        sign: "ID=sle-micro, sl-micro or suse-microos; ID=opensuse-microos or opensuse-leap-micro \
               with BOOT_IMAGE",
        // SLE Micro and SL Micro support no boot loader but GRUB.
        is: |signs| {
            let efi_stub = [Boot::EfiStub, Boot::KernelInstall].contains(&signs.boot);
            (signs.is(&["sle-micro", "sl-micro", "suse-microos", "sle-micro-rancher"]) && !efi_stub)
                || (signs.is(&["opensuse-microos", "opensuse-leap-micro", "leap-micro"])
                    && signs.grub())
        },
        method: Method::Steps(Steps {
            set: "As root run `sed -i '$ a \
                  GRUB_CMDLINE_LINUX_DEFAULT=\"$GRUB_CMDLINE_LINUX_DEFAULT {parameter}\"' \
                  /etc/default/grub`, then `transactional-update grub.cfg`, then reboot.",
            replace: None,
            remove: "Remove {parameter} from /etc/default/grub, run `transactional-update \
                     grub.cfg` as root, then reboot.",
            by_hand: true,
        }),
        lasts: "The new snapshot and later ones have it. A rollback to an older snapshot undoes \
                it.",
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
        method: Method::Steps(Steps {
            set: "GRUB: as root run `sed -i '$ a \
                  GRUB_CMDLINE_LINUX_DEFAULT=\"$GRUB_CMDLINE_LINUX_DEFAULT {parameter}\"' \
                  /etc/default/grub`, then `grub2-mkconfig -o /boot/grub2/grub.cfg`, then reboot.",
            replace: None,
            remove: "GRUB: remove {parameter} from /etc/default/grub, run `grub2-mkconfig -o \
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

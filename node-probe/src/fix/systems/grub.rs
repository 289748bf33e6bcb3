//! GRUB on other systems. Each distribution has its own way to regenerate grub.cfg.

use super::signs::DEBIAN_GRUB;
use super::{Method, Steps, System};

const GRUB_MANUAL: &str =
    "https://www.gnu.org/software/grub/manual/grub/html_node/Simple-configuration.html";

pub(super) const ROWS: &[System] = &[
    System {
        name: "Debian, Ubuntu, Proxmox, Mint, Zorin, elementary, Kali, Devuan, neon, Parrot, \
               PureOS with GRUB",
        sign: "their ID, and BOOT_IMAGE with a path, without `initrd=`",
        is: |signs| signs.is(&DEBIAN_GRUB) && signs.grub() && !signs.cmdline.has_prefix("ostree="),
        method: Method::Steps(Steps {
            set: "GRUB: as root run `mkdir -p /etc/default/grub.d && echo \
                  'GRUB_CMDLINE_LINUX_DEFAULT=\"$GRUB_CMDLINE_LINUX_DEFAULT {parameter}\"' >> \
                  /etc/default/grub.d/99-lsm.cfg`, then `update-grub`, then reboot. (The kernel \
                  follows the last {name}= on its command line.)",
            replace: None,
            remove: "GRUB: remove {parameter} from the file that `grep -rl '{parameter}' \
                     /etc/default/grub /etc/default/grub.d` prints, run `update-grub` as root, \
                     then reboot.",
            by_hand: true,
        }),
        lasts: "Kernel updates keep it. A file in /etc/default/grub.d that sorts after 99-lsm.cfg \
                can undo it.",
        sources: &[
            GRUB_MANUAL,
            "https://salsa.debian.org/grub-team/grub/-/blob/master/debian/patches/default-grub-d.patch",
            "https://pve.proxmox.com/pve-docs/chapter-sysadmin.html#sysboot_edit_kernel_cmdline",
        ],
    },
    System {
        name: "Arch, Manjaro, EndeavourOS, CachyOS, Artix with GRUB; Gentoo; Alpine with GRUB",
        sign: "their ID, and BOOT_IMAGE with a path, without `initrd=`",
        is: |signs| {
            let ids = [
                "arch",
                "archarm",
                "manjaro",
                "endeavouros",
                "cachyos",
                "garuda",
                "artix",
                "gentoo",
                "alpine",
            ];
            signs.is(&ids) && signs.grub()
        },
        method: Method::Steps(Steps {
            set: "GRUB: as root run `sed -i '$ a \
                  GRUB_CMDLINE_LINUX_DEFAULT=\"$GRUB_CMDLINE_LINUX_DEFAULT {parameter}\"' \
                  /etc/default/grub`, then `grub-mkconfig -o /boot/grub/grub.cfg`, then reboot.",
            replace: None,
            remove: "GRUB: remove {parameter} from /etc/default/grub, run `grub-mkconfig -o \
                     /boot/grub/grub.cfg` as root, then reboot.",
            by_hand: true,
        }),
        lasts: "Kernel updates keep it.",
        sources: &[
            GRUB_MANUAL,
            "https://wiki.archlinux.org/title/Kernel_parameters",
            "https://wiki.alpinelinux.org/wiki/Bootloaders",
            "https://wiki.gentoo.org/wiki/Handbook:X86/Blocks/Bootloader",
        ],
    },
    System {
        name: "Void with GRUB",
        sign: "ID=void and BOOT_IMAGE with a path, without `initrd=`",
        is: |signs| signs.is(&["void"]) && signs.grub(),
        method: Method::Steps(Steps {
            set: "GRUB: as root run `sed -i '$ a \
                  GRUB_CMDLINE_LINUX_DEFAULT=\"$GRUB_CMDLINE_LINUX_DEFAULT {parameter}\"' \
                  /etc/default/grub`, then `update-grub`, then reboot.",
            replace: None,
            remove: "GRUB: remove {parameter} from /etc/default/grub, run `update-grub` as root, \
                     then reboot.",
            by_hand: true,
        }),
        lasts: "Kernel updates keep it.",
        sources: &["https://docs.voidlinux.org/config/kernel.html"],
    },
];

//! Boards that firmware or U-Boot starts, mostly arm64.

use super::signs::{Boot, Signs};
use super::{Method, Steps, System};

pub(super) const ROWS: &[System] = &[
    System {
        name: "Raspberry Pi (Raspberry Pi OS, Ubuntu, Alpine)",
        sign: "`vc_mem.…` on the command line, ID=raspbian, or a kernel release with `-raspi` or \
               `rpt-rpi`; no BOOT_IMAGE",
        is: |signs| {
            let kernel =
                ["-raspi", "rpt-rpi", "-rpi"].into_iter().any(|word| signs.release.contains(word));
            without_boot_loader(signs)
                && (signs.cmdline.has_prefix("vc_mem.") || signs.is(&["raspbian"]) || kernel)
        },
        method: Method::Steps(Steps {
            set: "Raspberry Pi: as root run `sed -i '1 s/$/ {parameter}/' \
                  /boot/firmware/cmdline.txt` (the file is one line; on Raspberry Pi OS before \
                  Debian 12 it is /boot/cmdline.txt, on Alpine cmdline.txt on the boot medium; if \
                  config.txt beside it has os_prefix=current/, as on newer Ubuntu, change \
                  /boot/firmware/current/cmdline.txt instead), then reboot.",
            replace: None,
            remove: "Raspberry Pi: remove {parameter} from /boot/firmware/cmdline.txt (Raspberry \
                     Pi OS before Debian 12: /boot/cmdline.txt; if config.txt beside it has \
                     os_prefix=current/, as on newer Ubuntu: /boot/firmware/current/cmdline.txt), \
                     then reboot.",
            by_hand: true,
        }),
        lasts: "Kernel updates keep it. With os_prefix=current/, check the file after each update.",
        sources: &[
            "https://www.raspberrypi.com/documentation/computers/config_txt.html#os_prefix",
            "https://www.raspberrypi.com/documentation/computers/configuration.html#kernel-command-line-cmdline-txt",
        ],
    },
    System {
        name: "Armbian",
        sign: "a system named Armbian, or `ubootpart=` on the command line; no BOOT_IMAGE",
        is: |signs| {
            without_boot_loader(signs)
                && (signs.os.pretty_name.contains("Armbian")
                    || signs.cmdline.has_prefix("ubootpart="))
        },
        method: Method::Steps(Steps {
            set: "Armbian: if /boot/armbianEnv.txt has a line extraargs=, add {parameter} to the \
                  end of that line. If not, run `sed -i '$ a extraargs={parameter}' \
                  /boot/armbianEnv.txt` as root. If there is no such file, add it to the end of \
                  the line APPEND in /boot/extlinux/extlinux.conf. Then reboot.",
            replace: None,
            remove: "Armbian: remove {parameter} from extraargs in /boot/armbianEnv.txt, or from \
                     the line APPEND in /boot/extlinux/extlinux.conf, then reboot.",
            by_hand: true,
        }),
        lasts: "",
        sources: &[
            "https://docs.armbian.com/User-Guide_Advanced-Configuration/",
            "https://github.com/armbian/build/blob/main/config/bootscripts/boot-rockchip64.cmd",
        ],
    },
    System {
        name: "NVIDIA Jetson",
        sign: "kernel release with `-tegra`; no BOOT_IMAGE",
        is: |signs| without_boot_loader(signs) && signs.release.contains("-tegra"),
        method: Method::Steps(Steps {
            set: "Jetson: add {parameter} to the end of the line APPEND of the entry that DEFAULT \
                  names in /boot/extlinux/extlinux.conf, then reboot. If there is an \
                  extlinux.conf.sig beside it (UEFI Secure Boot), the file is signed: sign it \
                  again before the reboot, or the board does not boot.",
            replace: None,
            remove: "Jetson: remove {parameter} from the line APPEND in \
                     /boot/extlinux/extlinux.conf, then reboot. If there is an extlinux.conf.sig \
                     beside it (UEFI Secure Boot), sign the file again before the reboot.",
            by_hand: true,
        }),
        lasts: "",
        sources: &[
            "https://docs.nvidia.com/jetson/archives/r36.4.4/DeveloperGuide/AR/BootArchitecture.html",
            "https://docs.nvidia.com/jetson/archives/r36.4/DeveloperGuide/SD/Security.html",
        ],
    },
    System {
        name: "Boards with U-Boot",
        sign: "arm, arm64 or RISC-V, with `rootwait` on the command line; neither BOOT_IMAGE nor \
               `initrd=` with backslashes",
        is: |signs| {
            let architectures = ["aarch64", "armv7l", "riscv64"];
            without_boot_loader(signs)
                && architectures.contains(&signs.machine)
                && signs.cmdline.has("rootwait")
        },
        method: Method::Steps(Steps {
            set: "The boot loader left no trace on the command line, which is typical of U-Boot. \
                  If there is /boot/extlinux/extlinux.conf, add {parameter} to the end of its line \
                  APPEND, then reboot. If there is none, add it to the kernel's command line in \
                  the boot loader's configuration (the script from which boot.scr is made, or the \
                  variable bootargs).",
            replace: None,
            remove: "The boot loader left no trace on the command line, which is typical of \
                     U-Boot. If there is /boot/extlinux/extlinux.conf, remove {parameter} from its \
                     line APPEND, then reboot. If there is none, remove it from the boot loader's \
                     configuration (the script from which boot.scr is made, or the variable \
                     bootargs).",
            by_hand: true,
        }),
        lasts: "If u-boot-menu writes the file, it undoes the change: set U_BOOT_PARAMETERS in \
                /etc/default/u-boot and run u-boot-update instead.",
        sources: &[
            "https://docs.u-boot.org/en/latest/develop/distro.html",
            "https://manpages.debian.org/bookworm/u-boot-menu/u-boot-update.8.en.html",
        ],
    },
];

/// Whether neither GRUB nor an EFI stub has left a sign.
fn without_boot_loader(signs: &Signs<'_>) -> bool {
    signs.boot == Boot::Unknown
}

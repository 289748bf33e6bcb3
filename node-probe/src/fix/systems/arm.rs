//! Boards: systems that firmware or U-Boot starts, mostly on arm64.

use super::signs::{Boot, Signs};
use super::{Steps, System, Way};

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
        way: Way::Steps(Steps {
            set: "Raspberry Pi: as root run `sed -i '1 s/$/ {parameter}/' \
                  /boot/firmware/cmdline.txt` (the file is one line; Raspberry Pi OS before Debian \
                  12 has it as /boot/cmdline.txt, Alpine as cmdline.txt on the boot medium; where \
                  config.txt beside it has os_prefix=current/, as on newer Ubuntu, change \
                  /boot/firmware/current/cmdline.txt instead), then reboot.",
            replace: None,
            remove: "Raspberry Pi: take {parameter} out of /boot/firmware/cmdline.txt (Raspberry \
                     Pi OS before Debian 12: /boot/cmdline.txt; where config.txt beside it has \
                     os_prefix=current/, as on newer Ubuntu: /boot/firmware/current/cmdline.txt), \
                     then reboot.",
            by_hand: true,
        }),
        lasts: "Kernel updates keep it. With os_prefix=current/ look at the file again after one.",
        sources: &[
            "https://www.raspberrypi.com/documentation/computers/config_txt.html#os_prefix",
            "https://www.raspberrypi.com/documentation/computers/configuration.html#kernel-command-line-cmdline-txt",
        ],
    },
    System {
        name: "Armbian",
        sign: "a system called Armbian, or `ubootpart=` on the command line; no BOOT_IMAGE",
        is: |signs| {
            without_boot_loader(signs)
                && (signs.os.pretty_name.contains("Armbian")
                    || signs.cmdline.has_prefix("ubootpart="))
        },
        way: Way::Steps(Steps {
            set: "Armbian: where /boot/armbianEnv.txt has a line extraargs=, add {parameter} to \
                  its end; else as root run `sed -i '$ a extraargs={parameter}' \
                  /boot/armbianEnv.txt`. Where there is no such file, add it to the end of the \
                  line APPEND in /boot/extlinux/extlinux.conf. Then reboot.",
            replace: None,
            remove: "Armbian: take {parameter} out of extraargs in /boot/armbianEnv.txt, or out of \
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
        way: Way::Steps(Steps {
            set: "Jetson: add {parameter} to the end of the line APPEND of the entry that DEFAULT \
                  names in /boot/extlinux/extlinux.conf, then reboot. Where there is an \
                  extlinux.conf.sig beside it (UEFI Secure Boot), the file is signed: sign it anew \
                  before the reboot, or the board does not boot with it.",
            replace: None,
            remove: "Jetson: take {parameter} out of the line APPEND in \
                     /boot/extlinux/extlinux.conf, then reboot. Where there is an \
                     extlinux.conf.sig beside it (UEFI Secure Boot), sign the file anew before the \
                     reboot.",
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
        way: Way::Steps(Steps {
            set: "No boot loader shows itself, as with U-Boot. Where there is \
                  /boot/extlinux/extlinux.conf, add {parameter} to the end of its line APPEND, \
                  then reboot. Where there is not, add it to the kernel's command line in the boot \
                  loader's configuration (the script that boot.scr is made from, or the variable \
                  bootargs).",
            replace: None,
            remove: "No boot loader shows itself, as with U-Boot. Where there is \
                     /boot/extlinux/extlinux.conf, take {parameter} out of its line APPEND, then \
                     reboot. Where there is not, take it out of the boot loader's configuration \
                     (the script that boot.scr is made from, or the variable bootargs).",
            by_hand: true,
        }),
        lasts: "Where u-boot-menu writes the file, set U_BOOT_PARAMETERS in /etc/default/u-boot \
                and run u-boot-update instead.",
        sources: &[
            "https://docs.u-boot.org/en/latest/develop/distro.html",
            "https://manpages.debian.org/bookworm/u-boot-menu/u-boot-update.8.en.html",
        ],
    },
];

/// Neither GRUB nor an EFI stub has left its mark.
fn without_boot_loader(signs: &Signs<'_>) -> bool {
    signs.boot == Boot::Unknown
}

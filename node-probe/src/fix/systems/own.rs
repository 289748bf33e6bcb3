//! Installed systems with a way of their own.

use super::signs::{Boot, Maker};
use super::{Steps, System, Way};

pub(super) const ROWS: &[System] = &[
    System {
        name: "NixOS",
        sign: "ID=nixos, or `init=/nix/store/…` on the command line",
        is: |signs| signs.is(&["nixos"]) || signs.cmdline.has_prefix("init=/nix/store/"),
        way: Way::Steps(Steps {
            set: "NixOS: put `security.{name} = lib.mkForce [ {items} ];` into the configuration \
                  (before NixOS 25.05 `boot.kernelParams = [ \"{parameter}\" ];`), run \
                  `nixos-rebuild boot` as root, then reboot.",
            replace: None,
            remove: "NixOS: take {parameter} out of boot.kernelParams in the configuration, run \
                     `nixos-rebuild boot` as root, then reboot.",
            by_hand: false,
        }),
        lasts: "The configuration makes it last; an edit of the boot loader's entries is undone by \
                the next rebuild.",
        sources: &[
            "https://github.com/NixOS/nixpkgs/blob/master/nixos/modules/security/default.nix",
            "https://wiki.nixos.org/wiki/Linux_kernel",
        ],
    },
    System {
        name: "Guix System",
        sign: "ID=guix",
        is: |signs| signs.is(&["guix"]),
        way: Way::Steps(Steps {
            set: "Guix: put `(kernel-arguments (append %default-kernel-arguments (list \
                  \"{parameter}\")))` into the operating-system declaration; where that has \
                  kernel-arguments already, add \"{parameter}\" to the end of their list instead. \
                  Run `guix system reconfigure` with its file as root, then reboot.",
            replace: None,
            remove: "Guix: take {parameter} out of kernel-arguments in the operating-system \
                     declaration, run `guix system reconfigure` with its file, then reboot.",
            by_hand: false,
        }),
        lasts: "The declaration makes it last.",
        sources: &["https://guix.gnu.org/manual/en/html_node/operating_002dsystem-Reference.html"],
    },
    System {
        name: "Proxmox VE with proxmox-boot-tool",
        sign: "`initrd=\\EFI\\proxmox\\…` on the command line",
        is: |signs| {
            signs
                .cmdline
                .value("initrd")
                .is_some_and(|path| path.to_ascii_lowercase().starts_with("\\efi\\proxmox\\"))
        },
        way: Way::Steps(Steps {
            set: "Proxmox: as root run `sed -i '1 s/$/ {parameter}/' /etc/kernel/cmdline` (the \
                  file is one line), then `proxmox-boot-tool refresh`, then reboot.",
            replace: None,
            remove: "Proxmox: take {parameter} out of /etc/kernel/cmdline, run `proxmox-boot-tool \
                     refresh` as root, then reboot.",
            by_hand: true,
        }),
        lasts: "",
        sources: &[
            "https://pve.proxmox.com/pve-docs/chapter-sysadmin.html#sysboot_edit_kernel_cmdline",
        ],
    },
    System {
        name: "TrueNAS",
        sign: "kernel release with `truenas`",
        is: |signs| signs.release.contains("truenas"),
        way: Way::Steps(Steps {
            set: "TrueNAS: read `midclt call system.advanced.config`, and run `midclt call \
                  system.advanced.update '{\"kernel_extra_options\": \"{parameter}\"}'` with what \
                  kernel_extra_options had before it, then reboot.",
            replace: None,
            remove: "TrueNAS: take {parameter} out of kernel_extra_options (`midclt call \
                     system.advanced.config` shows it, `midclt call system.advanced.update` sets \
                     it), then reboot.",
            by_hand: true,
        }),
        lasts: "The setting makes it last: its root is read-only, and updates replace it.",
        sources: &[
            "https://github.com/truenas/middleware/blob/master/src/middlewared/middlewared/plugins/system_advanced/config.py",
        ],
    },
    System {
        name: "Pop!_OS with systemd-boot",
        sign: "ID=pop and `initrd=` with backslashes on the command line",
        is: |signs| {
            signs.is(&["pop"]) && [Boot::EfiStub, Boot::KernelInstall].contains(&signs.boot)
        },
        way: Way::Steps(Steps {
            set: "Pop!_OS: run `sudo kernelstub -a '{parameter}'`, then reboot.",
            replace: Some(
                "Pop!_OS: run `sudo kernelstub -d '{old}'` and `sudo kernelstub -a '{parameter}'`, \
                 then reboot.",
            ),
            remove: "Pop!_OS: run `sudo kernelstub -d '{parameter}'`, then reboot.",
            by_hand: true,
        }),
        lasts: "Kernel updates keep it; an edit of the entry's file they undo.",
        sources: &["https://github.com/pop-os/kernelstub"],
    },
    System {
        name: "Alpine with Syslinux",
        sign: "ID=alpine and BOOT_IMAGE without a folder",
        is: |signs| signs.is(&["alpine"]) && signs.boot == Boot::Syslinux,
        way: Way::Steps(Steps {
            set: "Alpine: add {parameter} to the end of default_kernel_opts (inside its quotes) in \
                  /etc/update-extlinux.conf, run `update-extlinux` as root, then reboot.",
            replace: None,
            remove: "Alpine: take {parameter} out of default_kernel_opts in \
                     /etc/update-extlinux.conf, run `update-extlinux` as root, then reboot.",
            by_hand: true,
        }),
        lasts: "An edit of /boot/extlinux.conf is undone by the next update-extlinux.",
        sources: &["https://wiki.alpinelinux.org/wiki/Bootloaders"],
    },
    System {
        name: "CBL-Mariner 2",
        sign: "ID=mariner",
        is: |signs| signs.is(&["mariner"]),
        way: Way::Steps(Steps {
            set: "CBL-Mariner 2: as root run `sed -i --follow-symlinks '/^mariner_cmdline=/ s/$/ \
                  {parameter}/' /boot/mariner.cfg`, then reboot. (Where the line linux in \
                  /boot/grub2/grub.cfg has {name}= behind $mariner_cmdline, that counts: change it \
                  there.)",
            replace: None,
            remove: "CBL-Mariner 2: take {parameter} out of mariner_cmdline in /boot/mariner.cfg; \
                     where it is not there, out of the line linux in /boot/grub2/grub.cfg. Then \
                     reboot.",
            by_hand: true,
        }),
        lasts: "A new kernel package brings a file of its own, and /boot/mariner.cfg then points \
                to that: repeat the change.",
        sources: &[
            "https://github.com/microsoft/azurelinux/blob/2.0/SPECS/kernel/kernel.spec",
            "https://github.com/microsoft/azurelinux/blob/2.0/toolkit/tools/internal/resources/assets/grub2/grub.cfg",
        ],
    },
    System {
        name: "Photon OS",
        sign: "ID=photon, or a kernel release with `.ph` and a number, and BOOT_IMAGE with a path, \
               without `initrd=`",
        is: |signs| {
            (signs.is(&["photon"]) || signs.kernel == Some(Maker::Photon))
                && signs.grub()
                && !signs.cmdline.has_prefix("ostree=")
        },
        way: Way::Steps(Steps {
            set: "Photon: add {parameter} to the end of the line that begins with linux in \
                  /boot/grub2/grub.cfg, then reboot.",
            replace: None,
            remove: "Photon: take {parameter} out of the line that begins with linux in \
                     /boot/grub2/grub.cfg, or out of /boot/photon.cfg, then reboot.",
            by_hand: true,
        }),
        lasts: "Kernel packages change /boot/photon.cfg only.",
        sources: &[
            "https://github.com/vmware/dod-compliance-and-automation/blob/master/photon/5.0/v3r1-srg/inspec/vmware-photon-5.0-stig-baseline/controls/PHTN-50-000182.rb",
            "https://github.com/vmware/photon/blob/master/docs/photon_troubleshoot/Troubleshooting-linuxkernel.md",
        ],
    },
    System {
        name: "systemd-boot with kernel-install",
        sign: "`initrd=` with a folder that is named after the machine's id, with backslashes, on \
               the command line",
        is: |signs| signs.boot == Boot::KernelInstall,
        way: Way::Steps(Steps {
            set: "systemd-boot: add {parameter} to the end of the one line of /etc/kernel/cmdline. \
                  (If there is no such file, write it first, with the words of /proc/cmdline but \
                  initrd=.) As root run `kernel-install add-all` (on Debian's family, whose \
                  kernels are in /boot, and before systemd 255 `kernel-install add $(uname -r) \
                  /boot/vmlinuz-$(uname -r)`), then reboot.",
            replace: None,
            remove: "systemd-boot: take {parameter} out of /etc/kernel/cmdline, run \
                     `kernel-install add-all` as root (on Debian's family, whose kernels are in \
                     /boot, and before systemd 255 `kernel-install add $(uname -r) \
                     /boot/vmlinuz-$(uname -r)`), then reboot.",
            by_hand: true,
        }),
        lasts: "/etc/kernel/cmdline makes it last: kernel-install writes an entry for each new \
                kernel.",
        sources: &[
            "https://www.freedesktop.org/software/systemd/man/latest/kernel-install.html",
            "https://github.com/systemd/systemd/issues/37890",
        ],
    },
    System {
        name: "Arch and its family with an EFI stub (systemd-boot, rEFInd)",
        sign: "ID or ID_LIKE arch, and `initrd=` with backslashes on the command line",
        is: |signs| signs.os.is("arch") && signs.boot == Boot::EfiStub,
        way: Way::Steps(Steps {
            set: "systemd-boot (`bootctl status` names it): add {parameter} to the end of the line \
                  options of the entry in /boot/loader/entries (or /efi/loader/entries), then \
                  reboot. rEFInd: to the end of the second text in quotes on each line of \
                  /boot/refind_linux.conf.",
            replace: None,
            remove: "systemd-boot (`bootctl status` names it): take {parameter} out of the line \
                     options of the entry in /boot/loader/entries (or /efi/loader/entries), then \
                     reboot. rEFInd: out of /boot/refind_linux.conf.",
            by_hand: true,
        }),
        lasts: "Where kernel-install or another tool writes the entries, change \
                /etc/kernel/cmdline instead.",
        sources: &[
            "https://wiki.archlinux.org/title/Kernel_parameters",
            "https://man.archlinux.org/man/mkrlconf.8.en",
        ],
    },
];

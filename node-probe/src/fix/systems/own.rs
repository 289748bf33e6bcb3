//! Installed systems with their own way to set parameters.

use super::signs::{Boot, Vendor};
use super::{Method, Steps, System};

pub(super) const ROWS: &[System] = &[
    System {
        name: "NixOS",
        sign: "ID=nixos, or `init=/nix/store/…` on the command line",
        is: |signs| signs.is(&["nixos"]) || signs.cmdline.has_prefix("init=/nix/store/"),
        method: Method::Steps(Steps {
            set: "NixOS: add `security.{name} = lib.mkForce [ {items} ];` to the configuration \
                  (before NixOS 25.05 `boot.kernelParams = [ \"{parameter}\" ];`), run \
                  `nixos-rebuild boot` as root, then reboot.",
            replace: None,
            remove: "NixOS: remove {parameter} from boot.kernelParams in the configuration, run \
                     `nixos-rebuild boot` as root, then reboot.",
            by_hand: false,
        }),
        lasts: "Rebuilds keep it, because it is part of the configuration. The next rebuild undoes \
                an edit of the boot loader's entries.",
        sources: &[
            "https://github.com/NixOS/nixpkgs/blob/master/nixos/modules/security/default.nix",
            "https://wiki.nixos.org/wiki/Linux_kernel",
        ],
    },
    System {
        name: "Guix System",
        sign: "ID=guix",
        is: |signs| signs.is(&["guix"]),
        method: Method::Steps(Steps {
            set: "Guix: add `(kernel-arguments (append %default-kernel-arguments (list \
                  \"{parameter}\")))` to the operating-system declaration. If it already has \
                  kernel-arguments, add \"{parameter}\" to the end of their list instead. Run \
                  `guix system reconfigure` with its file as root, then reboot.",
            replace: None,
            remove: "Guix: remove {parameter} from kernel-arguments in the operating-system \
                     declaration, run `guix system reconfigure` with its file, then reboot.",
            by_hand: false,
        }),
        lasts: "Reconfigurations keep it, because it is part of the declaration.",
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
        method: Method::Steps(Steps {
            set: "Proxmox: as root run `sed -i '1 s/$/ {parameter}/' /etc/kernel/cmdline` (the \
                  file is one line), then `proxmox-boot-tool refresh`, then reboot.",
            replace: None,
            remove: "Proxmox: remove {parameter} from /etc/kernel/cmdline, run `proxmox-boot-tool \
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
        method: Method::Steps(Steps {
            set: "TrueNAS: run `midclt call system.advanced.config` and note the value of \
                  kernel_extra_options. Then run `midclt call system.advanced.update \
                  '{\"kernel_extra_options\": \"{parameter}\"}'` with the old value in front of \
                  {parameter}, then reboot.",
            replace: None,
            remove: "TrueNAS: remove {parameter} from kernel_extra_options (`midclt call \
                     system.advanced.config` shows it, `midclt call system.advanced.update` sets \
                     it), then reboot.",
            by_hand: true,
        }),
        lasts: "Updates keep the setting. They replace the root file system, which is read-only.",
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
        method: Method::Steps(Steps {
            set: "Pop!_OS: run `sudo kernelstub -a '{parameter}'`, then reboot.",
            replace: Some(
                "Pop!_OS: run `sudo kernelstub -d '{old}'` and `sudo kernelstub -a '{parameter}'`, \
                 then reboot.",
            ),
            remove: "Pop!_OS: run `sudo kernelstub -d '{parameter}'`, then reboot.",
            by_hand: true,
        }),
        lasts: "Kernel updates keep it. They undo an edit of the boot entry's file.",
        sources: &["https://github.com/pop-os/kernelstub"],
    },
    System {
        name: "Alpine with Syslinux",
        sign: "ID=alpine and BOOT_IMAGE without a folder",
        is: |signs| signs.is(&["alpine"]) && signs.boot == Boot::Syslinux,
        method: Method::Steps(Steps {
            set: "Alpine: add {parameter} to the end of default_kernel_opts (inside its quotes) in \
                  /etc/update-extlinux.conf, run `update-extlinux` as root, then reboot.",
            replace: None,
            remove: "Alpine: remove {parameter} from default_kernel_opts in \
                     /etc/update-extlinux.conf, run `update-extlinux` as root, then reboot.",
            by_hand: true,
        }),
        lasts: "The next update-extlinux undoes an edit of /boot/extlinux.conf.",
        sources: &["https://wiki.alpinelinux.org/wiki/Bootloaders"],
    },
    System {
        name: "CBL-Mariner 2",
        sign: "ID=mariner",
        is: |signs| signs.is(&["mariner"]),
        method: Method::Steps(Steps {
            set: "CBL-Mariner 2: as root run `sed -i --follow-symlinks '/^mariner_cmdline=/ s/$/ \
                  {parameter}/' /boot/mariner.cfg`, then reboot. (If the line linux in \
                  /boot/grub2/grub.cfg has {name}= after $mariner_cmdline, the kernel follows that \
                  one: change it there.)",
            replace: None,
            remove: "CBL-Mariner 2: remove {parameter} from mariner_cmdline in /boot/mariner.cfg. \
                     If it is not there, remove it from the line linux in /boot/grub2/grub.cfg. \
                     Then reboot.",
            by_hand: true,
        }),
        lasts: "A new kernel package undoes it: the package has its own file, and \
                /boot/mariner.cfg then points to that file. Repeat the change.",
        sources: &[
            "https://github.com/microsoft/azurelinux/blob/2.0/SPECS/kernel/kernel.spec",
            "https://github.com/microsoft/azurelinux/blob/2.0/toolkit/tools/internal/resources/assets/grub2/grub.cfg",
        ],
    },
    System {
        name: "Photon OS",
        sign: "ID=photon or a kernel release with `.ph` and a number, and BOOT_IMAGE with a path, \
               without `initrd=`",
        is: |signs| {
            (signs.is(&["photon"]) || signs.kernel == Some(Vendor::Photon))
                && signs.grub()
                && !signs.cmdline.has_prefix("ostree=")
        },
        method: Method::Steps(Steps {
            set: "Photon: add {parameter} to the end of the line that begins with linux in \
                  /boot/grub2/grub.cfg, then reboot.",
            replace: None,
            remove: "Photon: remove {parameter} from the line that begins with linux in \
                     /boot/grub2/grub.cfg, or from /boot/photon.cfg, then reboot.",
            by_hand: true,
        }),
        lasts: "Kernel updates keep it. They change only /boot/photon.cfg.",
        sources: &[
            "https://github.com/vmware/dod-compliance-and-automation/blob/master/photon/5.0/v3r1-srg/inspec/vmware-photon-5.0-stig-baseline/controls/PHTN-50-000182.rb",
            "https://github.com/vmware/photon/blob/master/docs/photon_troubleshoot/Troubleshooting-linuxkernel.md",
        ],
    },
    System {
        name: "systemd-boot with kernel-install",
        sign: "`initrd=` with backslashes and a folder named after the machine's id, on the \
               command line",
        is: |signs| signs.boot == Boot::KernelInstall,
        method: Method::Steps(Steps {
            set: "systemd-boot: add {parameter} to the end of /etc/kernel/cmdline, which is one \
                  line. (If the file does not exist, create it first, with the words of \
                  /proc/cmdline except initrd=.) As root run `kernel-install add-all` (on Debian \
                  and its derivatives, whose kernels are in /boot, and before systemd 255: \
                  `kernel-install add $(uname -r) /boot/vmlinuz-$(uname -r)`), then reboot.",
            replace: None,
            remove: "systemd-boot: remove {parameter} from /etc/kernel/cmdline, run \
                     `kernel-install add-all` as root (on Debian and its derivatives, whose \
                     kernels are in /boot, and before systemd 255: `kernel-install add $(uname -r) \
                     /boot/vmlinuz-$(uname -r)`), then reboot.",
            by_hand: true,
        }),
        lasts: "Kernel updates keep it: kernel-install writes an entry with these parameters for \
                each new kernel.",
        sources: &[
            "https://www.freedesktop.org/software/systemd/man/latest/kernel-install.html",
            "https://github.com/systemd/systemd/issues/37890",
        ],
    },
    System {
        name: "Arch and its derivatives with an EFI stub (systemd-boot, rEFInd)",
        sign: "ID or ID_LIKE arch, and `initrd=` with backslashes on the command line",
        is: |signs| signs.os.is("arch") && signs.boot == Boot::EfiStub,
        method: Method::Steps(Steps {
            set: "`bootctl status` names the boot loader. systemd-boot: add {parameter} to the end \
                  of the line options of the entry in /boot/loader/entries (or \
                  /efi/loader/entries), then reboot. rEFInd: add it to the end of the second text \
                  in quotes on each line of /boot/refind_linux.conf, then reboot.",
            replace: None,
            remove: "`bootctl status` names the boot loader. systemd-boot: remove {parameter} from \
                     the line options of the entry in /boot/loader/entries (or \
                     /efi/loader/entries), then reboot. rEFInd: remove it from \
                     /boot/refind_linux.conf, then reboot.",
            by_hand: true,
        }),
        lasts: "If kernel-install or another tool writes the entries, it undoes the change: change \
                /etc/kernel/cmdline instead.",
        sources: &[
            "https://wiki.archlinux.org/title/Kernel_parameters",
            "https://man.archlinux.org/man/mkrlconf.8.en",
        ],
    },
];

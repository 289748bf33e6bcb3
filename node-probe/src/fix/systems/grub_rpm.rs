//! GRUB on systems that package kernels as Red Hat does.

use super::signs::{ANOLIS, EULER, RED_HAT, Signs, Vendor};
use super::{Method, Steps, System};

pub(super) const ROWS: &[System] = &[
    System {
        name: "Red Hat Enterprise Linux, CentOS, Rocky, Alma, Oracle (with UEK too), Fedora, \
               Amazon Linux, Alibaba Cloud Linux, Anolis, TencentOS, OpenCloudOS with GRUB",
        sign: "their ID, or a kernel release with `.el`, `.fc`, `.amzn`, `.al`, `.an`, `.tl` or \
               `.oc` and a number; and BOOT_IMAGE with a path (on s390x any)",
        is: |signs| {
            let ids = signs.is(&RED_HAT) || signs.is(&ANOLIS) || signs.is(&["fedora", "amzn"]);
            let kernels = [Vendor::RedHat, Vendor::Fedora, Vendor::Amazon, Vendor::Anolis];
            let is_family = ids || signs.kernel.is_some_and(|vendor| kernels.contains(&vendor));
            is_family && !signs.is(&EULER) && is_booted(signs)
        },
        method: Method::Steps(Steps {
            set: "GRUB: as root run `grubby --update-kernel=ALL --args='{parameter}'`, then \
                  reboot.",
            // grubby's --args replaces the old value. --remove-args with only the name would also
            // remove the new value where grubby is the C program, as on Amazon Linux 2.
            replace: None,
            remove: "GRUB: as root run `grubby --update-kernel=ALL --remove-args='{parameter}'`, \
                     then reboot.",
            by_hand: true,
        }),
        lasts: "New kernels get the parameter too. Tools that write the boot entries from \
                /etc/default/grub undo it: `grub2-mkconfig --update-bls-cmdline`, NVIDIA's driver \
                package on Amazon Linux, and grub2-mkconfig if there is no /boot/loader/entries.",
        sources: &[
            "https://github.com/rhboot/grubby/blob/main/grubby.8",
            "https://docs.redhat.com/en/documentation/red_hat_enterprise_linux/10/html/managing_monitoring_and_updating_the_kernel/changing-boot-entries-with-the-grub-configuration-file",
            "https://docs.oracle.com/en-us/iaas/oracle-linux/oci/manage-kernels-grubby.htm",
            "https://github.com/awslabs/amazon-eks-ami/pull/2746",
            "https://github.com/alibaba/anolisa/blob/main/src/os-skills/system-admin/upgrade-alinux-kernel/SKILL.md",
            "https://github.com/TencentCloud/CubeSandbox/blob/master/deploy/pvm/pvm_setup.sh",
        ],
    },
    System {
        name: "openEuler, EulerOS, Huawei Cloud EulerOS, Kylin with GRUB",
        sign: "their ID, or a kernel release with `.oe`, `.hce`, `.ky` or `eulerosv` and a number; \
               and BOOT_IMAGE with a path, without `initrd=`",
        is: |signs| (signs.is(&EULER) || signs.kernel == Some(Vendor::Euler)) && signs.grub(),
        method: Method::Steps(Steps {
            set: "GRUB: as root run `grubby --update-kernel=ALL --args='{parameter}'`, then \
                  reboot. If there is no grubby, run `sed -i '$ a \
                  GRUB_CMDLINE_LINUX_DEFAULT=\"$GRUB_CMDLINE_LINUX_DEFAULT {parameter}\"' \
                  /etc/default/grub`, then `grub2-mkconfig -o FILE`, where FILE is the grub.cfg \
                  that `grep -l menuentry /boot/efi/EFI/*/grub.cfg /boot/grub2/grub.cfg` prints \
                  (with UEFI usually /boot/efi/EFI/openEuler/grub.cfg).",
            replace: None,
            remove: "GRUB: as root run `grubby --update-kernel=ALL --remove-args='{parameter}'`, \
                     then reboot. If there is no grubby, remove it from /etc/default/grub and run \
                     `grub2-mkconfig -o FILE`, where FILE is the grub.cfg that `grep -l menuentry \
                     /boot/efi/EFI/*/grub.cfg /boot/grub2/grub.cfg` prints (with UEFI usually \
                     /boot/efi/EFI/openEuler/grub.cfg).",
            by_hand: true,
        }),
        lasts: "New kernels get the parameter too. grub2-mkconfig undoes what grubby has set.",
        sources: &[
            "https://github.com/rhboot/grubby/blob/main/grubby.8",
            "https://github.com/openeuler-mirror/docs/blob/master/docs/en/docs/Administration/basic-configuration.md",
        ],
    },
    System {
        name: "Azure Linux 3",
        sign: "ID=azurelinux and BOOT_IMAGE with a path, without `initrd=`",
        is: |signs| signs.is(&["azurelinux"]) && signs.grub(),
        method: Method::Steps(Steps {
            // The parameters of GRUB_CMDLINE_LINUX_DEFAULT come last, and AKS puts its own lsm=
            // there.
            set: "GRUB: as root run `sed -i '$ a \
                  GRUB_CMDLINE_LINUX_DEFAULT=\"$GRUB_CMDLINE_LINUX_DEFAULT {parameter}\"' \
                  /etc/default/grub`, then `grub2-mkconfig -o /boot/grub2/grub.cfg`, then reboot. \
                  If there is no /etc/default/grub, grub.cfg was not written by grub2-mkconfig: do \
                  not run it, and add {parameter} to the end of the line that begins with linux in \
                  /boot/grub2/grub.cfg instead.",
            replace: None,
            remove: "GRUB: remove {parameter} from /etc/default/grub, run `grub2-mkconfig -o \
                     /boot/grub2/grub.cfg` as root, then reboot. If there is no /etc/default/grub, \
                     remove it from the line that begins with linux in /boot/grub2/grub.cfg \
                     instead.",
            by_hand: true,
        }),
        lasts: "Kernel updates keep it.",
        sources: &[
            "https://github.com/microsoft/azurelinux/blob/3.0/toolkit/tools/internal/resources/assets/grub2/grub",
            "https://github.com/microsoft/azurelinux/blob/3.0/toolkit/docs/formats/imageconfig.md",
            "https://github.com/Azure/AgentBaker/blob/main/vhdbuilder/packer/install-dependencies.sh",
        ],
    },
];

/// By GRUB, or on s390x by zipl, which grubby knows as well.
fn is_booted(signs: &Signs<'_>) -> bool {
    signs.grub() || (signs.machine == "s390x" && signs.cmdline.boot_image.is_some())
}

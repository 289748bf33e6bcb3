//! GRUB on systems that package kernels as Red Hat does.

use super::signs::{ANOLIS, EULER, Maker, RED_HAT, Signs};
use super::{Steps, System, Way};

pub(super) const ROWS: &[System] = &[
    System {
        name: "Red Hat Enterprise Linux, CentOS, Rocky, Alma, Oracle (with UEK too), Fedora, \
               Amazon Linux, Alibaba Cloud Linux, Anolis, TencentOS, OpenCloudOS with GRUB",
        sign: "their ID, or a kernel release with `.el`, `.fc`, `.amzn`, `.al`, `.an`, `.tl` or \
               `.oc` and a number; and BOOT_IMAGE with a path (on s390x any)",
        is: |signs| {
            let ids = signs.is(&RED_HAT) || signs.is(&ANOLIS) || signs.is(&["fedora", "amzn"]);
            let kernels = [Maker::RedHat, Maker::Fedora, Maker::Amazon, Maker::Anolis];
            let is_family = ids || signs.kernel.is_some_and(|maker| kernels.contains(&maker));
            is_family && !signs.is(&EULER) && is_booted(signs)
        },
        way: Way::Steps(Steps {
            set: "GRUB: as root run `grubby --update-kernel=ALL --args='{parameter}'`, then \
                  reboot.",
            // grubby's --args replaces the old value. --remove-args beside it, with the name alone,
            // would take the new value off again where grubby is the program in C, as on Amazon
            // Linux 2.
            replace: None,
            remove: "GRUB: as root run `grubby --update-kernel=ALL --remove-args='{parameter}'`, \
                     then reboot.",
            by_hand: true,
        }),
        lasts: "New kernels get the parameter too. What writes the boot entries anew from \
                /etc/default/grub undoes it: `grub2-mkconfig --update-bls-cmdline`, NVIDIA's \
                driver package on Amazon Linux, and grub2-mkconfig where there is no \
                /boot/loader/entries.",
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
        is: |signs| (signs.is(&EULER) || signs.kernel == Some(Maker::Euler)) && signs.grub(),
        way: Way::Steps(Steps {
            set: "GRUB: as root run `grubby --update-kernel=ALL --args='{parameter}'`, then \
                  reboot. Where there is no grubby, run `sed -i '$ a \
                  GRUB_CMDLINE_LINUX_DEFAULT=\"$GRUB_CMDLINE_LINUX_DEFAULT {parameter}\"' \
                  /etc/default/grub`, then `grub2-mkconfig -o FILE`, where FILE is the grub.cfg \
                  that `grep -l menuentry /boot/efi/EFI/*/grub.cfg /boot/grub2/grub.cfg` names \
                  (with UEFI mostly /boot/efi/EFI/openEuler/grub.cfg).",
            replace: None,
            remove: "GRUB: as root run `grubby --update-kernel=ALL --remove-args='{parameter}'`, \
                     then reboot. Where there is no grubby, take it out of /etc/default/grub and \
                     run `grub2-mkconfig -o FILE`, where FILE is the grub.cfg that `grep -l \
                     menuentry /boot/efi/EFI/*/grub.cfg /boot/grub2/grub.cfg` names (with UEFI \
                     mostly /boot/efi/EFI/openEuler/grub.cfg).",
            by_hand: true,
        }),
        lasts: "New kernels get the parameter too. What grubby has set is undone by \
                grub2-mkconfig.",
        sources: &[
            "https://github.com/rhboot/grubby/blob/main/grubby.8",
            "https://github.com/openeuler-mirror/docs/blob/master/docs/en/docs/Administration/basic-configuration.md",
        ],
    },
    System {
        name: "Azure Linux 3",
        sign: "ID=azurelinux and BOOT_IMAGE with a path, without `initrd=`",
        is: |signs| signs.is(&["azurelinux"]) && signs.grub(),
        way: Way::Steps(Steps {
            // The parameters of GRUB_CMDLINE_LINUX_DEFAULT stand last, and AKS puts its own lsm=
            // there.
            set: "GRUB: as root run `sed -i '$ a \
                  GRUB_CMDLINE_LINUX_DEFAULT=\"$GRUB_CMDLINE_LINUX_DEFAULT {parameter}\"' \
                  /etc/default/grub`, then `grub2-mkconfig -o /boot/grub2/grub.cfg`, then reboot. \
                  Where there is no /etc/default/grub, grub.cfg was not made by grub2-mkconfig: \
                  leave that out, and add {parameter} to the end of the line that begins with \
                  linux in /boot/grub2/grub.cfg instead.",
            replace: None,
            remove: "GRUB: take {parameter} out of /etc/default/grub, run `grub2-mkconfig -o \
                     /boot/grub2/grub.cfg` as root, then reboot. Where there is no \
                     /etc/default/grub, take it out of the line that begins with linux in \
                     /boot/grub2/grub.cfg instead.",
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

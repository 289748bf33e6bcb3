//! GRUB on systems that package kernels as Red Hat does.

use super::signs::{ANOLIS, EULER, Maker, RED_HAT, Signs};
use super::{Steps, System, Way};

pub(super) const ROWS: &[System] = &[
    System {
        name: "Red Hat Enterprise Linux, CentOS, Rocky, Alma, Oracle (with UEK too), Fedora, Amazon Linux, Alibaba Cloud \
               Linux, Anolis, TencentOS, OpenCloudOS with GRUB",
        sign: "their ID, or a kernel release with `.el`, `.fc`, `.amzn`, `.al`, `.an`, `.tl` or `.oc` and a number; and BOOT_IMAGE \
               with a path (on s390x any)",
        is: |signs| {
            let ids = signs.is(&RED_HAT) || signs.is(&ANOLIS) || signs.is(&["fedora", "amzn"]);
            let kernels = [Maker::RedHat, Maker::Fedora, Maker::Amazon, Maker::Anolis];
            let is_family = ids || signs.kernel.is_some_and(|maker| kernels.contains(&maker));
            is_family && !signs.is(&EULER) && is_booted(signs)
        },
        way: Way::Steps(Steps {
            set: "GRUB: as root run `grubby --update-kernel=ALL --args='{parameter}'`, then reboot.",
            replace: Some(
                "GRUB: as root run `grubby --update-kernel=ALL --remove-args={name} --args='{parameter}'`, then reboot.",
            ),
            remove: "GRUB: as root run `grubby --update-kernel=ALL --remove-args='{parameter}'`, then reboot.",
            by_hand: true,
        }),
        lasts: "New kernels get the parameter too.",
        sources: &[
            "https://docs.redhat.com/en/documentation/red_hat_enterprise_linux/10/html/managing_monitoring_and_updating_the_kernel/changing-boot-entries-with-the-grub-configuration-file",
            "https://docs.oracle.com/en-us/iaas/oracle-linux/oci/manage-kernels-grubby.htm",
        ],
    },
    System {
        name: "openEuler, EulerOS, Huawei Cloud EulerOS, Kylin with GRUB",
        sign: "their ID, or a kernel release with `.oe`, `.hce`, `.ky` or `eulerosv` and a number; and BOOT_IMAGE with a path, without `initrd=`",
        is: |signs| (signs.is(&EULER) || signs.kernel == Some(Maker::Euler)) && signs.grub(),
        way: Way::Steps(Steps {
            set: "GRUB: as root run `grubby --update-kernel=ALL --args='{parameter}'`, then reboot. Where there is no grubby, run \
                  `echo 'GRUB_CMDLINE_LINUX=\"$GRUB_CMDLINE_LINUX {parameter}\"' >> /etc/default/grub`, and with UEFI \
                  `grub2-mkconfig -o /boot/efi/EFI/openEuler/grub.cfg` (the folder is called after the system: `ls \
                  /boot/efi/EFI`), without UEFI `grub2-mkconfig -o /boot/grub2/grub.cfg`.",
            replace: Some(
                "GRUB: as root run `grubby --update-kernel=ALL --remove-args={name} --args='{parameter}'`, then reboot. Where \
                 there is no grubby, run `echo 'GRUB_CMDLINE_LINUX=\"$GRUB_CMDLINE_LINUX {parameter}\"' >> /etc/default/grub`, \
                 and with UEFI `grub2-mkconfig -o /boot/efi/EFI/openEuler/grub.cfg` (the folder is called after the system: \
                 `ls /boot/efi/EFI`), without UEFI `grub2-mkconfig -o /boot/grub2/grub.cfg`.",
            ),
            remove: "GRUB: as root run `grubby --update-kernel=ALL --remove-args='{parameter}'`, then reboot. Where there is no \
                     grubby, take it out of /etc/default/grub and run `grub2-mkconfig -o /boot/efi/EFI/openEuler/grub.cfg` \
                     with UEFI (the folder is called after the system), without UEFI `grub2-mkconfig -o \
                     /boot/grub2/grub.cfg`.",
            by_hand: true,
        }),
        lasts: "New kernels get the parameter too.",
        sources: &["https://docs.openeuler.org/en/docs/22.03_LTS/docs/Administration/configuring-services.html"],
    },
    System {
        name: "Azure Linux 3",
        sign: "ID=azurelinux and BOOT_IMAGE with a path, without `initrd=`",
        is: |signs| signs.is(&["azurelinux"]) && signs.grub(),
        way: Way::Steps(Steps {
            set: "GRUB: as root run `echo 'GRUB_CMDLINE_LINUX=\"$GRUB_CMDLINE_LINUX {parameter}\"' >> /etc/default/grub`, then \
                  `grub2-mkconfig -o /boot/grub2/grub.cfg`, then reboot.",
            replace: None,
            remove: "GRUB: take {parameter} out of /etc/default/grub, run `grub2-mkconfig -o /boot/grub2/grub.cfg` as root, \
                     then reboot.",
            by_hand: true,
        }),
        lasts: "Kernel updates keep it.",
        sources: &[
            "https://microsoft.github.io/azure-linux-image-tools/imagecustomizer/api/configuration/kernelcommandline.html",
        ],
    },
];

/// By GRUB, or on s390x by zipl, which grubby knows as well.
fn is_booted(signs: &Signs<'_>) -> bool {
    signs.grub() || (signs.machine == "s390x" && signs.cmdline.boot_image.is_some())
}

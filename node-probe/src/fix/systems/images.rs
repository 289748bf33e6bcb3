//! Systems that are images: what is changed is the image's configuration or what it was started
//! with.

use super::{Steps, System, Way};

pub(super) const ROWS: &[System] = &[
    System {
        name: "Bottlerocket",
        sign: "ID=bottlerocket",
        is: |signs| signs.is(&["bottlerocket"]),
        way: Way::Steps(Steps {
            set: "Bottlerocket. This node: run in its admin container (`sudo sheltie` \
                  first)\napiclient apply <<'EOF'\n[settings.boot.kernel-parameters]\n\"{name}\" = \
                  [\"{value}\"]\nEOF\nand then `apiclient reboot`. New nodes: put this into the \
                  user data, which is read at the first boot \
                  only:\n[settings.boot]\nreboot-to-reconcile = \
                  true\n[settings.boot.kernel-parameters]\n\"{name}\" = [\"{value}\"]",
            replace: None,
            remove: "Bottlerocket. This node: run in its admin container (`sudo sheltie` \
                     first)\napiclient apply \
                     <<'EOF'\n[settings.boot.kernel-parameters]\n\"{name}\" = \
                     [\"integrity\"]\nEOF\nand then `apiclient reboot`. New nodes: take \
                     {parameter} out of the user data, which is read at the first boot only.",
            by_hand: false,
        }),
        lasts: "",
        sources: &[
            "https://bottlerocket.dev/en/os/1.45.x/api/settings/boot",
            "https://bottlerocket.dev/en/os/1.45.x/api/settings/kernel",
        ],
    },
    System {
        name: "Talos that GRUB boots",
        sign: "ID=talos and BOOT_IMAGE on the command line",
        is: |signs| signs.is(&["talos"]) && signs.cmdline.boot_image.is_some(),
        way: Way::Steps(Steps {
            set: "Talos: put {parameter} into customization.extraKernelArgs of the Image Factory \
                  schematic, and run talosctl upgrade --image with the installer image of that \
                  schematic. This node was booted by GRUB: where machine.install.grubUseUKICmdline \
                  is not true (before Talos 1.12 always) put it into \
                  machine.install.extraKernelArgs of its machine configuration instead, with \
                  talosctl upgrade after that.",
            replace: None,
            remove: "Talos: take {parameter} out of machine.install.extraKernelArgs of the machine \
                     configuration, or out of customization.extraKernelArgs of the Image Factory \
                     schematic; where it is in neither, the image itself sets it: add `-{name}` \
                     and `{name}=integrity` there. Then run talosctl upgrade --image with the \
                     installer image of that schematic.",
            by_hand: false,
        }),
        lasts: "An upgrade to an image of another schematic undoes it.",
        sources: &[
            "https://docs.siderolabs.com/talos/v1.12/platform-specific-installations/bare-metal-platforms/bootloader",
        ],
    },
    System {
        name: "Talos with a unified kernel image (systemd-boot, SecureBoot)",
        sign: "ID=talos and no BOOT_IMAGE",
        is: |signs| signs.is(&["talos"]),
        way: Way::Steps(Steps {
            set: "Talos: put {parameter} into customization.extraKernelArgs of the Image Factory \
                  schematic, and run talosctl upgrade --image with the installer image of that \
                  schematic.",
            replace: None,
            remove: "Talos: the SecureBoot images set {parameter} by themselves. Add the two lines \
                     `-{name}` and `{name}=integrity` to customization.extraKernelArgs of the \
                     Image Factory schematic (the first takes away what the image sets), and run \
                     talosctl upgrade --image with the installer image of the new schematic. Where \
                     you put {parameter} into extraKernelArgs yourself, take it out of there.",
            by_hand: false,
        }),
        lasts: "An upgrade to an image of another schematic undoes it. \
                machine.install.extraKernelArgs has no effect here.",
        sources: &[
            "https://docs.siderolabs.com/talos/v1.12/platform-specific-installations/bare-metal-platforms/bootloader",
            "https://docs.siderolabs.com/talos/v1.12/platform-specific-installations/bare-metal-platforms/secureboot",
            "https://github.com/siderolabs/talos/issues/8008",
        ],
    },
    System {
        name: "Flatcar, and CoreOS Container Linux before it",
        sign: "ID=flatcar or ID=coreos",
        is: |signs| signs.is(&["flatcar", "coreos"]),
        way: Way::Steps(Steps {
            set: "Flatcar: as root run `printf '\\nset linux_append=\"$linux_append \
                  {parameter}\"\\n' >> /usr/share/oem/grub.cfg` (on newer releases the same file \
                  as /oem/grub.cfg), then reboot. New nodes: kernel_arguments.should_exist of the \
                  Butane configuration.",
            replace: None,
            remove: "Flatcar: take {parameter} out of /usr/share/oem/grub.cfg and out of \
                     kernel_arguments.should_exist of the Butane configuration, then reboot.",
            by_hand: false,
        }),
        lasts: "The file is on a partition of its own, and updates keep it.",
        sources: &[
            "https://github.com/flatcar-archive/flatcar-docs/blob/main/docs/setup/customization/other-settings.md",
            "https://github.com/flatcar/Flatcar/issues/766",
        ],
    },
    System {
        name: "Ubuntu Core, and Ubuntu with TPM-backed encryption",
        sign: "`snapd_recovery_mode=` on the command line, or ID=ubuntu-core",
        is: |signs| signs.is(&["ubuntu-core"]) || signs.cmdline.has_prefix("snapd_recovery_mode="),
        way: Way::Steps(Steps {
            set: "Ubuntu Core: run `sudo snap set system \
                  system.kernel.cmdline-append='{parameter}'`, then reboot. The gadget snap has to \
                  allow {name} (kernel-cmdline.allow in gadget.yaml); a device of a \
                  dangerous-grade model takes system.kernel.dangerous-cmdline-append without that. \
                  The setting replaces what it was before: read it with `snap get system \
                  system.kernel.cmdline-append` first.",
            replace: None,
            remove: "Ubuntu Core: where `snap get system system.kernel.cmdline-append` shows \
                     {parameter}, set it anew without; where it does not, the gadget snap sets it: \
                     build that without. Then reboot.",
            by_hand: false,
        }),
        lasts: "",
        sources: &[
            "https://documentation.ubuntu.com/core/how-to-guides/manage-ubuntu-core/modify-kernel-options/",
        ],
    },
    System {
        name: "Kairos, Elemental, Harvester",
        sign: "`cos-img/`, `elemental.`, `rd.cos.` or `rd.immucore` on the command line",
        is: |signs| {
            ["cos-img/", "elemental.", "rd.immucore", "rd.cos."]
                .into_iter()
                .any(|mark| signs.cmdline.has_prefix(mark))
        },
        way: Way::Steps(Steps {
            set: "Kairos or Elemental: as root read what `grub2-editenv /oem/grubenv list` says of \
                  extra_cmdline (where there is no grub2-editenv, it is called grub-editenv). Then \
                  run `grub2-editenv /oem/grubenv set extra_cmdline='OLD {parameter}'`, where OLD \
                  is what extra_cmdline was before (the command replaces it), then reboot. On \
                  Harvester do the same with third_party_kernel_args in place of extra_cmdline. \
                  New nodes: install.grub_options.extra_cmdline of the configuration, on Harvester \
                  os.additionalKernelArguments. With Kairos' trusted boot the command line is part \
                  of the signed image: build the image anew with `auroraboot build-uki \
                  --extend-cmdline '{parameter}'` and its other options.",
            replace: None,
            remove: "Kairos, Elemental or Harvester: `grub2-editenv /oem/grubenv list` shows the \
                     variable that has {parameter} (extra_cmdline, on Harvester \
                     third_party_kernel_args): set it anew without, with `grub2-editenv \
                     /oem/grubenv set NAME='VALUE'`. Where none has it, the image sets it: build \
                     that without. Then reboot.",
            by_hand: false,
        }),
        lasts: "/oem is kept when the image is upgraded.",
        sources: &[
            "https://github.com/kairos-io/kairos-docs/blob/main/docs/reference/configuration.md",
            "https://github.com/kairos-io/kairos-docs/blob/main/docs/installation/trustedboot.mdx",
            "https://github.com/rancher/elemental-toolkit/blob/main/docs/content/en/docs/Customizing/configure_grub.md",
            "https://docs.harvesterhci.io/v1.7/upgrade/v1-6-x-to-v1-7-x/",
        ],
    },
    System {
        name: "RancherOS, BurmillaOS",
        sign: "ID=rancheros or ID=burmilla",
        is: |signs| signs.is(&["rancheros", "burmilla"]),
        way: Way::Steps(Steps {
            set: "RancherOS: run `sudo ros config syslinux` (it opens the boot loader's global.cfg \
                  in vi), add {parameter} to the end of the line that begins with APPEND, then \
                  reboot.",
            replace: None,
            remove: "RancherOS: run `sudo ros config syslinux`, take {parameter} out, then reboot.",
            by_hand: true,
        }),
        lasts: "",
        sources: &[
            "https://rancher.com/docs/os/v1.x/en/installation/configuration/adding-kernel-parameters/",
            "https://github.com/burmilla/os/blob/master/cmd/control/config.go",
        ],
    },
    System {
        name: "Fedora CoreOS, RHEL CoreOS, Silverblue, Fedora IoT, RHEL for Edge and others of \
               rpm-ostree",
        sign: "ID=rhcos, fedora-coreos or scos; ID=fedora, rhel or centos with VARIANT_ID=coreos; \
               or `ostree=` on the command line of a system of Fedora's or Red Hat's family",
        is: |signs| {
            let family = ["fedora", "rhel", "centos", "rocky", "almalinux", "ol", "scos"];
            let is_family = family.iter().any(|id| signs.os.is(id));
            signs.is(&["rhcos", "fedora-coreos", "scos"])
                || (is_family
                    && (signs.os.variant_id == "coreos" || signs.cmdline.has_prefix("ostree=")))
        },
        way: Way::Steps(Steps {
            set: "As root run `rpm-ostree kargs --append='{parameter}'`, then reboot. OpenShift: \
                  put {parameter} into spec.kernelArguments of a MachineConfig, and the nodes are \
                  rebooted one by one.",
            replace: Some(
                "As root run `rpm-ostree kargs --delete='{old}' --append='{parameter}'`, then \
                 reboot. OpenShift: put {parameter} into spec.kernelArguments of a MachineConfig, \
                 and the nodes are rebooted one by one.",
            ),
            remove: "As root run `rpm-ostree kargs --delete='{parameter}'`, then reboot. \
                     OpenShift: take {parameter} out of spec.kernelArguments of the MachineConfig \
                     that has it.",
            by_hand: false,
        }),
        lasts: "Updates keep it. On OpenShift the machine config operator undoes what it did not \
                write itself.",
        sources: &[
            "https://docs.fedoraproject.org/en-US/fedora-coreos/kernel-args/",
            "https://docs.openshift.com/container-platform/4.16/nodes/nodes/nodes-nodes-managing.html",
        ],
    },
];

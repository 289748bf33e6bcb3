//! Systems that are images. The change is made in the image's configuration, or where the image is
//! started.

use super::{Method, Steps, System};

pub(super) const ROWS: &[System] = &[
    System {
        name: "Bottlerocket",
        sign: "ID=bottlerocket",
        is: |signs| signs.is(&["bottlerocket"]),
        method: Method::Steps(Steps {
            set: "Bottlerocket. This node: run in its admin container (`sudo sheltie` \
                  first)\napiclient apply <<'EOF'\n[settings.boot.kernel-parameters]\n\"{name}\" = \
                  [\"{value}\"]\nEOF\nand then `apiclient reboot`. New nodes: add this to the user \
                  data, which is read at the first boot \
                  only:\n[settings.boot]\nreboot-to-reconcile = \
                  true\n[settings.boot.kernel-parameters]\n\"{name}\" = [\"{value}\"]",
            replace: None,
            remove: "Bottlerocket. This node: run in its admin container (`sudo sheltie` \
                     first)\napiclient apply \
                     <<'EOF'\n[settings.boot.kernel-parameters]\n\"{name}\" = \
                     [\"integrity\"]\nEOF\nand then `apiclient reboot`. New nodes: remove \
                     {parameter} from the user data, which is read at the first boot only.",
            by_hand: false,
        }),
        lasts: "",
        sources: &[
            "https://bottlerocket.dev/en/os/1.45.x/api/settings/boot",
            "https://bottlerocket.dev/en/os/1.45.x/api/settings/kernel",
        ],
    },
    System {
        name: "Talos booted by GRUB",
        sign: "ID=talos and BOOT_IMAGE on the command line",
        is: |signs| signs.is(&["talos"]) && signs.cmdline.boot_image.is_some(),
        method: Method::Steps(Steps {
            set: "Talos: add {parameter} to customization.extraKernelArgs of the Image Factory \
                  schematic, and run talosctl upgrade --image with the installer image of that \
                  schematic. This node was booted by GRUB: if machine.install.grubUseUKICmdline is \
                  not true (it never is before Talos 1.12), add the parameter to \
                  machine.install.extraKernelArgs of its machine configuration instead, then run \
                  talosctl upgrade.",
            replace: None,
            remove: "Talos: remove {parameter} from machine.install.extraKernelArgs of the machine \
                     configuration, or from customization.extraKernelArgs of the Image Factory \
                     schematic. If neither has it, the image itself sets it: add `-{name}` and \
                     `{name}=integrity` to customization.extraKernelArgs. Then run talosctl \
                     upgrade --image with the installer image of that schematic.",
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
        method: Method::Steps(Steps {
            set: "Talos: add {parameter} to customization.extraKernelArgs of the Image Factory \
                  schematic, and run talosctl upgrade --image with the installer image of that \
                  schematic.",
            replace: None,
            remove: "Talos: the SecureBoot images set {parameter} themselves. Add the two lines \
                     `-{name}` and `{name}=integrity` to customization.extraKernelArgs of the \
                     Image Factory schematic (the first removes what the image sets), and run \
                     talosctl upgrade --image with the installer image of the new schematic. If \
                     you added {parameter} to extraKernelArgs yourself, remove it there.",
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
        method: Method::Steps(Steps {
            set: "Flatcar: as root run `printf '\\nset linux_append=\"$linux_append \
                  {parameter}\"\\n' >> /usr/share/oem/grub.cfg` (on newer releases the file is \
                  /oem/grub.cfg), then reboot. New nodes: add it to kernel_arguments.should_exist \
                  of the Butane configuration.",
            replace: None,
            remove: "Flatcar: remove {parameter} from /usr/share/oem/grub.cfg and from \
                     kernel_arguments.should_exist of the Butane configuration, then reboot.",
            by_hand: false,
        }),
        lasts: "Updates keep it, because the file is on its own partition.",
        sources: &[
            "https://github.com/flatcar-archive/flatcar-docs/blob/main/docs/setup/customization/other-settings.md",
            "https://github.com/flatcar/Flatcar/issues/766",
        ],
    },
    System {
        name: "Ubuntu Core, and Ubuntu with TPM-backed encryption",
        sign: "`snapd_recovery_mode=` on the command line, or ID=ubuntu-core",
        is: |signs| signs.is(&["ubuntu-core"]) || signs.cmdline.has_prefix("snapd_recovery_mode="),
        method: Method::Steps(Steps {
            set: "Ubuntu Core: run `sudo snap set system \
                  system.kernel.cmdline-append='{parameter}'`, then reboot. The gadget snap must \
                  allow {name} (kernel-cmdline.allow in gadget.yaml); on a device of a \
                  dangerous-grade model, system.kernel.dangerous-cmdline-append works without \
                  that. The command replaces the old value of the setting: read it with `snap get \
                  system system.kernel.cmdline-append` first.",
            replace: None,
            remove: "Ubuntu Core: if `snap get system system.kernel.cmdline-append` shows \
                     {parameter}, set the value again without it. If not, the gadget snap sets the \
                     parameter: build the snap without it. Then reboot.",
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
        method: Method::Steps(Steps {
            set: "Kairos or Elemental: as root run `grub2-editenv /oem/grubenv list` and note the \
                  value of extra_cmdline. (If there is no grub2-editenv, use grub-editenv.) Then \
                  run `grub2-editenv /oem/grubenv set extra_cmdline='OLD {parameter}'`, where OLD \
                  is the old value, which the command replaces, then reboot. On Harvester use \
                  third_party_kernel_args instead of extra_cmdline. New nodes: add it to \
                  install.grub_options.extra_cmdline of the configuration, on Harvester to \
                  os.additionalKernelArguments. With Kairos' trusted boot the command line is part \
                  of the signed image: build the image again with `auroraboot build-uki \
                  --extend-cmdline '{parameter}'` and its other options.",
            replace: None,
            remove: "Kairos, Elemental or Harvester: `grub2-editenv /oem/grubenv list` shows the \
                     variable that has {parameter} (extra_cmdline, on Harvester \
                     third_party_kernel_args). Set it again without the parameter, with \
                     `grub2-editenv /oem/grubenv set NAME='VALUE'`. If no variable has it, the \
                     image sets it: build the image without it. Then reboot.",
            by_hand: false,
        }),
        lasts: "Upgrades of the image keep /oem.",
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
        method: Method::Steps(Steps {
            set: "RancherOS: run `sudo ros config syslinux` (which opens the boot loader's \
                  global.cfg in vi), add {parameter} to the end of the line that begins with \
                  APPEND, then reboot.",
            replace: None,
            remove: "RancherOS: run `sudo ros config syslinux`, remove {parameter}, then reboot.",
            by_hand: true,
        }),
        lasts: "",
        sources: &[
            "https://rancher.com/docs/os/v1.x/en/installation/configuration/adding-kernel-parameters/",
            "https://github.com/burmilla/os/blob/master/cmd/control/config.go",
        ],
    },
    System {
        name: "Fedora CoreOS, RHEL CoreOS, Silverblue, Fedora IoT, RHEL for Edge and other systems \
               with rpm-ostree",
        sign: "ID=rhcos, fedora-coreos or scos; ID=fedora, rhel or centos with VARIANT_ID=coreos; \
               or `ostree=` on the command line of a derivative of Fedora or Red Hat",
        is: |signs| {
            let family = ["fedora", "rhel", "centos", "rocky", "almalinux", "ol", "scos"];
            let is_family = family.iter().any(|id| signs.os.is(id));
            signs.is(&["rhcos", "fedora-coreos", "scos"])
                || (is_family
                    && (signs.os.variant_id == "coreos" || signs.cmdline.has_prefix("ostree=")))
        },
        method: Method::Steps(Steps {
            set: "As root run `rpm-ostree kargs --append='{parameter}'`, then reboot. OpenShift: \
                  add {parameter} to spec.kernelArguments of a MachineConfig; the nodes are then \
                  rebooted one by one.",
            replace: Some(
                "As root run `rpm-ostree kargs --delete='{old}' --append='{parameter}'`, then \
                 reboot. OpenShift: add {parameter} to spec.kernelArguments of a MachineConfig; \
                 the nodes are then rebooted one by one.",
            ),
            remove: "As root run `rpm-ostree kargs --delete='{parameter}'`, then reboot. \
                     OpenShift: remove {parameter} from spec.kernelArguments of the MachineConfig \
                     that has it.",
            by_hand: false,
        }),
        lasts: "Updates keep it. On OpenShift the machine config operator undoes changes that it \
                did not make itself.",
        sources: &[
            "https://docs.fedoraproject.org/en-US/fedora-coreos/kernel-args/",
            "https://docs.openshift.com/container-platform/4.16/nodes/nodes/nodes-nodes-managing.html",
        ],
    },
];

//! The way to a changed command line. In: the change and the facts. Out: the steps, from an editor to the reboot.

use super::machine::{Cloud, Machine};
use crate::facts::Facts;

/// A change of the kernel's command line.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Change<'a> {
    /// Give this parameter, `name=value`, in place of the one of that name that is there now.
    Set {
        /// The parameter as it has to be.
        parameter: &'a str,
        /// As it is now.
        instead: Option<&'a str>,
    },
    /// Take this parameter off.
    Remove(&'a str),
}

/// The steps that fit the system, with what makes them last where nodes are replaced.
#[must_use]
pub fn steps(change: Change<'_>, facts: &Facts) -> String {
    let machine = Machine::of(facts);
    let steps = match change {
        Change::Set { parameter, instead } => set(machine, parameter, instead),
        Change::Remove(parameter) => remove(machine, parameter),
    };
    // On the others the configuration itself is what new nodes are made with.
    let by_hand = matches!(
        machine,
        Machine::DebianGrub | Machine::Grubby | Machine::Grub | Machine::SystemdBoot | Machine::Unknown
    );
    match Cloud::of(facts).filter(|_| by_hand) {
        Some(cloud) => format!("{steps} {}", cloud.for_good()),
        None => steps,
    }
}

fn set(machine: Machine, parameter: &str, instead: Option<&str>) -> String {
    let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
    match machine {
        Machine::Bottlerocket => format!(
            "Bottlerocket: put this into the user data and restart the node:\n[settings.boot]\nreboot-to-reconcile = true\n\
             [settings.boot.kernel-parameters]\n\"{name}\" = [\"{value}\"]"
        ),
        Machine::Talos { grub } => {
            let grub = if grub {
                " This node was booted by GRUB: before Talos 1.12 machine.install.extraKernelArgs in its machine \
                 configuration takes it as well, with talosctl upgrade after that."
            } else {
                ""
            };
            format!(
                "Talos: put {parameter} into customization.extraKernelArgs of the Image Factory schematic, and run \
                 talosctl upgrade --image with the installer image of that schematic.{grub}"
            )
        }
        Machine::Flatcar => format!(
            "Flatcar: add the line `set linux_append=\"$linux_append {parameter}\"` to /oem/grub.cfg (before 2023 \
             /usr/share/oem/grub.cfg), then reboot. New nodes: kernel_arguments.should_exist of the Butane configuration."
        ),
        Machine::CoreOs => {
            let delete = instead.map_or_else(String::new, |instead| format!("--delete='{instead}' "));
            format!(
                "Run `rpm-ostree kargs {delete}--append='{parameter}'`, then reboot. OpenShift: put {parameter} into \
                 spec.kernelArguments of a MachineConfig, and the nodes are rebooted one by one."
            )
        }
        Machine::Transactional => format!(
            "Add {parameter} to the end of GRUB_CMDLINE_LINUX_DEFAULT in /etc/default/grub, run `transactional-update \
             grub.cfg`, then reboot."
        ),
        Machine::RaspberryPi => format!(
            "Raspberry Pi: add {parameter} to the end of the one line of /boot/firmware/cmdline.txt (before Debian 12 \
             /boot/cmdline.txt), then reboot."
        ),
        Machine::Wsl => format!(
            "WSL: put these lines into %UserProfile%\\.wslconfig on Windows and run `wsl --shutdown` there:\n[wsl2]\n\
             kernelCommandLine = {parameter}"
        ),
        Machine::SystemdBoot => format!(
            "systemd-boot: add {parameter} to the end of /etc/kernel/cmdline and run `kernel-install add-all` (before systemd \
             255 `kernel-install add $(uname -r) /boot/vmlinuz-$(uname -r)`), or, where the entries are written by hand, to the options line of /boot/loader/entries/*.conf; then reboot."
        ),
        Machine::DebianGrub | Machine::Grubby | Machine::Grub => set_in_grub(machine, parameter, instead),
        _ => format!("Add {parameter} to the kernel's command line in the boot loader's configuration, then reboot."),
    }
}

fn set_in_grub(machine: Machine, parameter: &str, instead: Option<&str>) -> String {
    let name = parameter.split('=').next().unwrap_or_default();
    match machine {
        Machine::DebianGrub => format!(
            "GRUB: as root run `echo 'GRUB_CMDLINE_LINUX_DEFAULT=\"$GRUB_CMDLINE_LINUX_DEFAULT {parameter}\"' > \
             /etc/default/grub.d/99-lsm.cfg`, then `update-grub`, then reboot. (The last {name}= on the command line counts.)"
        ),
        Machine::Grubby => {
            let old = instead.map_or_else(String::new, |_| format!("--remove-args={name} "));
            format!("GRUB: as root run `grubby --update-kernel=ALL {old}--args='{parameter}'`, then reboot.")
        }
        _ => format!(
            "GRUB: add {parameter} to the end of GRUB_CMDLINE_LINUX_DEFAULT in /etc/default/grub (GRUB_CMDLINE_LINUX where \
             there is no such line), run `grub2-mkconfig -o /boot/grub2/grub.cfg` (`grub-mkconfig -o /boot/grub/grub.cfg` \
             where the folder is called so), then reboot."
        ),
    }
}

fn remove(machine: Machine, parameter: &str) -> String {
    match machine {
        Machine::Bottlerocket => {
            "Bottlerocket: take it out of settings.boot.kernel-parameters in the user data, and restart the node.".to_owned()
        }
        Machine::Talos { .. } => {
            "Talos: take it out of customization.extraKernelArgs of the Image Factory schematic (or \
             machine.install.extraKernelArgs), and run talosctl upgrade --image with the installer image of that schematic."
                .to_owned()
        }
        Machine::Flatcar => "Flatcar: take it out of /oem/grub.cfg, then reboot.".to_owned(),
        Machine::CoreOs => format!(
            "Run `rpm-ostree kargs --delete='{parameter}'`, then reboot. OpenShift: take it out of spec.kernelArguments of \
             the MachineConfig that has it."
        ),
        Machine::Transactional => {
            "Take it out of /etc/default/grub, run `transactional-update grub.cfg`, then reboot.".to_owned()
        }
        Machine::RaspberryPi => "Raspberry Pi: take it out of /boot/firmware/cmdline.txt, then reboot.".to_owned(),
        Machine::Wsl => {
            "WSL: take it out of kernelCommandLine in %UserProfile%\\.wslconfig on Windows, and run `wsl --shutdown` there."
                .to_owned()
        }
        Machine::SystemdBoot => {
            "systemd-boot: take it out of /etc/kernel/cmdline and run `kernel-install add-all` (or out of \
             /boot/loader/entries/*.conf), then reboot."
                .to_owned()
        }
        Machine::DebianGrub => format!(
            "GRUB: take it out of the file that `grep -r {parameter} /etc/default/grub /etc/default/grub.d` names, run \
             `update-grub`, then reboot."
        ),
        Machine::Grubby => {
            format!("GRUB: as root run `grubby --update-kernel=ALL --remove-args='{parameter}'`, then reboot.")
        }
        Machine::Grub => "GRUB: take it out of /etc/default/grub, run `grub2-mkconfig -o /boot/grub2/grub.cfg` \
             (`grub-mkconfig -o /boot/grub/grub.cfg` where the folder is called so), then reboot."
            .to_owned(),
        _ => "Take it out of the boot loader's configuration, then reboot.".to_owned(),
    }
}

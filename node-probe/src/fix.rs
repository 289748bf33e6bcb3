//! The fix: what to change on this very machine, in words that need no search engine.
//!
//! In: the reason and the facts. Out: a text; empty where nothing has to be changed.

use lsm_ready_crds::Reason;

use crate::facts::Facts;
use crate::facts::lsm_list::with_bpf;

/// What to do about a reason on the machine with these facts.
#[must_use]
pub fn fix(reason: Reason, facts: &Facts) -> String {
    match reason {
        Reason::BpfNotInLsmList | Reason::NeverFired => boot_parameter(facts),
        other => elsewhere(other).to_owned(),
    }
}

/// Fixes that are the same on every machine.
fn elsewhere(reason: Reason) -> &'static str {
    match reason {
        Reason::ListedButRefused | Reason::LsmProgramsRefused => {
            "Nothing in the boot parameters will help: a policy of this platform refuses LSM programs. Where it is a managed \
             or sandboxed machine, it cannot be changed from inside; use nodes of another kind. Otherwise look for what \
             answers bpf(2): an SELinux policy (ausearch -m avc), or an LSM program on the hooks bpf or bpf_prog_load."
        }
        Reason::ListedButNotFired => {
            "This is not expected of any known kernel. Boot another kernel of this distribution, and report this one \
             with the output of `node-probe check --output json`."
        }
        Reason::MissingCapability => {
            "Run it as root on the host, or give the container the capabilities BPF and PERFMON \
             (securityContext.capabilities.add: [BPF, PERFMON]) in the host's user namespace (hostUsers: true)."
        }
        Reason::SeccompRefusesBpf => {
            "Use a seccomp profile that allows bpf(2): RuntimeDefault does for a container with the capability BPF; \
             under systemd, take bpf off SystemCallFilter=."
        }
        Reason::CallIntercepted => {
            "Find what answers prctl(2) to this process, most likely a seccomp filter on prctl's first argument, and let \
             unknown options through to the kernel (RuntimeDefault does)."
        }
        Reason::BtfMissing => {
            "Boot a kernel built with CONFIG_DEBUG_INFO_BTF=y (check: /sys/kernel/btf/vmlinux exists). In a container, \
             /sys has to be mounted, as it is by default."
        }
        Reason::HookNotInBtf | Reason::ProgramTypeUnsupported => {
            "Boot a kernel of at least Linux 5.7 built with CONFIG_BPF_LSM=y and CONFIG_DEBUG_INFO_BTF=y (check: grep \
             CONFIG_BPF_LSM /boot/config-$(uname -r)). No boot parameter can add it."
        }
        // arm64 has the trampolines since 6.0, and what attaches them to a kernel built with ftrace, as all are, since 6.4
        // (HAVE_DYNAMIC_FTRACE_WITH_DIRECT_CALLS).
        Reason::TrampolineUnsupported => {
            "Boot a kernel with BPF trampolines for this architecture: on arm64 at least Linux 6.4, on x86_64 any built \
             with CONFIG_BPF_JIT=y."
        }
        Reason::LoadFailed | Reason::AttachFailed | Reason::FiredNotDenied => {
            "The raw error says what the kernel objects to. If it is not shortage of memory or of file descriptors, \
             report it with the output of `node-probe check --output json`."
        }
        Reason::NoMemory | Reason::CanaryTimedOut | Reason::CanaryCrashed | Reason::CanaryNotStarted => {
            "Look at the kernel's log (dmesg) and at the memory limit of this process (the canary takes 40 MB for a \
             moment), then try again, on a slow machine with a longer --deadline."
        }
        _ => "",
    }
}

/// How to boot with `bpf` among the LSMs.
fn boot_parameter(facts: &Facts) -> String {
    let present = facts.cmdline.lsm.as_ref();
    if let Some(list) = present.filter(|list| list.iter().any(|name| name == "bpf")) {
        return format!(
            "The kernel was booted with lsm={} and yet does not run LSM programs. Look for lines with LSM in the kernel's \
             log (dmesg | grep -i lsm); they say which names it ignored.",
            list.join(",")
        );
    }
    let active = Some(&facts.lsms.active).filter(|list| !list.is_empty());
    // An empty list on the command line is a list too, and the one to add to.
    let Some(list) = present.or(active) else {
        return "Boot with bpf among the LSMs: add lsm=LIST,bpf to the kernel's command line, where LIST is what \
                `cat /sys/kernel/security/lsm` prints on the host (after mount -t securityfs none /sys/kernel/security, \
                if it is empty), and reboot."
            .to_owned();
    };
    let parameter = format!("lsm={}", with_bpf(list).join(","));
    let instead = present.map_or_else(String::new, |list| format!(" in place of lsm={}", list.join(",")));
    format!("Boot with {parameter}{instead}. {}", steps(&parameter, facts))
}

/// The way to a changed command line that fits the system.
fn steps(parameter: &str, facts: &Facts) -> String {
    let os = &facts.os;
    let one_of = |ids: &[&str]| ids.iter().any(|id| os.is(id));
    if one_of(&["bottlerocket"]) {
        let (_, list) = parameter.split_once('=').unwrap_or_default();
        return format!(
            "Bottlerocket: put this into the user data and restart the node:\n[settings.boot]\nreboot-to-reconcile = true\n\
             [settings.boot.kernel-parameters]\nlsm = [\"{list}\"]"
        );
    }
    if one_of(&["talos"]) {
        return format!(
            "Talos: add {parameter} to the extra kernel arguments (an Image Factory schematic's \
             customization.extraKernelArgs, or machine.install.extraKernelArgs where GRUB boots it), then talosctl upgrade."
        );
    }
    if one_of(&["flatcar"]) {
        return format!("Flatcar: add `set linux_append=\"$linux_append {parameter}\"` to /oem/grub.cfg, then reboot.");
    }
    if one_of(&["cos"]) {
        return "Container-Optimized OS takes no boot parameters of yours on managed nodes: use another node image."
            .to_owned();
    }
    if one_of(&["rhcos", "fedora-coreos"]) {
        return format!(
            "Run `rpm-ostree kargs --append={parameter}` (OpenShift: kernelArguments of a MachineConfig), then reboot."
        );
    }
    if one_of(&["raspbian"]) {
        return format!("Raspberry Pi OS: add {parameter} to the one line of /boot/firmware/cmdline.txt, then reboot.");
    }
    if facts.cmdline.efi_initrd {
        return format!(
            "systemd-boot: add {parameter} to /etc/kernel/cmdline, run `kernel-install add-all`, then reboot."
        );
    }
    if one_of(&["debian", "ubuntu"]) {
        return format!(
            "GRUB: echo 'GRUB_CMDLINE_LINUX=\"$GRUB_CMDLINE_LINUX {parameter}\"' > /etc/default/grub.d/99-lsm.cfg, run \
             `update-grub`, then reboot. (The last lsm= on the command line counts.)"
        );
    }
    if one_of(&["rhel", "fedora", "centos", "rocky", "almalinux", "amzn", "ol"]) {
        return format!("GRUB: grubby --update-kernel=ALL --args='{parameter}', then reboot.");
    }
    if facts.cmdline.boot_image.is_some() || one_of(&["suse", "sles", "azurelinux"]) {
        return format!(
            "GRUB: add {parameter} to GRUB_CMDLINE_LINUX in /etc/default/grub, run `grub2-mkconfig -o /boot/grub2/grub.cfg` \
             (or `update-grub`), then reboot."
        );
    }
    format!("Add {parameter} to the kernel's command line in the boot loader's configuration, then reboot.")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::{Cmdline, OsRelease, lsm_list};

    fn facts(active: &str, cmdline: &str, os: &str) -> Facts {
        let mut facts = Facts { cmdline: Cmdline::parse(cmdline), os: OsRelease::parse(os), ..Facts::default() };
        facts.lsms.active = lsm_list::parse(active);
        facts
    }

    fn text(active: &str, cmdline: &str, os: &str) -> String {
        fix(Reason::BpfNotInLsmList, &facts(active, cmdline, os))
    }

    #[test]
    fn the_present_list_is_kept() {
        let fix = text("capability,landlock,yama", "quiet lsm=landlock,bfp,yama", "ID=debian");
        assert!(fix.starts_with("Boot with lsm=landlock,bpf,yama in place of lsm=landlock,bfp,yama. GRUB:"), "{fix}");
        let fix = text("capability,landlock,yama", "quiet", "ID=x\nID_LIKE=\"rhel fedora\"");
        assert!(fix.starts_with("Boot with lsm=landlock,yama,bpf. GRUB: grubby"), "{fix}");
        let fix = text("capability,lockdown,ima", "lsm=", "");
        assert!(fix.starts_with("Boot with lsm=bpf in place of lsm=. "), "{fix}");
    }

    #[test]
    fn nothing_is_invented_where_nothing_is_known() {
        assert!(text("", "quiet", "").contains("lsm=LIST,bpf"));
        assert!(text("yama", "lsm=yama,bpf", "").contains("dmesg"));
    }

    #[test]
    fn systems_have_their_own_ways() {
        for (os, cmdline, word) in [
            ("ID=bottlerocket", "", "lsm = [\"yama,bpf\"]"),
            ("ID=talos", "", "talosctl"),
            ("ID=flatcar", "", "/oem/grub.cfg"),
            ("ID=cos", "", "another node image"),
            ("ID=raspbian\nID_LIKE=debian", "", "cmdline.txt"),
            ("ID=ubuntu", "initrd=\\x", "/etc/kernel/cmdline"),
            ("ID=ubuntu", "", "update-grub"),
            ("ID=y", "BOOT_IMAGE=/vmlinuz", "GRUB"),
            ("ID=y", "", "boot loader's configuration"),
        ] {
            let fix = text("yama", cmdline, os);
            assert!(fix.contains(word), "{os}: {fix}");
        }
    }

    #[test]
    fn every_reason_of_the_probe_has_a_fix() {
        let of_policies = Reason::ALL.iter().skip_while(|reason| **reason != Reason::NoReport).collect::<Vec<_>>();
        for reason in Reason::ALL.iter().filter(|reason| !of_policies.contains(reason)) {
            let empty = fix(*reason, &Facts::default()).is_empty();
            assert_eq!(empty, *reason == Reason::CanaryDenied, "{reason}");
        }
    }
}

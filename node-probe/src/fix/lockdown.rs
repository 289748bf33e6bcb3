//! Finds where a lockdown level came from, and how to remove it. In: the facts. Out: the fix.
//!
//! A running kernel's level can be raised but never lowered (security/lockdown/lockdown.c), so
//! every fix includes a reboot.

use super::steps::{Change, steps};
use super::systems;
use crate::facts::Facts;

const PARAMETER: &str = "lockdown=confidentiality";

/// Bottlerocket sets the level after the kernel has started, by its own setting.
const BOTTLEROCKET: &str = "Bottlerocket. This node: run in its admin container (`sudo sheltie` \
                            first)\napiclient apply <<'EOF'\n[settings.kernel]\nlockdown = \
                            \"integrity\"\nEOF\nand then `apiclient reboot`. New nodes: add the \
                            same two lines to the user data, which is read at the first boot only.";

/// What to do so that programs may read kernel memory again.
pub(super) fn allow_reads(facts: &Facts) -> String {
    let forced = "CONFIG_LOCK_DOWN_KERNEL_FORCE_CONFIDENTIALITY";
    if facts.cmdline.lockdown_confidentiality {
        let steps = steps(Change::Remove(PARAMETER), facts);
        return format!(
            "Remove {PARAMETER} from the kernel's command line (lockdown=integrity is enough for \
             most uses). {steps}"
        );
    }
    if let Some(config) = facts.kernel_config.as_ref().filter(|config| config.has(forced)) {
        return format!(
            "This kernel was built with {forced} (by {}), and no boot parameter can lower the \
             level. Boot another kernel.",
            config.path
        );
    }
    if let Some(locked) = systems::locked(facts) {
        return locked.to_owned();
    }
    if facts.os.id == "bottlerocket" {
        return BOTTLEROCKET.to_owned();
    }
    if facts.lockdown.as_deref() == Some("confidentiality") {
        return set_after_boot(facts.secure_boot);
    }
    "The kernel's command line has no lockdown=confidentiality, and the level is lower or cannot \
     be read. Look in the kernel's log for lines with Lockdown (dmesg | grep -i lockdown): they \
     say what locked the kernel down."
        .to_owned()
}

fn set_after_boot(secure_boot: Option<bool>) -> String {
    let script = "a service that writes confidentiality to /sys/kernel/security/lockdown (grep -r \
                  lockdown /etc/systemd /usr/lib/systemd). Remove the service and reboot: a \
                  running kernel's level cannot be lowered";
    if secure_boot == Some(true) {
        return format!(
            "The command line has no {PARAMETER}, but this machine was started with Secure Boot, \
             and some kernels then lock themselves down. Boot a kernel that only goes to \
             lockdown=integrity, or turn Secure Boot off in the firmware. If dmesg | grep -i \
             lockdown does not mention Secure Boot, the cause is {script}."
        );
    }
    format!(
        "The command line has no {PARAMETER}, so something set it after the boot. Look for \
             {script}."
    )
}

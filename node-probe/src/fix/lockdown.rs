//! Where a lockdown level came from, and how to be without it. In: the facts. Out: the fix.
//!
//! The level can be raised while a kernel runs and never lowered (security/lockdown/lockdown.c), so
//! every way out has a reboot in it.

use super::steps::{Change, steps};
use super::systems;
use crate::facts::Facts;

const PARAMETER: &str = "lockdown=confidentiality";

/// Bottlerocket sets the level from a setting of its own, after the kernel has started.
const BOTTLEROCKET: &str = "Bottlerocket. This node: run in its admin container (`sudo sheltie` \
                            first)\napiclient apply <<'EOF'\n[settings.kernel]\nlockdown = \
                            \"integrity\"\nEOF\nand then `apiclient reboot`. New nodes: put the \
                            same two lines into the user data, which is read at the first boot \
                            only.";

/// How to let programs read kernel memory again.
pub(super) fn allow_reads(facts: &Facts) -> String {
    let forced = "CONFIG_LOCK_DOWN_KERNEL_FORCE_CONFIDENTIALITY";
    if facts.cmdline.lockdown_confidentiality {
        let way = steps(Change::Remove(PARAMETER), facts);
        return format!(
            "Take {PARAMETER} off the kernel's command line (lockdown=integrity is enough for \
             most). {way}"
        );
    }
    if let Some(config) = facts.kernel_config.as_ref().filter(|config| config.has(forced)) {
        return format!(
            "This kernel was built with {forced} ({} says so): boot another kernel. No boot \
             parameter can lower it.",
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
        return set_while_it_runs(facts.secure_boot);
    }
    "The kernel's command line has no lockdown=confidentiality, and the level cannot be read or is \
     lower. Look for lines with Lockdown in the kernel's log (dmesg | grep -i lockdown): they say \
     who locked it down."
        .to_owned()
}

fn set_while_it_runs(secure_boot: Option<bool>) -> String {
    let script = "a service that writes confidentiality to /sys/kernel/security/lockdown (grep -r \
                  lockdown /etc/systemd /usr/lib/systemd); take that away and reboot, as the level \
                  cannot be lowered while the kernel runs";
    if secure_boot == Some(true) {
        return format!(
            "The command line has no {PARAMETER}, and this machine was started with Secure Boot, \
             from which some kernels derive their lockdown: boot a kernel that goes to \
             lockdown=integrity then, or turn Secure Boot off in the firmware. If dmesg | grep -i \
             lockdown does not name Secure Boot, it is {script}."
        );
    }
    format!("The command line has no {PARAMETER}, so something set it later. Look for {script}.")
}

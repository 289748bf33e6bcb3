//! Where a lockdown level came from, and how to be without it. In: the facts. Out: the fix.
//!
//! The level can be raised while a kernel runs and never lowered (security/lockdown/lockdown.c), so every way out has a
//! reboot in it.

use super::machine::Machine;
use super::steps::{Change, steps};
use crate::facts::Facts;

const PARAMETER: &str = "lockdown=confidentiality";

/// How to let programs read kernel memory again.
pub(super) fn allow_reads(facts: &Facts) -> String {
    let machine = Machine::of(facts);
    let forced = "CONFIG_LOCK_DOWN_KERNEL_FORCE_CONFIDENTIALITY";
    if facts.cmdline.lockdown_confidentiality {
        let way = machine.locked().map_or_else(|| steps(Change::Remove(PARAMETER), facts), str::to_owned);
        return format!(
            "Take {PARAMETER} off the kernel's command line (lockdown=integrity is enough for most). {way}"
        );
    }
    if let Some(config) = facts.kernel_config.as_ref().filter(|config| config.has(forced)) {
        return format!(
            "This kernel was built with {forced} ({} says so): boot another kernel. No boot parameter can lower it.",
            config.path
        );
    }
    if machine == Machine::Bottlerocket {
        return "Bottlerocket: put this into the user data and restart the node:\n[settings.kernel]\nlockdown = \"integrity\""
            .to_owned();
    }
    if facts.lockdown.as_deref() == Some("confidentiality") {
        return set_while_it_runs(facts.secure_boot);
    }
    "The kernel's command line has no lockdown=confidentiality, and the level cannot be read or is lower. Look for lines \
     with Lockdown in the kernel's log (dmesg | grep -i lockdown): they say who locked it down."
        .to_owned()
}

fn set_while_it_runs(secure_boot: Option<bool>) -> String {
    let script = "a service that writes confidentiality to /sys/kernel/security/lockdown (grep -r lockdown /etc/systemd \
                  /usr/lib/systemd); take that away and reboot, as the level cannot be lowered while the kernel runs";
    if secure_boot == Some(true) {
        return format!(
            "The command line has no {PARAMETER}, and this machine was started with Secure Boot, from which some kernels \
             derive their lockdown: boot a kernel that goes to lockdown=integrity then, or turn Secure Boot off in the \
             firmware. If dmesg | grep -i lockdown does not name Secure Boot, it is {script}."
        );
    }
    format!("The command line has no {PARAMETER}, so something set it later. Look for {script}.")
}

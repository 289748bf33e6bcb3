//! The fix: what to change on this very machine, in words that need no search engine.
//!
//! In: the reason and the facts. Out: a text; empty where nothing has to be changed. `systems` is the table of systems with
//! the way to a changed command line on each, `steps` fills it in, `lsm` says what `lsm=` has to become, `lockdown` where a
//! lockdown level came from, and `kernel` what another kernel has to have.

mod kernel;
mod lockdown;
mod lsm;
mod steps;
pub mod systems;

use lsm_ready_crds::Reason;

use crate::facts::securityfs::OPTION;
use crate::facts::{Facts, Securityfs};

pub use lsm::required_lsms;

/// What to do about a reason on the machine with these facts.
pub fn fix(reason: Reason, facts: &Facts) -> String {
    match reason {
        Reason::CanaryDenied => String::new(),
        Reason::BpfNotInLsmList | Reason::NeverFired => lsm::with_bpf(facts),
        Reason::KernelReadsForbidden => lockdown::allow_reads(facts),
        Reason::ListedButRefused | Reason::LsmProgramsRefused => on_a_sandbox(reason, facts),
        Reason::HookNotInBtf | Reason::ProgramTypeUnsupported | Reason::BtfMissing => {
            kernel::another(reason, facts)
        }
        Reason::LsmListUnknown => readable_list(facts),
        other => other.remedy().to_owned(),
    }
}

/// By what is at `/sys/kernel/security`, since each needs another remedy.
fn readable_list(facts: &Facts) -> String {
    let remedy = match facts.securityfs {
        Securityfs::Empty => {
            "Mount it on the host (mount -t securityfs none /sys/kernel/security; systemd does so at boot) and start \
             this container anew, if it is one."
        }
        Securityfs::FileMount => {
            "Give the container the directory /sys/kernel/security, read-only, and not single files of it."
        }
        Securityfs::Missing => {
            "Mount sysfs at /sys and securityfs at /sys/kernel/security (mount -t securityfs none /sys/kernel/security)."
        }
        Securityfs::NotInKernel => return without_securityfs(facts),
        Securityfs::Mounted | Securityfs::Unknown => {
            return Reason::LsmListUnknown.remedy().to_owned();
        }
    };
    let mut place = facts.securityfs.describe().to_owned();
    place[..1].make_ascii_uppercase();
    format!("{place}. {remedy}")
}

/// This kernel can have no securityfs, so nothing that could be mounted would help.
fn without_securityfs(facts: &Facts) -> String {
    let built = facts.kernel_config.as_ref().filter(|config| config.says_not_set(OPTION));
    let source = built.map_or_else(String::new, |config| format!(" ({} says so)", config.path));
    let by_call = if facts.kernel_is_before((6, 8)) == Some(false) {
        "Run node-probe where no seccomp filter keeps lsm_list_modules(2) from the kernel, which has that call, or boot a kernel"
    } else {
        "To have the list of active LSMs, boot Linux 6.8 or newer, which has lsm_list_modules(2), or a kernel"
    };
    format!(
        "This kernel was built without {OPTION}{source}: it has no /sys/kernel/security, and securityfs cannot be mounted. \
         The verdict does not need it, because node-probe tries a program. {by_call} built with {OPTION}=y."
    )
}

/// A sandbox's kernel cannot be changed from inside, so that is said first.
fn on_a_sandbox(reason: Reason, facts: &Facts) -> String {
    systems::locked(facts).map_or_else(
        || reason.remedy().to_owned(),
        |locked| format!("{locked} {}", reason.remedy()),
    )
}

#[cfg(test)]
mod tests;

//! The fix: what to change on this machine, in steps that need no further search.
//!
//! In: the reason and the facts. Out: a text, empty if nothing has to be changed. `systems` is the
//! table of systems with the steps that change a command line, `steps` fills them in, `lsm` finds
//! the new `lsm=`, `lockdown` finds where a lockdown level came from, and `kernel` says what
//! another kernel needs.

mod kernel;
mod lockdown;
mod lsm;
mod steps;
pub mod systems;

use lsm_ready_crds::Reason;

use crate::facts::securityfs::OPTION;
use crate::facts::{Facts, Securityfs};

pub use lsm::required_lsms;

/// What to do about a reason, on the machine with these facts.
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

/// What to do so that the list of active LSMs can be read. It depends on what is at
/// `/sys/kernel/security`.
fn readable_list(facts: &Facts) -> String {
    let remedy = match facts.securityfs {
        Securityfs::Empty => {
            "Mount it on the host (mount -t securityfs none /sys/kernel/security; systemd does so \
             at boot). If this is a container, restart it."
        }
        Securityfs::FileMount => {
            "Mount the directory /sys/kernel/security into the container, read-only, and not \
             single files of it."
        }
        Securityfs::Missing => {
            "Mount sysfs at /sys and securityfs at /sys/kernel/security (mount -t securityfs none \
             /sys/kernel/security)."
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

/// What to do on a kernel without securityfs, where nothing can be mounted.
fn without_securityfs(facts: &Facts) -> String {
    let built = facts.kernel_config.as_ref().filter(|config| config.says_not_set(OPTION));
    let source = built.map_or_else(String::new, |config| format!(" (by {})", config.path));
    let by_call = if facts.kernel_is_before((6, 8)) == Some(false) {
        "To read the list of active LSMs, run node-probe without a seccomp filter that blocks \
         lsm_list_modules(2), which this kernel has, or boot a kernel"
    } else {
        "To read the list of active LSMs, boot Linux 6.8 or newer, which has lsm_list_modules(2), \
         or a kernel"
    };
    format!(
        "This kernel was built without {OPTION}{source}: it has no /sys/kernel/security, and \
         securityfs cannot be mounted. The verdict does not need it, because node-probe tries a \
         program. {by_call} built with {OPTION}=y."
    )
}

/// A sandbox's kernel cannot be changed from inside, so the text begins with that.
fn on_a_sandbox(reason: Reason, facts: &Facts) -> String {
    systems::locked(facts).map_or_else(
        || reason.remedy().to_owned(),
        |locked| format!("{locked} {}", reason.remedy()),
    )
}

#[cfg(test)]
mod tests;

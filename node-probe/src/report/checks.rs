//! The checks that explain the rungs, each with the raw value. In: what the canary showed, and the
//! facts. Out: [`Check`]s. None of them raises the evidence.

use lsm_ready_crds::node::KERNEL_READS_CHECK;
use lsm_ready_crds::{Reason, State};

use super::check::Check;
use super::diagnose::describe;
use crate::canary::CanaryResult;
use crate::facts::{Built, Facts, Securityfs};
use crate::fix::fix;
use crate::sys::Answer;

/// The option that puts LSM programs into a kernel.
const BPF_LSM: &str = "CONFIG_BPF_LSM";

/// The check whether the LSMs of `--require-lsm` are active.
pub(super) const REQUIRED_LSMS: &str = "RequiredLsms";

/// All checks, in the order of docs/check-output.md.
pub(crate) fn explain(result: &CanaryResult, facts: &Facts) -> Vec<Check> {
    vec![
        bpf_in_lsm_list(facts),
        securityfs(facts),
        bpf_lsm_built_in(facts),
        btf(facts),
        architecture(result, facts),
        lockdown(facts),
        capabilities(facts),
        bpf_syscall(result, facts),
        lsm_programs_allowed(result),
        unprivileged_bpf(facts),
        kernel_reads(result, facts),
    ]
}

fn bpf_in_lsm_list(facts: &Facts) -> Check {
    let name = "BpfInLsmList";
    let detail = facts.lsms_detail.clone();
    match facts.lists_bpf() {
        Some(true) => Check::passed(name, detail),
        Some(false) => Check::failed(name, Reason::BpfNotInLsmList, detail),
        None => match facts.left_out_by("bpf") {
            Some(left_out) => {
                Check::failed(name, Reason::BpfNotInLsmList, format!("{left_out}; {detail}"))
            }
            None => Check { reason: Some(Reason::LsmListUnknown), ..Check::unknown(name, detail) },
        },
    }
}

fn securityfs(facts: &Facts) -> Check {
    let outcome = match facts.securityfs {
        Securityfs::Mounted => State::Ready,
        Securityfs::Unknown | Securityfs::Missing => State::Unknown,
        Securityfs::FileMount | Securityfs::Empty | Securityfs::NotInKernel => State::NotReady,
    };
    Check::new("Securityfs", outcome, facts.securityfs.describe())
}

/// Whether the kernel was built with CONFIG_BPF_LSM. BTF decides if it is known: BTF is always that
/// of the running kernel, but a configuration file can be another kernel's.
fn bpf_lsm_built_in(facts: &Facts) -> Check {
    let by_config = facts.kernel_config.as_ref().and_then(|config| {
        let has = config.has(BPF_LSM);
        (has || config.lacks(BPF_LSM)).then_some(has)
    });
    let by_btf = facts.btf.as_ref().and_then(|btf| btf.as_ref().ok()).map(|btf| btf.canary_hook);
    let name = "BpfLsmBuiltIn";
    let detail = format!("{}; {}", describe_config(facts), describe_btf(facts));
    match by_btf.or(by_config) {
        Some(true) => Check::passed(name, detail),
        Some(false) => Check::failed(name, Reason::HookNotInBtf, detail),
        None => Check::unknown(name, detail),
    }
}

fn describe_config(facts: &Facts) -> String {
    let Some(config) = &facts.kernel_config else {
        return match facts.kernel_config_error.as_str() {
            "" => "the kernel's configuration was not read".to_owned(),
            error => error.to_owned(),
        };
    };
    match config.get(BPF_LSM) {
        Built::Set(value) => format!("{BPF_LSM}={value} (by {})", config.path),
        Built::NotSet if config.lacks(BPF_LSM) => {
            format!("{BPF_LSM} is not set (by {})", config.path)
        }
        Built::NotSet => format!("{} has no line about {BPF_LSM}", config.path),
    }
}

fn describe_btf(facts: &Facts) -> String {
    match &facts.btf {
        Some(Ok(btf)) => {
            let hook = if btf.canary_hook { "with" } else { "without" };
            format!("{} names bpf_lsm_*, {hook} the canary's hook (by BTF)", btf.bpf_lsm)
        }
        Some(Err(unread)) => unread.message.clone(),
        None => "BTF was not read".to_owned(),
    }
}

fn btf(facts: &Facts) -> Check {
    let name = "Btf";
    match &facts.btf {
        Some(Ok(btf)) => {
            Check::passed(name, format!("/sys/kernel/btf/vmlinux, {} bytes", btf.bytes))
        }
        Some(Err(unread)) if facts.absent_btf().is_some() => {
            Check::failed(name, Reason::BtfMissing, unread.message.clone())
        }
        Some(Err(unread)) => Check::unknown(name, unread.message.clone()),
        None => Check::unknown(name, "BTF was not read"),
    }
}

/// Whether this architecture can attach LSM programs: because it did, or by the kernel's version.
fn architecture(result: &CanaryResult, facts: &Facts) -> Check {
    let name = "Architecture";
    let detail = format!("{}, Linux {}", facts.kernel.machine, facts.kernel.release);
    if result.attach == Some(Ok(())) {
        return Check::passed(name, detail);
    }
    match facts.has_trampolines() {
        Some(true) => Check::passed(name, detail),
        Some(false) => {
            let detail = format!("{detail}: no BPF trampolines before Linux 6.0");
            Check::failed(name, Reason::TrampolineUnsupported, detail)
        }
        None => Check::unknown(name, detail),
    }
}

fn lockdown(facts: &Facts) -> Check {
    let name = "Lockdown";
    match facts.lockdown.as_deref() {
        _ if facts.is_confidential() => {
            Check::failed(name, Reason::KernelReadsForbidden, "confidentiality")
        }
        Some("confidentiality") => Check::passed(
            name,
            "confidentiality, but without effect: the LSM lockdown is not active",
        ),
        Some(level) => Check::passed(name, level),
        None => Check::unknown(name, facts.lockdown_detail.clone()),
    }
}

fn capabilities(facts: &Facts) -> Check {
    let name = "Capabilities";
    let Some(bits) = facts.process.capabilities else {
        return Check::unknown(name, "/proc/self/status has no line CapEff");
    };
    let missing = facts.process.missing_capabilities();
    let held = format!("effective {bits:016x}");
    if facts.process.in_initial_user_namespace == Some(false) {
        let detail = format!("{held}, but in its own user namespace, where they do not count");
        return Check::failed(name, Reason::MissingCapability, detail);
    }
    if missing.is_empty() {
        return Check::passed(name, held);
    }
    let detail = format!("{held}, without {}", missing.join(" and "));
    Check::failed(name, Reason::MissingCapability, detail)
}

fn bpf_syscall(result: &CanaryResult, facts: &Facts) -> Check {
    let name = "BpfSyscall";
    let seccomp = match facts.process.seccomp {
        Some(0) => "no seccomp filter",
        Some(1) => "strict seccomp",
        Some(_) => "a seccomp filter is active",
        None => "seccomp unknown",
    };
    match result.bpf_call {
        Some(Answer(libc::EINVAL)) => Check::passed(name, seccomp),
        Some(answer) => Check {
            reason: facts.process.is_filtered().then_some(Reason::SeccompRefusesBpf),
            ..Check::new(
                name,
                State::NotReady,
                format!("bpf(2) is answered with {}; {seccomp}", answer.describe()),
            )
        },
        None => Check::unknown(name, format!("not reached; {seccomp}")),
    }
}

/// Whether the kernel accepts LSM programs, compared with programs of another type.
fn lsm_programs_allowed(result: &CanaryResult) -> Check {
    let name = "LsmProgramsAllowed";
    match (&result.load, &result.plain_load) {
        (Some(Ok(())), _) => Check::passed(name, "an LSM program was accepted"),
        (Some(Err(failure)), Some(Ok(()))) => Check::new(
            name,
            State::NotReady,
            format!(
                "a socket filter was accepted, but an LSM program was not: {}",
                describe(failure)
            ),
        ),
        (_, Some(Err(failure))) => Check::unknown(
            name,
            format!("a socket filter was not accepted either: {}", describe(failure)),
        ),
        _ => Check::unknown(name, "not reached"),
    }
}

/// For information: the setting decides nothing for a process that holds the capabilities.
fn unprivileged_bpf(facts: &Facts) -> Check {
    let name = "UnprivilegedBpf";
    let detail = match facts.unprivileged_bpf {
        Some(0) => "0: processes without capabilities may use bpf(2) too",
        Some(1) => "1: bpf(2) needs capabilities, until the next boot",
        Some(2) => "2: bpf(2) needs capabilities",
        Some(_) => "an unknown value",
        None => return Check::unknown(name, "kernel.unprivileged_bpf_disabled was not read"),
    };
    Check::passed(name, detail)
}

fn kernel_reads(result: &CanaryResult, facts: &Facts) -> Check {
    let name = KERNEL_READS_CHECK;
    let lockdown = facts.lockdown.as_deref().unwrap_or("unknown");
    let forbidden = |detail: String| {
        let reason = Reason::KernelReadsForbidden;
        Check { fix: fix(reason, facts), ..Check::failed(name, reason, detail) }
    };
    let unknown = |detail: String| Check {
        reason: Some(Reason::KernelReadsUnknown),
        ..Check::unknown(name, detail)
    };
    match &result.kernel_reads {
        Some(Ok(true)) => Check::passed(name, format!("lockdown={lockdown}")),
        Some(Ok(false)) => {
            forbidden(format!("the verifier refuses bpf_probe_read_kernel; lockdown={lockdown}"))
        }
        _ if facts.is_confidential() => forbidden(
            "not tried; lockdown=confidentiality forbids bpf_probe_read_kernel".to_owned(),
        ),
        Some(Err(failure)) => unknown(describe(failure)),
        None => unknown(format!("not reached; lockdown={lockdown}")),
    }
}

/// The check of the required LSMs, and those that are not among the active ones.
pub(super) struct RequiredLsms {
    pub check: Check,
    pub missing: Vec<String>,
}

pub(super) fn required_lsms(names: &[String], facts: &Facts) -> RequiredLsms {
    let active = &facts.lsms.active;
    let missing: Vec<String> =
        names.iter().filter(|name| !active.contains(name)).cloned().collect();
    let left_out: Vec<String> = missing.iter().filter_map(|name| facts.left_out_by(name)).collect();
    let check = if missing.is_empty() {
        Check::passed(REQUIRED_LSMS, names.join(","))
    } else if !active.is_empty() {
        let detail =
            format!("{} not among the active LSMs {}", missing.join(" and "), facts.lsms_detail);
        Check::failed(REQUIRED_LSMS, Reason::RequiredLsmInactive, detail)
    } else if !left_out.is_empty() {
        Check::failed(REQUIRED_LSMS, Reason::RequiredLsmInactive, left_out.join("; "))
    } else {
        let detail = format!(
            "{} cannot be judged, because the list of active LSMs could not be read: {}",
            missing.join(" and "),
            facts.lsms_detail
        );
        Check { reason: Some(Reason::LsmListUnknown), ..Check::unknown(REQUIRED_LSMS, detail) }
    };
    RequiredLsms { check, missing }
}

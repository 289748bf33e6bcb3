//! The checks that explain the rungs, each with the raw value. In: the canary's trial and the facts. Out: [`Check`]s;
//! none of them raises the evidence.

use lsm_ready_crds::Reason;
use lsm_ready_crds::State;
use lsm_ready_crds::node::{Check, KERNEL_READS_CHECK};

use super::diagnose::describe;
use crate::canary::CanaryResult;
use crate::facts::{Built, Facts, Securityfs};
use crate::fix::fix;
use crate::sys::Answer;

/// The option that puts LSM programs into a kernel.
const BPF_LSM: &str = "CONFIG_BPF_LSM";

/// Name of the check that says whether the LSMs of `--require-lsm` are active.
pub(super) const REQUIRED_LSMS: &str = "RequiredLsms";

/// All of them, in the order of docs/check-output.md.
pub(crate) fn of(trial: &CanaryResult, facts: &Facts) -> Vec<Check> {
    vec![
        active_lsms(facts),
        securityfs(facts),
        built_in(facts),
        btf(facts),
        architecture(trial, facts),
        lockdown(facts),
        capabilities(facts),
        bpf_call(trial, facts),
        platform(trial),
        unprivileged(facts),
        kernel_reads(trial, facts),
    ]
}

fn check(name: &str, outcome: State, reason: Option<Reason>, detail: impl Into<String>) -> Check {
    let reason = reason.map_or_else(String::new, |reason| reason.code().to_owned());
    Check { name: name.to_owned(), outcome, reason, detail: detail.into(), fix: String::new() }
}

fn active_lsms(facts: &Facts) -> Check {
    let (outcome, reason) = match facts.lists_bpf() {
        Some(true) => (State::Ready, None),
        Some(false) => (State::NotReady, Some(Reason::BpfNotInLsmList)),
        None => match facts.left_out_by("bpf") {
            Some(left_out) => {
                let detail = format!("{left_out}; {}", facts.lsms_detail);
                return check(
                    "BpfInLsmList",
                    State::NotReady,
                    Some(Reason::BpfNotInLsmList),
                    detail,
                );
            }
            None => (State::Unknown, Some(Reason::LsmListUnknown)),
        },
    };
    check("BpfInLsmList", outcome, reason, facts.lsms_detail.clone())
}

fn securityfs(facts: &Facts) -> Check {
    let outcome = match facts.securityfs {
        Securityfs::Mounted => State::Ready,
        Securityfs::Unknown | Securityfs::Missing => State::Unknown,
        Securityfs::FileMount | Securityfs::Empty | Securityfs::NotInKernel => State::NotReady,
    };
    check("Securityfs", outcome, None, facts.securityfs.describe())
}

/// BTF is always the running kernel's own, a file beside the kernel may be another's: so BTF decides where both speak.
fn built_in(facts: &Facts) -> Check {
    let by_config = facts.kernel_config.as_ref().and_then(|config| {
        let has = config.has(BPF_LSM);
        (has || config.lacks(BPF_LSM)).then_some(has)
    });
    let by_btf = facts.btf.as_ref().and_then(|btf| btf.as_ref().ok()).map(|btf| btf.canary_hook);
    let outcome = match by_btf.or(by_config) {
        Some(true) => State::Ready,
        Some(false) => State::NotReady,
        None => State::Unknown,
    };
    let reason = (outcome == State::NotReady).then_some(Reason::HookNotInBtf);
    check(
        "BpfLsmBuiltIn",
        outcome,
        reason,
        format!("{}; {}", config_words(facts), btf_words(facts)),
    )
}

fn config_words(facts: &Facts) -> String {
    match &facts.kernel_config {
        Some(config) => match config.get(BPF_LSM) {
            Built::Set(value) => format!("{BPF_LSM}={value} (by {})", config.path),
            Built::NotSet if config.lacks(BPF_LSM) => {
                format!("{BPF_LSM} is not set (by {})", config.path)
            }
            Built::NotSet => format!("{} has no line about {BPF_LSM}", config.path),
        },
        None if facts.kernel_config_error.is_empty() => {
            "no kernel configuration was read".to_owned()
        }
        None => facts.kernel_config_error.clone(),
    }
}

fn btf_words(facts: &Facts) -> String {
    match &facts.btf {
        Some(Ok(btf)) => {
            let hook = if btf.canary_hook { "with" } else { "without" };
            format!("{} names bpf_lsm_*, {hook} that of the canary's hook (by BTF)", btf.bpf_lsm)
        }
        Some(Err(unread)) => unread.message.clone(),
        None => "BTF was not looked for".to_owned(),
    }
}

fn btf(facts: &Facts) -> Check {
    match &facts.btf {
        Some(Ok(btf)) => check(
            "Btf",
            State::Ready,
            None,
            format!("/sys/kernel/btf/vmlinux, {} bytes", btf.bytes),
        ),
        Some(Err(unread)) if facts.absent_btf().is_some() => {
            check("Btf", State::NotReady, Some(Reason::BtfMissing), unread.message.clone())
        }
        Some(Err(unread)) => check("Btf", State::Unknown, None, unread.message.clone()),
        None => check("Btf", State::Unknown, None, "not looked for"),
    }
}

/// Whether this architecture can attach, by the version that brought it trampolines, or because it did.
fn architecture(trial: &CanaryResult, facts: &Facts) -> Check {
    let machine = &facts.kernel.machine;
    let detail = format!("{machine}, Linux {}", facts.kernel.release);
    if trial.attach == Some(Ok(())) {
        return check("Architecture", State::Ready, None, detail);
    }
    match facts.has_trampolines() {
        Some(true) => check("Architecture", State::Ready, None, detail),
        Some(false) => {
            let detail = format!("{detail}: no BPF trampolines before Linux 6.0");
            check("Architecture", State::NotReady, Some(Reason::TrampolineUnsupported), detail)
        }
        None => check("Architecture", State::Unknown, None, detail),
    }
}

fn lockdown(facts: &Facts) -> Check {
    match facts.lockdown.as_deref() {
        _ if facts.is_confidential() => check(
            "Lockdown",
            State::NotReady,
            Some(Reason::KernelReadsForbidden),
            "confidentiality",
        ),
        Some("confidentiality") => check(
            "Lockdown",
            State::Ready,
            None,
            "confidentiality, without effect: the LSM lockdown is not active",
        ),
        Some(level) => check("Lockdown", State::Ready, None, level),
        None => check("Lockdown", State::Unknown, None, facts.lockdown_detail.clone()),
    }
}

fn capabilities(facts: &Facts) -> Check {
    let Some(bits) = facts.process.capabilities else {
        return check("Capabilities", State::Unknown, None, "/proc/self/status does not say");
    };
    let missing = facts.process.missing_capabilities();
    let held = format!("effective {bits:016x}");
    if facts.process.in_initial_user_namespace == Some(false) {
        let detail = format!("{held}, in a user namespace of its own, where they do not count");
        return check("Capabilities", State::NotReady, Some(Reason::MissingCapability), detail);
    }
    if missing.is_empty() {
        return check("Capabilities", State::Ready, None, held);
    }
    let detail = format!("{held}, without {}", missing.join(" and "));
    check("Capabilities", State::NotReady, Some(Reason::MissingCapability), detail)
}

fn bpf_call(trial: &CanaryResult, facts: &Facts) -> Check {
    let seccomp = match facts.process.seccomp {
        Some(0) => "no seccomp filter",
        Some(1) => "strict seccomp",
        Some(_) => "a seccomp filter is in force",
        None => "seccomp unknown",
    };
    match trial.bpf_call {
        Some(Answer(libc::EINVAL)) => check("BpfSyscall", State::Ready, None, seccomp),
        Some(answer) => {
            let reason = facts.process.is_filtered().then_some(Reason::SeccompRefusesBpf);
            let detail = format!("bpf(2) is answered with {}; {seccomp}", answer.describe());
            check("BpfSyscall", State::NotReady, reason, detail)
        }
        None => check("BpfSyscall", State::Unknown, None, format!("not reached; {seccomp}")),
    }
}

/// Programs of other types are taken, and LSM programs with them.
fn platform(trial: &CanaryResult) -> Check {
    let name = "LsmProgramsAllowed";
    match (&trial.load, &trial.plain_load) {
        (Some(Ok(())), _) => check(name, State::Ready, None, "an LSM program was taken"),
        (Some(Err(failure)), Some(Ok(()))) => {
            let detail =
                format!("a socket filter was taken, an LSM program was not: {}", describe(failure));
            check(name, State::NotReady, None, detail)
        }
        (_, Some(Err(failure))) => check(
            name,
            State::Unknown,
            None,
            format!("a socket filter was not taken either: {}", describe(failure)),
        ),
        _ => check(name, State::Unknown, None, "not reached"),
    }
}

/// For information: it decides nothing for a process that holds the capabilities.
fn unprivileged(facts: &Facts) -> Check {
    let detail = match facts.unprivileged_bpf {
        Some(0) => "0: processes without capabilities may use bpf(2) too",
        Some(1) => "1: bpf(2) takes capabilities, until the next boot",
        Some(2) => "2: bpf(2) takes capabilities",
        Some(_) => "a value that is not known",
        None => {
            return check(
                "UnprivilegedBpf",
                State::Unknown,
                None,
                "kernel.unprivileged_bpf_disabled was not read",
            );
        }
    };
    check("UnprivilegedBpf", State::Ready, None, detail)
}

fn kernel_reads(trial: &CanaryResult, facts: &Facts) -> Check {
    let lockdown = facts.lockdown.as_deref().unwrap_or("unknown");
    let forbidden = |detail: String| {
        let reason = Reason::KernelReadsForbidden;
        Check {
            fix: fix(reason, facts),
            ..check(KERNEL_READS_CHECK, State::NotReady, Some(reason), detail)
        }
    };
    let unknown = |detail: String| {
        check(KERNEL_READS_CHECK, State::Unknown, Some(Reason::KernelReadsUnknown), detail)
    };
    match &trial.kernel_reads {
        Some(Ok(true)) => {
            check(KERNEL_READS_CHECK, State::Ready, None, format!("lockdown={lockdown}"))
        }
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

/// Whether those LSMs are active, and which are not.
pub(super) fn required_lsms(names: &[String], facts: &Facts) -> (Check, Vec<String>) {
    let active = &facts.lsms.active;
    let missing: Vec<String> =
        names.iter().filter(|name| !active.contains(name)).cloned().collect();
    let left_out: Vec<String> = missing.iter().filter_map(|name| facts.left_out_by(name)).collect();
    let found = if missing.is_empty() {
        check(REQUIRED_LSMS, State::Ready, None, names.join(","))
    } else if !active.is_empty() {
        let detail =
            format!("{} not among the active LSMs {}", missing.join(" and "), facts.lsms_detail);
        check(REQUIRED_LSMS, State::NotReady, Some(Reason::RequiredLsmInactive), detail)
    } else if !left_out.is_empty() {
        check(
            REQUIRED_LSMS,
            State::NotReady,
            Some(Reason::RequiredLsmInactive),
            left_out.join("; "),
        )
    } else {
        let detail = format!(
            "the list of active LSMs could not be read, so {} cannot be judged: {}",
            missing.join(" and "),
            facts.lsms_detail
        );
        check(REQUIRED_LSMS, State::Unknown, Some(Reason::LsmListUnknown), detail)
    };
    (found, missing)
}

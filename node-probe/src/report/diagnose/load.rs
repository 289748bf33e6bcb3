//! Why the program could not be loaded. In: the failed step, the canary's other answers, and the
//! facts. Out: a [`Stop`].

use lsm_ready_crds::Reason;

use super::failure::describe;
use super::stop::{Stop, shortage};
use crate::canary::{CanaryResult, Failure, FailureKind};
use crate::facts::Facts;
use crate::facts::missing::with_missing;
use crate::sys::Answer;

/// BPF's own answer to a command that it does not know.
const UNKNOWN_COMMAND: Answer = Answer(libc::EINVAL);

pub(super) fn not_loaded(failure: &Failure, result: &CanaryResult, facts: &Facts) -> Stop {
    shortage(failure)
        .or_else(|| no_hook(failure, facts))
        .or_else(|| not_permitted(failure, result, facts))
        .or_else(|| memlock_used_up(failure, result, facts))
        .unwrap_or_else(|| refused(failure, result, facts))
}

/// The kernel's BTF was not read, or it lacks the canary's hook.
fn no_hook(failure: &Failure, facts: &Facts) -> Option<Stop> {
    let detail = describe(failure);
    match failure.kind {
        FailureKind::BtfUnreadable => Some(btf_unreadable(&detail, facts)),
        FailureKind::HookNotInBtf => {
            let detail = format!("the kernel's BTF has no function bpf_lsm_task_prctl ({detail})");
            Some(Stop::failed(Reason::HookNotInBtf, with_missing(&detail, facts)))
        }
        FailureKind::BtfInvalid | FailureKind::Map | FailureKind::Program | FailureKind::Other => {
            None
        }
    }
}

fn btf_unreadable(detail: &str, facts: &Facts) -> Stop {
    match facts.absent_btf() {
        Some(absent) => Stop::failed(Reason::BtfMissing, with_missing(&absent, facts)),
        None => Stop::untried(
            Reason::BtfMissing,
            format!("the kernel's BTF could not be read: {detail}"),
        ),
    }
}

/// This process may not call bpf(2) at all, which says nothing about the kernel.
fn not_permitted(failure: &Failure, result: &CanaryResult, facts: &Facts) -> Option<Stop> {
    if !matches!(failure.errno, Some(libc::EPERM | libc::EACCES | libc::ENOSYS)) {
        return None;
    }
    if let Some(stop) = capability_missing(failure, facts) {
        return Some(stop);
    }
    match result.bpf_call {
        Some(answer) if answer != UNKNOWN_COMMAND && facts.process.is_filtered() => {
            let detail = format!("a seccomp filter answers bpf(2) with {}", answer.describe());
            Some(Stop::untried(Reason::SeccompRefusesBpf, detail))
        }
        Some(Answer(libc::ENOSYS)) => Some(Stop::failed(
            Reason::ProgramTypeUnsupported,
            with_missing("the kernel has no bpf(2)", facts),
        )),
        _ => None,
    }
}

fn capability_missing(failure: &Failure, facts: &Facts) -> Option<Stop> {
    let missing = facts.process.missing_capabilities();
    let cause = if !missing.is_empty() {
        format!("this process lacks {}", missing.join(" and "))
    } else if facts.process.in_initial_user_namespace == Some(false) {
        "this process is in its own user namespace, where its capabilities do not count for bpf(2)"
            .to_owned()
    } else {
        return None;
    };
    let detail = format!("{cause}: {}", describe(failure));
    Some(Stop::untried(Reason::MissingCapability, detail))
}

/// Before Linux 5.11 the kernel charges maps and programs to RLIMIT_MEMLOCK and answers EPERM when
/// it is used up (`bpf_charge_memlock` in kernel/bpf/syscall.c). aya raises the limit if it may and
/// retries, so an EPERM that is seen here means that the limit could not be raised. If another
/// program was accepted, memory was not short.
fn memlock_used_up(failure: &Failure, result: &CanaryResult, facts: &Facts) -> Option<Stop> {
    let is_charged = matches!(failure.kind, FailureKind::Map | FailureKind::Program)
        && failure.verifier_log.is_empty()
        && failure.errno == Some(libc::EPERM)
        && facts.kernel_is_before((5, 11)) == Some(true);
    let others_accepted = failure.kind == FailureKind::Program && result.plain_load == Some(Ok(()));
    if !is_charged || others_accepted {
        return None;
    }
    let bytes = facts.process.fixed_memlock()?;
    let detail = format!(
        "this process may lock {bytes} bytes of memory (RLIMIT_MEMLOCK) and cannot raise the \
         limit, but kernel {} charges BPF to it: {}",
        facts.kernel.release,
        describe(failure)
    );
    Some(Stop::untried(Reason::MemlockTooLow, detail))
}

/// bpf(2) was reached with the capabilities it needs, and the kernel refused.
fn refused(failure: &Failure, result: &CanaryResult, facts: &Facts) -> Stop {
    let detail = describe(failure);
    let is_unlogged = failure.verifier_log.is_empty();
    match (failure.errno, failure.kind) {
        (Some(libc::EPERM | libc::EACCES), FailureKind::Program) if is_unlogged => {
            program_refused(&detail, result, facts)
        }
        (Some(libc::EPERM | libc::EACCES), FailureKind::Map) => {
            let detail =
                format!("the kernel refused even a map, so no program was tried: {detail}");
            Stop::untried(Reason::BpfRefused, detail)
        }
        (Some(libc::EAGAIN), _) => Stop::untried(Reason::LoadFailed, detail),
        (Some(libc::EINVAL), FailureKind::Program) if is_unlogged => {
            let detail = format!("the kernel does not know programs of type LSM: {detail}");
            Stop::failed(Reason::ProgramTypeUnsupported, with_missing(&detail, facts))
        }
        _ => Stop::failed(Reason::LoadFailed, detail),
    }
}

/// The kernel refused the program before the verifier saw it.
fn program_refused(detail: &str, result: &CanaryResult, facts: &Facts) -> Stop {
    let others = match &result.plain_load {
        Some(Ok(())) => "The kernel accepts other programs (a socket filter)",
        Some(Err(_)) => "The kernel refuses other programs (a socket filter) too",
        None => "Other programs were not tried",
    };
    let process =
        "This process holds CAP_BPF and CAP_PERFMON, and no seccomp filter is in the way.";
    if facts.lists_bpf() == Some(true) {
        let detail = format!(
            "the kernel lists bpf as active ({}), but it refuses LSM programs: {detail}. {process} \
             {others}",
            facts.lsms.active.join(",")
        );
        return Stop::failed(Reason::ListedButRefused, detail);
    }
    let detail = format!("the kernel refuses LSM programs: {detail}. {process} {others}");
    Stop::failed(Reason::LsmProgramsRefused, detail)
}

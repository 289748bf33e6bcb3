//! The diagnosis: what the canary's raw answers prove, and which reason explains where it stopped.
//!
//! In: what was [`Observed`] of the canary and the [`Facts`] of the machine. Out: the evidence, the reason, a sentence
//! and the four rungs as checks. Facts choose between reasons and never raise the evidence.

use lsm_ready_crds::State;
use lsm_ready_crds::node::Check;
use lsm_ready_crds::{Evidence, Reason};

use crate::canary::{CanaryResult, End, Failure, FailureKind, Observed};
use crate::facts::{Facts, missing};
use crate::sys::{Answer, describe_errno};

/// The kernel's own answer to a prctl that it does not know.
const UNKNOWN_OPTION: Answer = Answer(libc::EINVAL);
/// The canary's answer.
const DENIED: Answer = Answer(libc::EKEYREJECTED);
/// The kernel's internal "not supported", which bpf(2) lets out.
const ENOTSUPP: i32 = 524;

/// What was proved, and why not more.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Diagnosis {
    /// The highest rung proved.
    pub evidence: Evidence,
    /// Why it is no higher; [`Reason::CanaryDenied`] at the top.
    pub reason: Reason,
    /// The reason in a sentence, with the raw error.
    pub message: String,
    /// The rungs: those proved, the one that stopped it, and those above.
    pub rungs: Vec<Check>,
}

/// Where and why the canary stopped.
struct Stop {
    /// It was tried and does not hold, or could not be tried.
    outcome: State,
    reason: Reason,
    detail: String,
}

impl Stop {
    fn failed(reason: Reason, detail: impl Into<String>) -> Self {
        Self { outcome: State::NotReady, reason, detail: detail.into() }
    }

    fn untried(reason: Reason, detail: impl Into<String>) -> Self {
        Self { outcome: State::Unknown, reason, detail: detail.into() }
    }
}

/// Judges one run of the canary.
pub fn diagnose(observed: &Observed, facts: &Facts) -> Diagnosis {
    let rungs: [fn(&Observed, &Facts) -> Option<Stop>; 4] = [loaded, attached, fired, denied];
    let mut evidence = Evidence::None;
    let mut stopped = None;
    for (rung, judge) in Evidence::RUNGS.into_iter().zip(rungs) {
        stopped = judge(observed, facts);
        if stopped.is_some() {
            break;
        }
        evidence = rung;
    }
    let (reason, message) = match &stopped {
        None => (
            Reason::CanaryDenied,
            "an LSM program denied our call, only ours, and only while it was attached".into(),
        ),
        Some(stop) => (stop.reason, stop.detail.clone()),
    };
    Diagnosis { evidence, reason, message, rungs: checks(evidence, stopped.as_ref()) }
}

fn checks(evidence: Evidence, stopped: Option<&Stop>) -> Vec<Check> {
    let mut stopped = stopped;
    let check = |rung: Evidence| {
        let (outcome, reason, detail) = match stopped.take_if(|_| rung > evidence) {
            _ if rung <= evidence => (State::Ready, String::new(), String::new()),
            Some(stop) => (stop.outcome, stop.reason.code().to_owned(), stop.detail.clone()),
            None => (State::Unknown, String::new(), "not reached".to_owned()),
        };
        Check { name: rung.as_str().to_owned(), outcome, reason, detail, fix: String::new() }
    };
    Evidence::RUNGS.into_iter().map(check).collect()
}

fn loaded(Observed { trial, end }: &Observed, facts: &Facts) -> Option<Stop> {
    let steps = [&trial.btf, &trial.maps, &trial.load];
    match steps.into_iter().flatten().find_map(|step| step.as_ref().err()) {
        Some(failure) => Some(not_loaded(failure, trial, facts)),
        None if trial.load == Some(Ok(())) => None,
        None => Some(broken_off(end, "loading the program")),
    }
}

fn not_loaded(failure: &Failure, trial: &CanaryResult, facts: &Facts) -> Stop {
    let detail = describe(failure);
    if let Some(stop) = shortage(failure) {
        return stop;
    }
    match failure.kind {
        FailureKind::BtfUnreadable => return btf_unreadable(&detail, facts),
        FailureKind::HookNotInBtf => {
            let detail = format!("the kernel's BTF has no function bpf_lsm_task_prctl ({detail})");
            return Stop::failed(Reason::HookNotInBtf, with_missing(&detail, facts));
        }
        _ => {}
    }
    if let Some(stop) =
        not_let(failure, trial, facts).or_else(|| memlock_used_up(failure, trial, facts))
    {
        return stop;
    }
    let silent = failure.verifier_log.is_empty();
    match failure.errno {
        Some(libc::EPERM | libc::EACCES) if silent && failure.kind == FailureKind::Program => {
            refused(&detail, trial, facts)
        }
        Some(libc::EPERM | libc::EACCES) if failure.kind == FailureKind::Map => {
            let detail = format!("even a map was refused, so no program could be tried: {detail}");
            Stop::untried(Reason::BpfRefused, detail)
        }
        Some(libc::EAGAIN) => Stop::untried(Reason::LoadFailed, detail),
        Some(libc::EINVAL) if silent && failure.kind == FailureKind::Program => {
            let detail = format!("the kernel knows no programs of type LSM: {detail}");
            Stop::failed(Reason::ProgramTypeUnsupported, with_missing(&detail, facts))
        }
        _ => Stop::failed(Reason::LoadFailed, detail),
    }
}

/// Something ran out, which says nothing about LSM programs.
fn shortage(failure: &Failure) -> Option<Stop> {
    let reason = match failure.errno? {
        libc::ENOMEM => Reason::NoMemory,
        libc::ENOSPC => Reason::NoSpace,
        libc::EMFILE | libc::ENFILE => Reason::TooManyFiles,
        _ => return None,
    };
    Some(Stop::untried(reason, describe(failure)))
}

/// Before Linux 5.11 the kernel charges maps and programs to RLIMIT_MEMLOCK and answers EPERM when it is used up
/// (`bpf_charge_memlock` in kernel/bpf/syscall.c). aya raises the limit where it may and tries again, so what is seen
/// here is a limit that it could not raise. Where another program was taken it is not memory that is short.
fn memlock_used_up(failure: &Failure, trial: &CanaryResult, facts: &Facts) -> Option<Stop> {
    let charged = matches!(failure.kind, FailureKind::Map | FailureKind::Program)
        && failure.verifier_log.is_empty();
    if !charged
        || failure.errno != Some(libc::EPERM)
        || facts.kernel_is_before((5, 11)) != Some(true)
    {
        return None;
    }
    if failure.kind == FailureKind::Program && trial.plain_load == Some(Ok(())) {
        return None;
    }
    let bytes = facts.process.fixed_memlock()?;
    let detail = format!(
        "this process may lock {bytes} bytes of memory (RLIMIT_MEMLOCK), which kernel {} charges BPF to, and cannot raise \
         that: {}",
        facts.kernel.release,
        describe(failure)
    );
    Some(Stop::untried(Reason::MemlockTooLow, detail))
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

/// With everything else that the kernel lacks.
pub(crate) fn with_missing(detail: &str, facts: &Facts) -> String {
    match missing::describe(facts) {
        missing if missing.is_empty() => detail.to_owned(),
        missing => format!("{detail}; {missing}"),
    }
}

/// This process was not let to bpf(2) at all, which says nothing about the kernel.
fn not_let(failure: &Failure, trial: &CanaryResult, facts: &Facts) -> Option<Stop> {
    if !matches!(failure.errno, Some(libc::EPERM | libc::EACCES | libc::ENOSYS)) {
        return None;
    }
    let detail = describe(failure);
    let missing = facts.process.missing_capabilities();
    if !missing.is_empty() {
        let detail = format!("this process lacks {}: {detail}", missing.join(" and "));
        return Some(Stop::untried(Reason::MissingCapability, detail));
    }
    if facts.process.in_initial_user_namespace == Some(false) {
        let detail = format!(
            "this process is in a user namespace of its own, where its capabilities do not count: {detail}"
        );
        return Some(Stop::untried(Reason::MissingCapability, detail));
    }
    match trial.bpf_call {
        Some(answer) if answer != UNKNOWN_OPTION && facts.process.is_filtered() => {
            let detail =
                format!("a seccomp filter answers every bpf(2) with {}", answer.describe());
            Some(Stop::untried(Reason::SeccompRefusesBpf, detail))
        }
        Some(Answer(libc::ENOSYS)) => Some(Stop::failed(
            Reason::ProgramTypeUnsupported,
            with_missing("the kernel has no bpf(2)", facts),
        )),
        _ => None,
    }
}

/// The capabilities are held, bpf(2) is reached, and still the kernel says no without a word of the verifier's.
fn refused(detail: &str, trial: &CanaryResult, facts: &Facts) -> Stop {
    let others = match &trial.plain_load {
        Some(Ok(())) => {
            "it takes other programs (a socket filter), so it is LSM programs that it refuses"
        }
        Some(Err(_)) => "it refuses other programs (a socket filter) too",
        None => "other programs were not tried",
    };
    let held = "though CAP_BPF and CAP_PERFMON are held and no seccomp filter is in the way";
    if facts.lists_bpf() == Some(true) {
        let detail = format!(
            "the kernel lists bpf as active ({}) and yet refuses LSM programs, {held}: {detail}; {others}",
            facts.lsms.active.join(",")
        );
        return Stop::failed(Reason::ListedButRefused, detail);
    }
    let detail = format!("the kernel refuses LSM programs, {held}: {detail}; {others}");
    Stop::failed(Reason::LsmProgramsRefused, detail)
}

fn attached(Observed { trial, end }: &Observed, facts: &Facts) -> Option<Stop> {
    let failure = match &trial.attach {
        Some(Ok(())) => return None,
        Some(Err(failure)) => failure,
        None => return Some(broken_off(end, "attaching the program")),
    };
    if let Some(stop) = shortage(failure) {
        return Some(stop);
    }
    let detail = describe(failure);
    Some(match failure.errno {
        Some(ENOTSUPP | libc::EOPNOTSUPP) => {
            let detail = format!("no BPF trampolines on this kernel: {detail}");
            Stop::failed(Reason::TrampolineUnsupported, with_missing(&detail, facts))
        }
        _ => Stop::failed(Reason::AttachFailed, detail),
    })
}

fn fired(Observed { trial, end }: &Observed, facts: &Facts) -> Option<Stop> {
    match trial.before {
        Some(UNKNOWN_OPTION) => {}
        Some(answer) => {
            let detail = format!(
                "the canary's prctl is answered with {} before anything is loaded, where the kernel's own answer is EINVAL",
                answer.describe()
            );
            return Some(Stop::untried(Reason::CallIntercepted, detail));
        }
        None => return Some(broken_off(end, "calling before anything was attached")),
    }
    match trial.fired {
        None => Some(broken_off(end, "calling the attached program")),
        Some(0) => Some(never_fired(facts)),
        Some(_) => None,
    }
}

fn never_fired(facts: &Facts) -> Stop {
    let silent = "the canary loads and attaches but never runs";
    match facts.lists_bpf() {
        Some(false) => {
            let active = facts.lsms.active.join(",");
            Stop::failed(
                Reason::BpfNotInLsmList,
                format!("{silent}: bpf is not among the active LSMs {active}"),
            )
        }
        Some(true) => {
            let active = facts.lsms.active.join(",");
            Stop::failed(
                Reason::ListedButNotFired,
                format!("{silent}, though the kernel lists bpf as active: {active}"),
            )
        }
        None => {
            let left_out = facts.left_out_by("bpf");
            let why = left_out.as_deref().unwrap_or("bpf is most likely not among the active LSMs");
            let detail = format!(
                "{silent}: {why}; the list of active LSMs cannot be read: {}",
                facts.lsms_detail
            );
            Stop::failed(Reason::NeverFired, detail)
        }
    }
}

fn denied(Observed { trial, end }: &Observed, _: &Facts) -> Option<Stop> {
    let (Some(ours), Some(wrong), Some(after)) = (trial.ours, trial.wrong_nonce, trial.after)
    else {
        return Some(broken_off(end, "comparing the answers"));
    };
    let expected = [
        (ours, DENIED, "our call while the canary was attached"),
        (wrong, UNKNOWN_OPTION, "a call with another nonce"),
        (after, UNKNOWN_OPTION, "our call after detaching"),
    ];
    let wrong: Vec<String> = expected
        .iter()
        .filter(|(answer, expected, _)| answer != expected)
        .map(|(answer, expected, call)| {
            format!("{call} ended with {}, not {}", answer.describe(), expected.describe())
        })
        .collect();
    (!wrong.is_empty()).then(|| {
        Stop::failed(Reason::FiredNotDenied, format!("the canary ran, but {}", wrong.join("; ")))
    })
}

/// The canary's process did not get far enough to tell.
fn broken_off(end: &End, doing: &str) -> Stop {
    match end {
        End::TimedOut(ms) => Stop::untried(
            Reason::CanaryTimedOut,
            format!("the canary hung {doing} and was killed after {ms} ms"),
        ),
        End::Signal(libc::SIGSYS) => Stop::untried(
            Reason::SeccompRefusesBpf,
            format!("a seccomp filter killed the canary (SIGSYS) when {doing}"),
        ),
        End::Signal(signal) => Stop::untried(
            Reason::CanaryCrashed,
            format!("the canary was ended by {} when {doing}", signal_name(*signal)),
        ),
        End::NotStarted(error) => Stop::untried(
            Reason::CanaryNotStarted,
            format!("the canary's process could not be started: {error}"),
        ),
        End::Exit(code) => Stop::untried(
            Reason::CanaryCrashed,
            format!("the canary ended with code {code} when {doing}"),
        ),
        End::Finished => Stop::untried(
            Reason::CanaryCrashed,
            format!("the canary ended without a word about {doing}"),
        ),
    }
}

fn signal_name(signal: i32) -> String {
    let name = match signal {
        libc::SIGKILL => "SIGKILL, perhaps for want of memory",
        libc::SIGSEGV => "SIGSEGV",
        libc::SIGABRT => "SIGABRT",
        libc::SIGBUS => "SIGBUS",
        libc::SIGILL => "SIGILL",
        libc::SIGTERM => "SIGTERM",
        _ => return format!("signal {signal}"),
    };
    format!("signal {signal} ({name})")
}

/// A failure in one line: words, errno, and the end of the verifier's log, where it says what it objects to.
pub fn describe(failure: &Failure) -> String {
    let errno =
        failure.errno.map(describe_errno).filter(|errno| !failure.message.contains(errno.as_str()));
    let errno = errno.map_or_else(String::new, |errno| format!(": {errno}"));
    let log = match failure.verifier_log.as_str() {
        "" if failure.kind == FailureKind::Program => ", and the verifier said nothing".to_owned(),
        "" => String::new(),
        log => format!("; the verifier said: {}", tail(log, 1000)),
    };
    format!("{}{errno}{log}", failure.message)
}

/// At most so many bytes of the text's end, at a boundary of characters.
fn tail(text: &str, most: usize) -> &str {
    let mut start = text.len().saturating_sub(most);
    while !text.is_char_boundary(start) {
        start += 1;
    }
    &text[start..]
}

#[cfg(test)]
pub(crate) mod tests;

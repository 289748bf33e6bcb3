//! The diagnosis: what the canary's raw answers prove, and which reason explains where it stopped.
//!
//! In: what was [`Observed`] of the canary, and the [`Facts`] of the machine. Out: the evidence,
//! the reason, a sentence, and the four rungs as checks. Facts choose between reasons; they never
//! raise the evidence.

mod failure;
mod load;
mod stop;
#[cfg(test)]
pub(crate) mod tests;

use lsm_ready_crds::{Evidence, Reason};

use super::check::Check;
use crate::canary::Observed;
use crate::facts::Facts;
use crate::facts::missing::with_missing;
use crate::sys::{Answer, ENOTSUPP};
pub use failure::describe;
use load::not_loaded;
use stop::{Stop, shortage, unfinished};

/// The kernel's own answer to a prctl option that it does not know.
const UNKNOWN_OPTION: Answer = Answer(libc::EINVAL);
/// The canary's answer.
const DENIED: Answer = Answer(libc::EKEYREJECTED);

/// What was proved, and why not more.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Diagnosis {
    /// The highest rung proved.
    pub evidence: Evidence,
    /// Why the evidence is no higher; [`Reason::CanaryDenied`] at the top.
    pub reason: Reason,
    /// The reason in a sentence, with the raw error.
    pub message: String,
    /// The rungs as checks, lowest first.
    pub rungs: Vec<Check>,
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
    let rungs = checks(evidence, stopped.as_ref());
    let (reason, message) = match stopped {
        None => (
            Reason::CanaryDenied,
            "an LSM program denied our call, only ours, and only while it was attached".to_owned(),
        ),
        Some(stop) => (stop.reason, stop.detail),
    };
    Diagnosis { evidence, reason, message, rungs }
}

fn checks(evidence: Evidence, stopped: Option<&Stop>) -> Vec<Check> {
    // Only the first rung above the evidence takes the stop; those above it were not reached.
    let mut stopped = stopped;
    let check = |rung: Evidence| {
        let name = rung.as_str();
        if rung <= evidence {
            return Check::passed(name, "");
        }
        stopped.take().map_or_else(
            || Check::unknown(name, "not reached"),
            |stop| Check {
                reason: Some(stop.reason),
                ..Check::new(name, stop.outcome, stop.detail.clone())
            },
        )
    };
    Evidence::RUNGS.into_iter().map(check).collect()
}

fn loaded(Observed { result, end }: &Observed, facts: &Facts) -> Option<Stop> {
    let steps = [&result.btf, &result.maps, &result.load];
    match steps.into_iter().flatten().find_map(|step| step.as_ref().err()) {
        Some(failure) => Some(not_loaded(failure, result, facts)),
        None if result.load == Some(Ok(())) => None,
        None => Some(unfinished(end, "loading the program")),
    }
}

fn attached(Observed { result, end }: &Observed, facts: &Facts) -> Option<Stop> {
    let failure = match &result.attach {
        Some(Ok(())) => return None,
        Some(Err(failure)) => failure,
        None => return Some(unfinished(end, "attaching the program")),
    };
    if let Some(stop) = shortage(failure) {
        return Some(stop);
    }
    let detail = describe(failure);
    Some(match failure.errno {
        Some(ENOTSUPP | libc::EOPNOTSUPP) => {
            let detail = format!("this kernel has no BPF trampolines: {detail}");
            Stop::failed(Reason::TrampolineUnsupported, with_missing(&detail, facts))
        }
        _ => Stop::failed(Reason::AttachFailed, detail),
    })
}

fn fired(Observed { result, end }: &Observed, facts: &Facts) -> Option<Stop> {
    match result.before {
        Some(UNKNOWN_OPTION) => {}
        Some(answer) => {
            let detail = format!(
                "the canary's prctl was answered with {} before anything was loaded; the kernel's \
                 own answer is EINVAL",
                answer.describe()
            );
            return Some(Stop::untried(Reason::CallIntercepted, detail));
        }
        None => return Some(unfinished(end, "making its call before it attached the program")),
    }
    match result.fired {
        None => Some(unfinished(end, "making its call while the program was attached")),
        Some(0) => Some(never_fired(facts)),
        Some(_) => None,
    }
}

fn never_fired(facts: &Facts) -> Stop {
    let silent = "the canary loads and attaches but never runs";
    let active = facts.lsms.active.join(",");
    match facts.lists_bpf() {
        Some(false) => Stop::failed(
            Reason::BpfNotInLsmList,
            format!("{silent}: bpf is not among the active LSMs {active}"),
        ),
        Some(true) => Stop::failed(
            Reason::ListedButNotFired,
            format!("{silent}, although the kernel lists bpf as active: {active}"),
        ),
        None => {
            let left_out = facts.left_out_by("bpf");
            let cause =
                left_out.as_deref().unwrap_or("bpf is most likely not among the active LSMs");
            let detail = format!(
                "{silent}: {cause}; the list of active LSMs cannot be read: {}",
                facts.lsms_detail
            );
            Stop::failed(Reason::NeverFired, detail)
        }
    }
}

/// One of the calls that prove a denial.
struct Call {
    name: &'static str,
    answer: Answer,
    expected: Answer,
}

fn denied(Observed { result, end }: &Observed, _: &Facts) -> Option<Stop> {
    let (Some(ours), Some(wrong), Some(after)) = (result.ours, result.wrong_nonce, result.after)
    else {
        return Some(unfinished(end, "comparing the answers"));
    };
    let calls = [
        Call { name: "our call while the canary was attached", answer: ours, expected: DENIED },
        Call { name: "a call with another nonce", answer: wrong, expected: UNKNOWN_OPTION },
        Call { name: "our call after detaching", answer: after, expected: UNKNOWN_OPTION },
    ];
    let wrong: Vec<String> = calls
        .iter()
        .filter(|call| call.answer != call.expected)
        .map(|Call { name, answer, expected }| {
            format!("{name} was answered with {}, not {}", answer.describe(), expected.describe())
        })
        .collect();
    (!wrong.is_empty()).then(|| {
        Stop::failed(Reason::FiredNotDenied, format!("the canary ran, but {}", wrong.join("; ")))
    })
}

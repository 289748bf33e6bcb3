//! What the answers of the canary prove, on machines of all kinds.

mod load;
mod rungs;

use lsm_ready_crds::State;

use super::*;
use crate::canary::{CanaryResult, End, Failure, FailureKind};
use crate::facts::{Raw, Unread, tests::raw};

/// A run in which the canary's call was denied.
pub fn proved() -> CanaryResult {
    CanaryResult {
        bpf_call: Some(Answer(libc::EINVAL)),
        before: Some(Answer(libc::EINVAL)),
        btf: Some(Ok(())),
        maps: Some(Ok(())),
        load: Some(Ok(())),
        attach: Some(Ok(())),
        ours: Some(Answer(libc::EKEYREJECTED)),
        wrong_nonce: Some(Answer(libc::EINVAL)),
        fired: Some(1),
        after: Some(Answer(libc::EINVAL)),
        attached_us: Some(100),
        plain_load: None,
        kernel_reads: Some(Ok(true)),
        finished: true,
    }
}

/// A run in which that step was refused.
fn refused_load(kind: FailureKind, errno: i32, log: &str) -> CanaryResult {
    let failure = Failure {
        kind,
        errno: Some(errno),
        message: "refused".to_owned(),
        verifier_log: log.to_owned(),
    };
    let step = Some(Err(failure));
    let (btf, maps, load) = match kind {
        FailureKind::BtfUnreadable | FailureKind::BtfInvalid => (step, None, None),
        FailureKind::Map => (Some(Ok(())), step, None),
        _ => (Some(Ok(())), Some(Ok(())), step),
    };
    let plain_load = Some(Ok(()));
    CanaryResult {
        bpf_call: Some(Answer(libc::EINVAL)),
        before: Some(Answer(libc::EINVAL)),
        btf,
        maps,
        load,
        plain_load,
        finished: true,
        ..CanaryResult::default()
    }
}

fn not_attached(errno: i32) -> CanaryResult {
    let failure = Failure {
        kind: FailureKind::Program,
        errno: Some(errno),
        message: "attach".to_owned(),
        verifier_log: String::new(),
    };
    CanaryResult {
        bpf_call: Some(Answer(libc::EINVAL)),
        attach: Some(Err(failure)),
        ours: None,
        wrong_nonce: None,
        fired: None,
        after: None,
        ..proved()
    }
}

fn finished(result: CanaryResult) -> Observed {
    Observed { result, end: End::Finished }
}

fn facts() -> Facts {
    Facts::of(&raw())
}

fn listing(lsms: Option<&str>) -> Facts {
    let unread =
        || Unread { missing: true, message: "/sys/kernel/security/lsm: no such file".to_owned() };
    let lsm_file = lsms.map(str::to_owned).ok_or_else(unread);
    Facts::of(&Raw { lsm_ids: Err(Answer(libc::ENOSYS)), lsm_file, ..raw() })
}

fn with_status(status: &str) -> Facts {
    Facts::of(&Raw { status: Ok(status.to_owned()), ..raw() })
}

/// The outcome of the first rung that did not pass.
fn stopped(diagnosis: &Diagnosis) -> Option<State> {
    diagnosis.rungs.iter().map(|check| check.outcome).find(|outcome| *outcome != State::Ready)
}

fn judged(observed: &Observed, facts: &Facts) -> (Evidence, Reason, Option<State>) {
    let diagnosis = diagnose(observed, facts);
    assert!(!diagnosis.message.is_empty());
    assert!(as_documented(&diagnosis), "{diagnosis:?}");
    (diagnosis.evidence, diagnosis.reason, stopped(&diagnosis))
}

/// Whether the reason can stand for the node's state, by docs/reasons.md.
fn as_documented(diagnosis: &Diagnosis) -> bool {
    let state = match stopped(diagnosis) {
        None => State::Ready,
        Some(State::Unknown) => State::Unknown,
        Some(_) => State::NotReady,
    };
    diagnosis.reason.states().contains(&state)
}

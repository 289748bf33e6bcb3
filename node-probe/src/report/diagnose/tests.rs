use lsm_ready_crds::State;
use lsm_ready_crds::node::{Kernel, LsmSource};
use proptest::prelude::*;

use super::*;
use crate::canary::Step;
use crate::facts::{Raw, Unread, tests::raw};

/// A run in which the canary got to the top.
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

/// A run that ended with that step.
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

fn finished(trial: CanaryResult) -> Observed {
    Observed { trial, end: End::Finished }
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

/// The node is what docs/reasons.md says it is with that reason.
fn as_documented(diagnosis: &Diagnosis) -> bool {
    let state = match stopped(diagnosis) {
        None => State::Ready,
        Some(State::Unknown) => State::Unknown,
        Some(_) => State::NotReady,
    };
    diagnosis.reason.states().contains(&state)
}

#[test]
fn all_rungs_are_climbed() {
    assert_eq!(
        judged(&finished(proved()), &facts()),
        (Evidence::Denied, Reason::CanaryDenied, None)
    );
    // A list without bpf does not lower what was proved, as one with it raises nothing.
    let judged = judged(&finished(proved()), &listing(Some("capability,yama")));
    assert_eq!(judged, (Evidence::Denied, Reason::CanaryDenied, None));
}

#[test]
fn refused_programs() {
    use FailureKind::{BtfInvalid, BtfUnreadable, HookNotInBtf, Map, Other, Program};
    let listed = facts();
    let unlisted = listing(Some("capability,yama"));
    for (kind, errno, log, facts, reason, outcome) in [
        (Program, libc::EPERM, "", &listed, Reason::ListedButRefused, State::NotReady),
        (Program, libc::EACCES, "", &listed, Reason::ListedButRefused, State::NotReady),
        (Program, libc::EPERM, "", &unlisted, Reason::LsmProgramsRefused, State::NotReady),
        (Program, libc::EPERM, "", &listing(None), Reason::LsmProgramsRefused, State::NotReady),
        (Program, libc::EACCES, "invalid access", &listed, Reason::LoadFailed, State::NotReady),
        (Program, libc::EINVAL, "", &listed, Reason::ProgramTypeUnsupported, State::NotReady),
        (Program, libc::EINVAL, "bad insn", &listed, Reason::LoadFailed, State::NotReady),
        (Program, libc::ENOMEM, "", &listed, Reason::NoMemory, State::Unknown),
        (Map, libc::ENOMEM, "", &listed, Reason::NoMemory, State::Unknown),
        (BtfUnreadable, libc::ENOMEM, "", &listed, Reason::NoMemory, State::Unknown),
        (Program, libc::EAGAIN, "", &listed, Reason::LoadFailed, State::Unknown),
        (Map, libc::EMFILE, "", &listed, Reason::TooManyFiles, State::Unknown),
        (BtfUnreadable, libc::ENFILE, "", &listed, Reason::TooManyFiles, State::Unknown),
        (Map, libc::ENOSPC, "", &listed, Reason::NoSpace, State::Unknown),
        (Program, libc::ENOSPC, "", &listed, Reason::NoSpace, State::Unknown),
        (Map, libc::EPERM, "", &listed, Reason::BpfRefused, State::Unknown),
        (Map, libc::EACCES, "", &unlisted, Reason::BpfRefused, State::Unknown),
        (Map, libc::EINVAL, "", &listed, Reason::LoadFailed, State::NotReady),
        (HookNotInBtf, 0, "", &listed, Reason::HookNotInBtf, State::NotReady),
        (BtfInvalid, 0, "", &listed, Reason::LoadFailed, State::NotReady),
        (Other, 0, "", &listed, Reason::LoadFailed, State::NotReady),
    ] {
        let judged = judged(&finished(refused_load(kind, errno, log)), facts);
        assert_eq!(judged, (Evidence::None, reason, Some(outcome)), "{kind:?} {errno} {log:?}");
    }
}

#[test]
fn what_this_process_may_not_do_says_nothing_about_the_kernel() {
    let refused = finished(refused_load(FailureKind::Map, libc::EPERM, ""));
    for (facts, reason) in [
        (with_status("CapEff:\t0000000000000000\n"), Reason::MissingCapability),
        (with_status("CapEff:\t0000008000000000\n"), Reason::MissingCapability),
        (
            Facts::of(&Raw { user_namespace: Ok("user:[4026532222]".to_owned()), ..raw() }),
            Reason::MissingCapability,
        ),
    ] {
        assert_eq!(judged(&refused, &facts), (Evidence::None, reason, Some(State::Unknown)));
    }
}

#[test]
fn memory_that_may_be_locked_is_told_from_a_refusal() {
    let machine = |release: &str, capabilities: &str, hard: &str| {
        let kernel = Kernel { release: release.to_owned(), machine: "x86_64".to_owned() };
        let limits = Ok(format!("Max locked memory  65536  {hard}  bytes\n"));
        Facts::of(&Raw {
            kernel,
            status: Ok(format!("CapEff:\t{capabilities}\n")),
            limits,
            ..raw()
        })
    };
    let (few, all) = ("000000c000000000", "000001ffffffffff");
    let map = || refused_load(FailureKind::Map, libc::EPERM, "");
    let program = || refused_load(FailureKind::Program, libc::EPERM, "");
    let plain_too = Some(Err(Failure {
        kind: FailureKind::Program,
        errno: Some(libc::EPERM),
        message: "refused".to_owned(),
        verifier_log: String::new(),
    }));
    for (trial, facts, reason) in [
        (map(), machine("5.10.205-eks", few, "65536"), Reason::MemlockTooLow),
        (map(), machine("5.10.205-eks", few, "unlimited"), Reason::BpfRefused),
        (map(), machine("5.10.205-eks", all, "65536"), Reason::BpfRefused),
        (map(), machine("5.11.0", few, "65536"), Reason::BpfRefused),
        (map(), machine("unknown", few, "65536"), Reason::BpfRefused),
        (program(), machine("5.10.205-eks", few, "65536"), Reason::ListedButRefused),
        (
            CanaryResult { plain_load: plain_too, ..program() },
            machine("5.10.0", few, "65536"),
            Reason::MemlockTooLow,
        ),
    ] {
        let what = format!("{:?} {:?}", facts.kernel, facts.process);
        assert_eq!(judged(&finished(trial), &facts).1, reason, "{what}");
    }
}

#[test]
fn a_seccomp_filter_is_told_from_a_kernel_that_refuses() {
    let filtered = with_status("CapEff:\t000000c000000000\nSeccomp:\t2\n");
    let answered = |errno| {
        finished(CanaryResult {
            bpf_call: Some(Answer(errno)),
            ..refused_load(FailureKind::Map, errno, "")
        })
    };
    for errno in [libc::EPERM, libc::ENOSYS] {
        let judged = judged(&answered(errno), &filtered);
        assert_eq!(
            judged,
            (Evidence::None, Reason::SeccompRefusesBpf, Some(State::Unknown)),
            "{errno}"
        );
    }
    // bpf(2) itself is reached, so the filter is not to blame.
    let refused = finished(refused_load(FailureKind::Program, libc::EPERM, ""));
    assert_eq!(judged(&refused, &filtered).1, Reason::ListedButRefused);
    // No filter: the kernel has no bpf(2).
    assert_eq!(judged(&answered(libc::ENOSYS), &facts()).1, Reason::ProgramTypeUnsupported);
    let killed = Observed { trial: CanaryResult::default(), end: End::Signal(libc::SIGSYS) };
    assert_eq!(
        judged(&killed, &filtered),
        (Evidence::None, Reason::SeccompRefusesBpf, Some(State::Unknown))
    );
}

#[test]
fn missing_btf_is_told_from_missing_sysfs() {
    let observed = finished(refused_load(FailureKind::BtfUnreadable, libc::ENOENT, ""));
    let missing =
        || Unread { missing: true, message: "/sys/kernel/btf/vmlinux: no such file".to_owned() };
    let without_btf = Facts::of(&Raw { btf: Err(missing()), ..raw() });
    assert_eq!(
        judged(&observed, &without_btf),
        (Evidence::None, Reason::BtfMissing, Some(State::NotReady))
    );
    let without_sysfs = Facts::of(&Raw {
        btf: Err(missing()),
        securityfs: Err(missing()),
        mountinfo: Err(missing()),
        ..raw()
    });
    assert_eq!(
        judged(&observed, &without_sysfs),
        (Evidence::None, Reason::BtfMissing, Some(State::Unknown))
    );
}

#[test]
fn attaching_fails() {
    for (errno, reason) in [
        (524, Reason::TrampolineUnsupported),
        (libc::EOPNOTSUPP, Reason::TrampolineUnsupported),
        (libc::EBUSY, Reason::AttachFailed),
    ] {
        let judged = judged(&finished(not_attached(errno)), &facts());
        assert_eq!(judged, (Evidence::Loaded, reason, Some(State::NotReady)), "{errno}");
    }
    for (errno, reason) in [(libc::ENOMEM, Reason::NoMemory), (libc::EMFILE, Reason::TooManyFiles)]
    {
        let judged = judged(&finished(not_attached(errno)), &facts());
        assert_eq!(judged, (Evidence::Loaded, reason, Some(State::Unknown)), "{errno}");
    }
}

#[test]
fn a_silent_canary_is_explained_by_the_list() {
    let silent =
        finished(CanaryResult { fired: Some(0), ours: Some(Answer(libc::EINVAL)), ..proved() });
    for (facts, reason) in [
        (listing(Some("capability,yama")), Reason::BpfNotInLsmList),
        (listing(Some("capability,bpf")), Reason::ListedButNotFired),
        (listing(None), Reason::NeverFired),
        (listing(Some("")), Reason::NeverFired),
    ] {
        assert_eq!(judged(&silent, &facts), (Evidence::Attached, reason, Some(State::NotReady)));
    }
}

#[test]
fn a_denial_has_to_be_exact() {
    for trial in [
        CanaryResult { ours: Some(Answer(libc::EINVAL)), ..proved() },
        CanaryResult { ours: Some(Answer(libc::EPERM)), ..proved() },
        CanaryResult { ours: Some(Answer(0)), ..proved() },
        CanaryResult { wrong_nonce: Some(Answer(libc::EKEYREJECTED)), ..proved() },
        CanaryResult { after: Some(Answer(libc::EKEYREJECTED)), ..proved() },
    ] {
        assert_eq!(
            judged(&finished(trial), &facts()),
            (Evidence::Fired, Reason::FiredNotDenied, Some(State::NotReady))
        );
    }
}

#[test]
fn a_call_that_others_answer_proves_nothing() {
    for errno in [0, libc::EPERM, libc::EKEYREJECTED] {
        let judged =
            judged(&finished(CanaryResult { before: Some(Answer(errno)), ..proved() }), &facts());
        assert_eq!(
            judged,
            (Evidence::Attached, Reason::CallIntercepted, Some(State::Unknown)),
            "{errno}"
        );
    }
}

#[test]
fn a_child_that_hangs_or_crashes_is_a_finding() {
    let loaded_only = CanaryResult {
        attach: None,
        ours: None,
        wrong_nonce: None,
        fired: None,
        after: None,
        finished: false,
        ..proved()
    };
    for (end, reason) in [
        (End::TimedOut(30_000), Reason::CanaryTimedOut),
        (End::Signal(libc::SIGSEGV), Reason::CanaryCrashed),
        (End::Exit(101), Reason::CanaryCrashed),
        (End::Finished, Reason::CanaryCrashed),
    ] {
        let observed = Observed { trial: loaded_only.clone(), end };
        assert_eq!(judged(&observed, &facts()), (Evidence::Loaded, reason, Some(State::Unknown)));
    }
    let not_started =
        Observed { trial: CanaryResult::default(), end: End::NotStarted("EAGAIN".to_owned()) };
    assert_eq!(
        judged(&not_started, &facts()),
        (Evidence::None, Reason::CanaryNotStarted, Some(State::Unknown))
    );
}

#[test]
fn rungs_above_the_first_that_failed_are_unknown() {
    let diagnosis =
        diagnose(&finished(refused_load(FailureKind::Program, libc::EPERM, "")), &facts());
    let outcomes: Vec<State> = diagnosis.rungs.iter().map(|check| check.outcome).collect();
    assert_eq!(outcomes, [State::NotReady, State::Unknown, State::Unknown, State::Unknown]);
    assert_eq!(diagnosis.rungs[0].reason, "ListedButRefused");
    assert!(diagnosis.message.contains("a socket filter"), "{}", diagnosis.message);
}

/// Mostly the right answer, so that many runs are all but perfect.
fn nearly(right: i32) -> impl Strategy<Value = Option<Answer>> {
    let others =
        prop_oneof![Just(0), Just(libc::EINVAL), Just(libc::EKEYREJECTED), Just(libc::EPERM)];
    prop_oneof![
        8 => Just(Some(Answer(right))),
        1 => others.prop_map(|errno| Some(Answer(errno))),
        1 => Just(None),
    ]
}

fn any_step() -> impl Strategy<Value = Option<Step>> {
    let failure = (0..6usize, any::<i16>(), "[a-z]{0,9}").prop_map(|(kind, errno, log)| Failure {
        kind: [
            FailureKind::BtfUnreadable,
            FailureKind::BtfInvalid,
            FailureKind::HookNotInBtf,
            FailureKind::Map,
            FailureKind::Program,
            FailureKind::Other,
        ][kind],
        errno: Some(i32::from(errno)),
        message: "m".to_owned(),
        verifier_log: log,
    });
    prop_oneof![8 => Just(Some(Ok(()))), 1 => failure.prop_map(|failure| Some(Err(failure))), 1 => Just(None)]
}

proptest! {
    /// Whatever the answers: Denied is said only where every one of them is what a denial takes.
    #[test]
    fn there_is_no_false_ready(
        btf in any_step(), maps in any_step(), load in any_step(), attach in any_step(),
        before in nearly(libc::EINVAL), ours in nearly(libc::EKEYREJECTED), wrong_nonce in nearly(libc::EINVAL),
        after in nearly(libc::EINVAL),
        fired in proptest::option::of(0..3u64), list in proptest::option::of("(capability|yama|,|bpf)*"),
    ) {
        let trial = CanaryResult { before, btf, maps, load, attach, ours, wrong_nonce, fired, after, ..proved() };
        let perfect = before == Some(UNKNOWN_OPTION) && trial.load == Some(Ok(())) && trial.attach == Some(Ok(())) && ours == Some(DENIED)
            && wrong_nonce == Some(UNKNOWN_OPTION) && after == Some(UNKNOWN_OPTION) && fired.is_some_and(|fired| fired > 0);
        let facts = listing(list.as_deref());
        prop_assert!(facts.lsms.source == LsmSource::Securityfs || facts.lists_bpf().is_none());
        let diagnosis = diagnose(&finished(trial), &facts);
        prop_assert!(diagnosis.evidence < Evidence::Denied || perfect);
        prop_assert_eq!(diagnosis.reason == Reason::CanaryDenied, diagnosis.evidence == Evidence::Denied);
        prop_assert_eq!(stopped(&diagnosis).is_none(), diagnosis.evidence == Evidence::Denied);
        prop_assert!(as_documented(&diagnosis));
    }
}

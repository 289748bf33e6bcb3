//! The rungs above the load, and canaries that end early.

use std::time::Duration;

use lsm_ready_crds::consistency::{contradiction, gap};
use lsm_ready_crds::node::LsmSource;
use lsm_ready_crds::probe_version::unknown_version;
use proptest::prelude::*;

use super::*;
use crate::canary::Step;
use crate::report::Report;

#[test]
fn a_denial_is_the_highest_evidence() {
    assert_eq!(
        judged(&finished(proved()), &facts()),
        (Evidence::Denied, Reason::CanaryDenied, None)
    );
    // A list without bpf does not lower what was proved, as one with it raises nothing.
    let judged = judged(&finished(proved()), &listing(Some("capability,yama")));
    assert_eq!(judged, (Evidence::Denied, Reason::CanaryDenied, None));
}

#[test]
fn each_failed_attach_has_its_reason() {
    for (errno, reason) in [
        (ENOTSUPP, Reason::TrampolineUnsupported),
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
fn the_list_of_lsms_explains_a_canary_that_never_runs() {
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
fn a_denial_counts_only_with_the_right_answer_to_each_call() {
    for result in [
        CanaryResult { ours: Some(Answer(libc::EINVAL)), ..proved() },
        CanaryResult { ours: Some(Answer(libc::EPERM)), ..proved() },
        CanaryResult { ours: Some(Answer(0)), ..proved() },
        CanaryResult { wrong_nonce: Some(Answer(libc::EKEYREJECTED)), ..proved() },
        CanaryResult { after: Some(Answer(libc::EKEYREJECTED)), ..proved() },
    ] {
        assert_eq!(
            judged(&finished(result), &facts()),
            (Evidence::Fired, Reason::FiredNotDenied, Some(State::NotReady))
        );
    }
}

#[test]
fn a_call_that_something_else_answers_proves_nothing() {
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
fn a_child_that_hangs_or_crashes_leaves_the_rest_unknown() {
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
        let observed = Observed { result: loaded_only.clone(), end };
        assert_eq!(judged(&observed, &facts()), (Evidence::Loaded, reason, Some(State::Unknown)));
    }
    let not_started =
        Observed { result: CanaryResult::default(), end: End::NotStarted("EAGAIN".to_owned()) };
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
    assert_eq!(diagnosis.rungs[0].reason, Some(Reason::ListedButRefused));
    assert!(diagnosis.message.contains("a socket filter"), "{}", diagnosis.message);
}

/// Mostly the right answer, so that many runs are nearly perfect.
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
    prop_oneof![
        8 => Just(Some(Ok(()))),
        1 => failure.prop_map(|failure| Some(Err(failure))),
        1 => Just(None),
    ]
}

proptest! {
    #[test]
    fn denied_is_reported_only_for_an_exact_denial(
        btf in any_step(),
        maps in any_step(),
        load in any_step(),
        attach in any_step(),
        before in nearly(libc::EINVAL),
        ours in nearly(libc::EKEYREJECTED),
        wrong_nonce in nearly(libc::EINVAL),
        after in nearly(libc::EINVAL),
        fired in proptest::option::of(0..3u64),
        list in proptest::option::of("(capability|yama|,|bpf)*"),
    ) {
        let result = CanaryResult {
            before, btf, maps, load, attach, ours, wrong_nonce, fired, after, ..proved()
        };
        let is_attached = result.load == Some(Ok(())) && result.attach == Some(Ok(()));
        let others_pass = [before, wrong_nonce, after] == [Some(UNKNOWN_OPTION); 3];
        let has_fired = fired.is_some_and(|fired| fired > 0);
        let is_exact = is_attached && others_pass && ours == Some(DENIED) && has_fired;
        let facts = listing(list.as_deref());
        prop_assert!(facts.lsms.source == LsmSource::Securityfs || facts.lists_bpf().is_none());
        let diagnosis = diagnose(&finished(result), &facts);
        let is_denied = diagnosis.evidence == Evidence::Denied;
        prop_assert!(!is_denied || is_exact);
        prop_assert_eq!(diagnosis.reason == Reason::CanaryDenied, is_denied);
        prop_assert_eq!(stopped(&diagnosis).is_none(), is_denied);
        prop_assert!(as_documented(&diagnosis));
        // The operator calls none of our reports inconsistent.
        let report = Report::from_diagnosis(diagnosis, vec![], &facts, Duration::ZERO);
        let status = report.into_status();
        prop_assert_eq!(contradiction(&status), None);
        prop_assert_eq!(gap(&status), None);
        prop_assert_eq!(unknown_version(&status.probe_version), None);
    }
}

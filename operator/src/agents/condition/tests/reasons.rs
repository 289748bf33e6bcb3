//! Which reason the condition has.

use ConditionReason as R;

use super::*;

fn check(rows: &[(Vec<Node>, State, ConditionReason)]) {
    for (nodes, status, reason) in rows {
        let finding = judge(&deny(), nodes, &circumstances());
        assert_eq!((finding.status, finding.reason), (*status, *reason), "{nodes:#?}");
    }
}

#[test]
fn the_worst_problem_of_all_answers_is_the_reason() {
    use State::{NotReady as False, Ready as True, Unknown};
    let nothing = || says(&[]);
    let fine = || ready(enforcing());
    check(&[
        (vec![], Unknown, R::NotAsked),
        (vec![fine()], True, R::AllEnforcing),
        (vec![not_ready(enforcing())], True, R::AllEnforcing),
        (vec![fine(), not_asked()], Unknown, R::Asking),
        (vec![fine(), early(enforcing())], Unknown, R::Asking),
        (vec![fine(), ready(load_error("no"))], False, R::AgentDisagrees),
        (vec![ready(counted(PolicyState::LoadError))], False, R::AgentDisagrees),
        (vec![not_ready(load_error("no")), ready(load_error("no"))], False, R::AgentDisagrees),
        (vec![not_ready(load_error("no")), ready(nothing())], False, R::LoadErrors),
        (vec![fine(), ready(nothing()), ready(monitoring())], False, R::PoliciesMissing),
        (vec![fine(), early(nothing())], Unknown, R::Loading),
        (
            vec![fine(), ready(state(PolicyState::Disabled)), ready(monitoring())],
            False,
            R::PoliciesDisabled,
        ),
        (vec![fine(), ready(state(PolicyState::PartiallyEnabled))], False, R::PartiallyEnabled),
        (vec![fine(), ready(state(PolicyState::Skipped))], False, R::PoliciesSkipped),
        (vec![fine(), early(state(PolicyState::Skipped))], Unknown, R::Loading),
    ]);
}

#[test]
fn silence_and_missing_knowledge_make_the_condition_unknown() {
    use State::{NotReady as False, Unknown};
    let fine = || ready(enforcing());
    check(&[
        (vec![fine(), ready(monitoring())], False, R::MonitorMode),
        (vec![fine(), early(monitoring())], False, R::MonitorMode),
        (vec![ready(monitoring()), ready(silent(AskError::Refused))], False, R::MonitorMode),
        (
            vec![fine(), ready(silent(AskError::Refused)), ready(state(PolicyState::Loading))],
            Unknown,
            R::NoAnswer,
        ),
        (vec![fine(), early(silent(AskError::Refused))], Unknown, R::Starting),
        (
            vec![fine(), early(silent(AskError::Refused)), ready(silent(AskError::Refused))],
            Unknown,
            R::NoAnswer,
        ),
        (vec![fine(), ready(state(PolicyState::Loading))], Unknown, R::Loading),
        (vec![fine(), ready(state(PolicyState::Unclear))], Unknown, R::StateUnclear),
        (vec![fine(), ready(counted(PolicyState::Enabled))], Unknown, R::ModeUnknown),
    ]);
}

#[test]
fn observing_policies_decide_only_if_no_policy_denies() {
    let observes = || json!({"kprobes": [{"call": "sys_write"}]});
    let (name, enabled) = ("audit", Some(Mode::Enforce));
    let both = cluster(&[("deny", spec("Sigkill")), (name, observes())]);
    let reply = says(&[
        ("deny", PolicyState::Enabled, enabled, ""),
        (name, PolicyState::Enabled, enabled, ""),
    ]);
    let finding = judge(&both, &[ready(reply)], &circumstances());
    assert_eq!(finding.status, State::Ready);
    assert!(finding.message.contains("Only observing, not judged: audit"), "{}", finding.message);
    // The observing policy must be enabled too.
    let reply = says(&[
        ("deny", PolicyState::Enabled, enabled, ""),
        (name, PolicyState::Disabled, None, ""),
    ]);
    assert_eq!(judge(&both, &[ready(reply)], &circumstances()).reason, R::PoliciesDisabled);
    // Alone, the observing policy enforces nothing.
    let alone = cluster(&[(name, observes())]);
    let finding = judge(
        &alone,
        &[ready(says(&[(name, PolicyState::Enabled, enabled, "")]))],
        &circumstances(),
    );
    assert_eq!((finding.status, finding.reason), (State::NotReady, R::NoEnforcingAction));
    // A policy with LSM hooks must deny.
    let post = cluster(&[("deny", spec("Sigkill")), ("post", spec("Post"))]);
    let reply = says(&[
        ("deny", PolicyState::Enabled, enabled, ""),
        ("post", PolicyState::Enabled, enabled, ""),
    ]);
    let finding = judge(&post, &[ready(reply)], &circumstances());
    assert_eq!((finding.status, finding.reason), (State::NotReady, R::NoEnforcingAction));
    assert!(
        finding.message.contains("post on n00. Add an action that denies"),
        "{}",
        finding.message
    );
}

#[test]
fn without_policies_the_condition_is_unknown() {
    let empty = || ready(says(&[]));
    let finding = judge(&cluster(&[]), &[empty()], &circumstances());
    assert_eq!((finding.status, finding.reason), (State::Unknown, R::NoPolicies));
    let not_installed = Circumstances { not_installed: vec!["tracingpolicies"], ..circumstances() };
    let finding = judge(&cluster(&[]), &[empty()], &not_installed);
    assert!(finding.message.contains("Missing: tracingpolicies.cilium.io"), "{}", finding.message);
    // Silence does not mean that there are no policies.
    assert_eq!(
        judge(&cluster(&[]), &[ready(silent(AskError::Refused))], &circumstances()).reason,
        R::NoAnswer
    );
    // The TracingPolicies in the cluster are unknown.
    let unread = Circumstances {
        unread: Some((R::TracingPoliciesForbidden, "may not".into())),
        ..circumstances()
    };
    let finding = judge(&cluster(&[]), &[ready(enforcing())], &unread);
    assert_eq!((finding.status, finding.reason), (State::Unknown, R::TracingPoliciesForbidden));
}

#[test]
fn a_policy_from_a_file_is_named_and_not_judged() {
    let answer = says(&[
        ("deny", PolicyState::Enabled, Some(Mode::Enforce), ""),
        ("of-a-file", PolicyState::LoadError, None, "no"),
    ]);
    let finding = judge(&deny(), &[ready(answer)], &circumstances());
    assert_eq!(finding.status, State::Ready);
    assert!(finding.message.ends_with("not judged: of-a-file"), "{}", finding.message);
}

#[test]
fn silent_agents_that_are_unavailable_are_starting() {
    let nodes =
        [ready(enforcing()), ready(silent(AskError::Refused)), ready(silent(AskError::Refused))];
    for (unavailable, expected) in [(0, R::NoAnswer), (1, R::NoAnswer), (2, R::Starting)] {
        let finding = judge(&deny(), &nodes, &Circumstances { unavailable, ..circumstances() });
        assert_eq!((finding.status, finding.reason), (State::Unknown, expected), "{unavailable}");
    }
}

#[test]
fn after_a_restart_the_condition_stays_until_nine_of_ten_agents_answered() {
    let before = |status: State| {
        Finding::new(TRACING_POLICIES_ENFORCED, status, R::StateUnclear, "as it was")
    };
    let with = |status| Circumstances { before: Some(before(status)), ..circumstances() };
    let nodes = |answered: usize, reply: &Reply| -> Vec<Node> {
        (0..20)
            .map(|n| if n < answered { ready(reply.clone()) } else { first(reply.clone()) })
            .collect()
    };
    let reason =
        |nodes: &[Node], circumstances: &Circumstances| judge(&deny(), nodes, circumstances).reason;
    assert_eq!(reason(&nodes(17, &enforcing()), &with(State::Ready)), R::StateUnclear);
    assert_eq!(reason(&nodes(17, &enforcing()), &with(State::NotReady)), R::StateUnclear);
    assert_eq!(reason(&nodes(17, &enforcing()), &circumstances()), R::Asking);
    assert_eq!(reason(&nodes(18, &enforcing()), &with(State::Ready)), R::Asking);
    assert_eq!(reason(&nodes(1, &load_error("no")), &with(State::Ready)), R::AgentDisagrees);
    assert_eq!(reason(&nodes(1, &load_error("no")), &with(State::NotReady)), R::StateUnclear);
}

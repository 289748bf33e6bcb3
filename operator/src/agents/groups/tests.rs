//! Tables and properties of the condition.

use std::collections::BTreeMap;

use crate::tetragon_client::{Mode, PolicyState, PolicyStatus, Source, StateCounts};
use lsm_ready_crds::conditions::{Finding, TRACING_POLICIES_ENFORCED};
use lsm_ready_crds::selection::Labels;
use lsm_ready_crds::{ConditionReason, State};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::agents::summary::{Circumstances, condition};
use crate::tracing_policies::snapshot::Snapshot;
use crate::tracing_policies::snapshot::tests::{object, with_wishes};
use crate::watch::key::DaemonSetKey;

fn spec(action: &str) -> Value {
    json!({"lsmhooks": [{"hook": "file_open", "selectors": [{"matchActions": [{"action": action}]}]}]})
}

fn cluster(policies: &[(&str, Value)]) -> Snapshot {
    with_wishes(
        policies
            .iter()
            .map(|(name, spec)| object(&json!({"metadata": {"name": name}, "spec": spec}))),
    )
}

/// One policy that denies.
fn deny() -> Snapshot {
    cluster(&[("deny", spec("Sigkill"))])
}

fn circumstances() -> Circumstances {
    let key = DaemonSetKey { namespace: "kube-system".into(), name: "tetragon".into() };
    Circumstances { key, container: "tetragon".into(), ..Circumstances::default() }
}

fn says(policies: &[(&str, PolicyState, Option<Mode>, &str)]) -> Said {
    let name = |name: &str| PolicyName { namespace: None, name: name.into() };
    let answers = policies.iter().map(|(policy, state, mode, error)| {
        let error = (*error).to_owned();
        (name(policy), PolicyStatus { state: *state, mode: *mode, error, failed_hooks: Vec::new() })
    });
    let counts: StateCounts = policies.iter().map(|(_, state, ..)| (*state, 1)).collect();
    let answer = Answer { policies: answers.collect(), counts, ..Answer::empty(Source::Grpc) };
    Said::Answered { answer: answer.into(), without_grpc: None }
}

fn enforcing() -> Said {
    says(&[("deny", PolicyState::Enabled, Some(Mode::Enforce), "")])
}

fn state(state: PolicyState) -> Said {
    says(&[("deny", state, None, "")])
}

fn refusing(error: &str) -> Said {
    says(&[("deny", PolicyState::LoadError, None, error)])
}

fn counted(state: PolicyState) -> Said {
    let named = BTreeSet::from([PolicyName { namespace: None, name: "deny".into() }]);
    let counts = [(state, 1)].into_iter().collect();
    let answer = Answer { named: Some(named), counts, ..Answer::empty(Source::Metrics) };
    Said::Answered { answer: answer.into(), without_grpc: Some(AskError::Refused) }
}

fn silent(why: AskError) -> Said {
    Said::Unanswered(Unanswered { grpc: None, metrics: Some(why) })
}

/// A node's verdict, and what is recalled of its agent.
type Node = (State, Option<Recalled>);

fn ready(said: Said) -> Node {
    (State::Ready, Some(Recalled { said, is_final: true, is_first: false }))
}

fn not_ready(said: Said) -> Node {
    (State::NotReady, ready(said).1)
}

/// The agent's answer is not final.
fn early(said: Said) -> Node {
    (State::Ready, Some(Recalled { said, is_final: false, is_first: false }))
}

/// The agent has answered once since the operator started.
fn first(said: Said) -> Node {
    (State::Ready, Some(Recalled { said, is_final: false, is_first: true }))
}

fn judged(cluster: &Snapshot, nodes: &[Node], circumstances: &Circumstances) -> Finding {
    let named: Vec<(String, Node)> =
        nodes.iter().enumerate().map(|(n, node)| (format!("n{n:02}"), node.clone())).collect();
    judge(cluster, &named, circumstances)
}

fn judge(cluster: &Snapshot, nodes: &[(String, Node)], circumstances: &Circumstances) -> Finding {
    let catalogue = Catalogue::of(cluster);
    let judged = vec![true; catalogue.policies().len()];
    let mut judgement =
        Judgement::by(Terms { catalogue: &catalogue, judged, chosen: false, has_modes: true });
    for (name, (verdict, said)) in nodes {
        let places = catalogue.places(&Labels::new());
        judgement.add(NodeView { name, verdict: *verdict, places, said: said.clone() });
    }
    condition(&judgement.summary(), circumstances)
}

#[test]
fn the_worst_of_all_answers_is_the_reason() {
    use State::{NotReady as False, Ready as True, Unknown};
    let monitoring = || says(&[("deny", PolicyState::Enabled, Some(Mode::Monitor), "")]);
    let nothing = || says(&[]);
    let fine = || ready(enforcing());
    let table: Vec<(Vec<Node>, State, ConditionReason)> = vec![
        (vec![], Unknown, ConditionReason::NotAsked),
        (vec![fine()], True, ConditionReason::AllEnforcing),
        (vec![not_ready(enforcing())], True, ConditionReason::AllEnforcing),
        (vec![fine(), (State::Ready, None)], Unknown, ConditionReason::Asking),
        (vec![fine(), early(enforcing())], Unknown, ConditionReason::Asking),
        (vec![fine(), ready(refusing("no"))], False, ConditionReason::AgentDisagrees),
        (vec![ready(counted(PolicyState::LoadError))], False, ConditionReason::AgentDisagrees),
        (
            vec![not_ready(refusing("no")), ready(refusing("no"))],
            False,
            ConditionReason::AgentDisagrees,
        ),
        (vec![not_ready(refusing("no")), ready(nothing())], False, ConditionReason::LoadErrors),
        (
            vec![fine(), ready(nothing()), ready(monitoring())],
            False,
            ConditionReason::PoliciesMissing,
        ),
        (vec![fine(), early(nothing())], Unknown, ConditionReason::Loading),
        (
            vec![fine(), ready(state(PolicyState::Disabled)), ready(monitoring())],
            False,
            ConditionReason::PoliciesDisabled,
        ),
        (
            vec![fine(), ready(state(PolicyState::PartiallyEnabled))],
            False,
            ConditionReason::PartiallyEnabled,
        ),
        (vec![fine(), ready(state(PolicyState::Skipped))], False, ConditionReason::PoliciesSkipped),
        (vec![fine(), early(state(PolicyState::Skipped))], Unknown, ConditionReason::Loading),
        (vec![fine(), ready(monitoring())], False, ConditionReason::MonitorMode),
        (vec![fine(), early(monitoring())], False, ConditionReason::MonitorMode),
        (
            vec![ready(monitoring()), ready(silent(AskError::Refused))],
            False,
            ConditionReason::MonitorMode,
        ),
        (
            vec![fine(), ready(silent(AskError::Refused)), ready(state(PolicyState::Loading))],
            Unknown,
            ConditionReason::NoAnswer,
        ),
        (vec![fine(), early(silent(AskError::Refused))], Unknown, ConditionReason::Starting),
        (
            vec![fine(), early(silent(AskError::Refused)), ready(silent(AskError::Refused))],
            Unknown,
            ConditionReason::NoAnswer,
        ),
        (vec![fine(), ready(state(PolicyState::Loading))], Unknown, ConditionReason::Loading),
        (vec![fine(), ready(state(PolicyState::Unclear))], Unknown, ConditionReason::StateUnclear),
        (vec![fine(), ready(counted(PolicyState::Enabled))], Unknown, ConditionReason::ModeUnknown),
    ];
    for (nodes, status, reason) in table {
        let finding = judged(&deny(), &nodes, &circumstances());
        assert_eq!((finding.status, finding.reason), (status, reason), "{nodes:#?}");
    }
}

#[test]
fn policies_that_do_not_deny_are_named_and_decide_only_where_none_denies() {
    let observes = || json!({"kprobes": [{"call": "sys_write"}]});
    let (name, enabled) = ("audit", Some(Mode::Enforce));
    let both = cluster(&[("deny", spec("Sigkill")), (name, observes())]);
    let said = says(&[
        ("deny", PolicyState::Enabled, enabled, ""),
        (name, PolicyState::Enabled, enabled, ""),
    ]);
    let finding = judged(&both, &[ready(said)], &circumstances());
    assert_eq!(finding.status, State::Ready);
    assert!(
        finding.message.contains("Only observing, which is not judged: audit"),
        "{}",
        finding.message
    );
    // It has to be enabled all the same.
    let said = says(&[
        ("deny", PolicyState::Enabled, enabled, ""),
        (name, PolicyState::Disabled, None, ""),
    ]);
    assert_eq!(
        judged(&both, &[ready(said)], &circumstances()).reason,
        ConditionReason::PoliciesDisabled
    );
    // Alone it enforces nothing.
    let alone = cluster(&[(name, observes())]);
    let finding = judged(
        &alone,
        &[ready(says(&[(name, PolicyState::Enabled, enabled, "")]))],
        &circumstances(),
    );
    assert_eq!(
        (finding.status, finding.reason),
        (State::NotReady, ConditionReason::NoEnforcingAction)
    );
    // An LSM policy is there to deny.
    let post = cluster(&[("deny", spec("Sigkill")), ("post", spec("Post"))]);
    let said = says(&[
        ("deny", PolicyState::Enabled, enabled, ""),
        ("post", PolicyState::Enabled, enabled, ""),
    ]);
    let finding = judged(&post, &[ready(said)], &circumstances());
    assert_eq!(
        (finding.status, finding.reason),
        (State::NotReady, ConditionReason::NoEnforcingAction)
    );
    assert!(
        finding.message.contains("post on n00. Add an action that denies"),
        "{}",
        finding.message
    );
}

#[test]
fn without_policies_there_is_nothing_to_enforce_and_the_reason_is_told() {
    let empty = || ready(says(&[]));
    let finding = judged(&cluster(&[]), &[empty()], &circumstances());
    assert_eq!((finding.status, finding.reason), (State::Unknown, ConditionReason::NoPolicies));
    let not_installed = Circumstances { not_installed: vec!["tracingpolicies"], ..circumstances() };
    let finding = judged(&cluster(&[]), &[empty()], &not_installed);
    assert!(
        finding.message.contains("these are not: tracingpolicies.cilium.io"),
        "{}",
        finding.message
    );
    // Not to answer is not to have no policies.
    assert_eq!(
        judged(&cluster(&[]), &[ready(silent(AskError::Refused))], &circumstances()).reason,
        ConditionReason::NoAnswer
    );
    // Where it is not known which there are, nothing is said about them.
    let unread = Circumstances {
        unread: Some((ConditionReason::TracingPoliciesForbidden, "may not".into())),
        ..circumstances()
    };
    let finding = judged(&cluster(&[]), &[ready(enforcing())], &unread);
    assert_eq!(
        (finding.status, finding.reason),
        (State::Unknown, ConditionReason::TracingPoliciesForbidden)
    );
}

#[test]
fn a_policy_of_a_file_is_named_and_decides_nothing() {
    let file = says(&[
        ("deny", PolicyState::Enabled, Some(Mode::Enforce), ""),
        ("of-a-file", PolicyState::LoadError, None, "no"),
    ]);
    let finding = judged(&deny(), &[ready(file)], &circumstances());
    assert_eq!(finding.status, State::Ready);
    assert!(finding.message.ends_with("not judged: of-a-file"), "{}", finding.message);
}

#[test]
fn agents_that_the_daemon_set_says_are_not_available_are_starting() {
    let nodes =
        [ready(enforcing()), ready(silent(AskError::Refused)), ready(silent(AskError::Refused))];
    for (unavailable, expected) in [
        (0, ConditionReason::NoAnswer),
        (1, ConditionReason::NoAnswer),
        (2, ConditionReason::Starting),
    ] {
        let finding = judged(&deny(), &nodes, &Circumstances { unavailable, ..circumstances() });
        assert_eq!((finding.status, finding.reason), (State::Unknown, expected), "{unavailable}");
    }
}

#[test]
fn a_contradiction_is_told_with_nodes_words_and_a_way_out() {
    let nodes: Vec<Node> =
        (0..5).map(|_| ready(refusing("does your kernel support LSM?"))).collect();
    let message = judged(&deny(), &nodes, &circumstances()).message;
    let told = r#"deny on 5 nodes (n00, n01, n02, …): "does your kernel support LSM?""#;
    assert!(message.contains(told), "{message}");
    assert!(
        message.contains("kubectl -n kube-system rollout restart daemonset/tetragon"),
        "{message}"
    );
    assert!(message.contains("restartStaleAgents"), "{message}");

    // A restart does not cure another cause, nor an error where it was to be expected.
    assert!(
        !judged(&deny(), &[ready(refusing("no such hook"))], &circumstances())
            .message
            .contains("rollout restart")
    );
    let expected = judged(&deny(), &[not_ready(refusing("no LSM"))], &circumstances()).message;
    assert!(
        !expected.contains("rollout restart") && expected.contains("not proved ready"),
        "{expected}"
    );

    // Metrics do not name the policy, and gRPC was tried.
    let message =
        judged(&deny(), &[ready(counted(PolicyState::LoadError))], &circumstances()).message;
    assert!(
        message
            .contains("a policy that the metrics do not name (gRPC: nothing listens there) on n00"),
        "{message}"
    );
    assert!(message.contains("tetra tracingpolicy list"), "{message}");
}

#[test]
fn what_else_is_wrong_is_told_in_short() {
    let monitoring = says(&[("deny", PolicyState::Enabled, Some(Mode::Monitor), "")]);
    let message = judged(&deny(), &[ready(monitoring.clone())], &circumstances()).message;
    assert!(
        message.contains(r#"deny on n00: "mode monitor""#)
            && message.contains("set-mode NAME enforce"),
        "{message}"
    );
    let message = judged(&deny(), &[ready(monitoring), ready(says(&[]))], &circumstances()).message;
    assert!(message.contains("Also: MonitorMode (1 policies, up to 1 nodes)"), "{message}");
}

#[test]
fn silence_is_told_by_its_most_frequent_cause_with_a_way_out() {
    let nodes = [
        silent(AskError::TimedOut),
        silent(AskError::TimedOut),
        silent(AskError::Refused),
        enforcing(),
    ]
    .map(ready);
    let message = judged(&deny(), &nodes, &circumstances()).message;
    let told = "3 of 4 agents gave no answer: on 2 nodes (n00, n01) metrics: no complete answer in time; 1 others";
    assert!(message.starts_with(told) && message.contains("NetworkPolicy"), "{message}");
}

#[test]
fn after_a_restart_the_earlier_word_stands_until_nearly_all_answered_unless_something_is_wrong() {
    let before = |status: State| {
        Finding::new(TRACING_POLICIES_ENFORCED, status, ConditionReason::StateUnclear, "as it was")
    };
    let with = |status| Circumstances { before: Some(before(status)), ..circumstances() };
    let nodes = |answered: usize, said: &Said| -> Vec<Node> {
        (0..20)
            .map(|n| if n < answered { ready(said.clone()) } else { first(said.clone()) })
            .collect()
    };
    let reason = |nodes: &[Node], circumstances: &Circumstances| {
        judged(&deny(), nodes, circumstances).reason
    };
    assert_eq!(
        reason(&nodes(17, &enforcing()), &with(State::Ready)),
        ConditionReason::StateUnclear
    );
    assert_eq!(
        reason(&nodes(17, &enforcing()), &with(State::NotReady)),
        ConditionReason::StateUnclear
    );
    assert_eq!(reason(&nodes(17, &enforcing()), &circumstances()), ConditionReason::Asking);
    assert_eq!(reason(&nodes(18, &enforcing()), &with(State::Ready)), ConditionReason::Asking);
    assert_eq!(
        reason(&nodes(1, &refusing("no")), &with(State::Ready)),
        ConditionReason::AgentDisagrees
    );
    assert_eq!(
        reason(&nodes(1, &refusing("no")), &with(State::NotReady)),
        ConditionReason::StateUnclear
    );
}

#[test]
fn a_million_equal_answers_cost_no_more_than_a_few() {
    let cluster = deny();
    let catalogue = Catalogue::of(&cluster);
    let mut judgement = Judgement::by(Terms {
        catalogue: &catalogue,
        judged: vec![true],
        chosen: false,
        has_modes: true,
    });
    let shared = enforcing();
    for number in 0..5000 {
        let said = Some(Recalled { said: shared.clone(), is_final: true, is_first: false });
        let places = catalogue.places(&Labels::new());
        judgement.add(NodeView {
            name: &format!("n{number}"),
            verdict: State::Ready,
            places,
            said,
        });
    }
    assert_eq!(judgement.groups.len(), 1);
    assert_eq!(judgement.summary().nodes, 5000);
}

fn any_said() -> impl Strategy<Value = Said> {
    let state = prop::sample::select(&PolicyState::ALL[..]);
    let mode = prop::option::of(prop::sample::select(
        &[Mode::Enforce, Mode::Monitor, Mode::MonitorOnly][..],
    ));
    let policy = ("(deny|other|[a-h])", state.clone(), mode, "\\PC{0,40}");
    prop_oneof![
        Just(enforcing()),
        state.prop_map(counted),
        Just(silent(AskError::TimedOut)),
        Just(silent(AskError::Refused)),
        prop::collection::vec(policy, 0..5).prop_map(|policies| {
            let borrowed: Vec<_> =
                policies.iter().map(|(p, s, m, e)| (p.as_str(), *s, *m, e.as_str())).collect();
            says(&borrowed)
        }),
    ]
}

/// Whether the agent was shown to enforce both policies of the property below.
fn enforces_both(said: &Said) -> bool {
    let Said::Answered { answer, .. } = said else {
        return false;
    };
    ["deny", "other"].iter().all(|name| {
        let found = answer.policies.get(&PolicyName { namespace: None, name: (*name).into() });
        found.is_some_and(|found| {
            found.state == PolicyState::Enabled && found.mode == Some(Mode::Enforce)
        })
    })
}

proptest! {
    /// Whatever the agents say: True only where each was shown to enforce all, the order does not matter, and the message
    /// stays short.
    #[test]
    fn whatever_they_say(
        answers in prop::collection::vec((0u8..3, any_said(), any::<bool>(), any::<bool>()), 1..20),
        seed: u64,
    ) {
        let cluster = cluster(&[("deny", spec("Sigkill")), ("other", spec("Sigkill"))]);
        let mut nodes: Vec<(String, Node)> = answers.into_iter().enumerate().map(|(n, (state, said, is_final, known))| {
            let recalled = known.then_some(Recalled { said, is_final, is_first: false });
            (format!("n{n:02}"), ([State::Ready, State::NotReady, State::Unknown][usize::from(state)], recalled))
        }).collect();
        let finding = judge(&cluster, &nodes, &circumstances());
        fastrand::Rng::with_seed(seed).shuffle(&mut nodes);
        prop_assert_eq!(&judge(&cluster, &nodes, &circumstances()), &finding);
        let all_enforce = nodes.iter().all(|(_, (_, recalled))| {
            recalled.as_ref().is_some_and(|recalled| recalled.is_final && enforces_both(&recalled.said))
        });
        prop_assert_eq!(finding.status == State::Ready, all_enforce);
        prop_assert!(finding.message.len() < 8000, "{}", finding.message);
        prop_assert!(!finding.message.is_empty());
    }
}

/// The longest names and texts that there can be.
#[test]
fn the_message_is_bounded_by_the_longest_names() {
    let long: Vec<String> = (0..9).map(|n| format!("{n}{}", "x".repeat(252))).collect();
    let policies: Vec<_> = long.iter().map(|name| (name.as_str(), spec("Sigkill"))).collect();
    let error = "e".repeat(300);
    let said: Vec<_> = long
        .iter()
        .map(|name| (name.as_str(), PolicyState::LoadError, None, error.as_str()))
        .collect();
    let nodes: Vec<(String, Node)> =
        (0..9).map(|n| (format!("{n}{}", "n".repeat(252)), ready(says(&said)))).collect();
    let message = judge(&cluster(&policies), &nodes, &circumstances()).message;
    assert!(message.len() < 32 << 10, "{}", message.len());
    let by_name: BTreeMap<_, _> =
        long.iter().map(|name| (name, message.contains(name.as_str()))).collect();
    assert_eq!(by_name.values().filter(|named| **named).count(), 3);
}

//! Tables and properties of the condition.

use lsm_ready_agents::{ActionsByPolicy, PolicyAnswer, PolicyName};
use proptest::prelude::*;

use super::*;

fn key() -> DaemonSetKey {
    DaemonSetKey { namespace: "kube-system".into(), name: "tetragon".into() }
}

fn answer(answer: Answer) -> Outcome {
    Outcome::Answered { answer, actions: ActionsByPolicy::new(), without_grpc: None }
}

fn counting(how: How, states: &[(PolicyState, u64)]) -> Answer {
    Answer { counts: states.iter().copied().collect(), ..Answer::none(how) }
}

fn enabled() -> Outcome {
    answer(counting(How::Grpc, &[(PolicyState::Enabled, 1)]))
}

fn refusing(policy: &str, error: &str) -> Outcome {
    let state = PolicyState::LoadError;
    let refused = PolicyAnswer { state, mode: None, error: error.into(), failed_hooks: vec![] };
    let policies = [(PolicyName::given("", policy), refused)].into();
    answer(Answer { policies, ..counting(How::Grpc, &[(state, 1)]) })
}

fn counting_failures() -> Outcome {
    let answer = counting(How::Metrics, &[(PolicyState::LoadError, 2)]);
    Outcome::Answered { answer, actions: ActionsByPolicy::new(), without_grpc: Some(Why::Refused) }
}

fn silent(why: Why) -> Outcome {
    Outcome::NoAnswer(NoAnswer { grpc: None, metrics: Some(why) })
}

/// A node's verdict, and what its agent has said, if it was asked.
type Node = (State, Option<Outcome>);

fn judged(nodes: &[Node], before: Option<Finding>) -> Finding {
    let mut judgement = Judgement::default();
    for (number, (verdict, outcome)) in nodes.iter().enumerate() {
        judgement.add(&format!("n{number}"), *verdict, outcome.as_ref());
    }
    judgement.finding(&key(), "tetragon", before)
}

#[test]
fn table() {
    use State::{NotReady, Ready, Unknown};
    use Status::{False, True};
    let with = |state| answer(counting(How::Grpc, &[(PolicyState::Enabled, 1), (state, 1)]));
    let off = || with(PolicyState::Disabled);
    let loading = || with(PolicyState::Loading);
    let unclear = || with(PolicyState::Unclear);
    let empty = || answer(Answer::none(How::Grpc));
    let no = || refusing("deny", "no");
    let table: Vec<(Vec<Node>, Status, &str)> = vec![
        (vec![], Status::Unknown, reason::NOT_ASKED),
        (vec![(Ready, None)], Status::Unknown, reason::ASKING),
        (vec![(Ready, Some(enabled()))], True, reason::ALL_LOADED),
        (vec![(NotReady, Some(enabled()))], True, reason::ALL_LOADED),
        (vec![(Ready, Some(enabled())), (Ready, Some(empty()))], True, reason::ALL_LOADED),
        (vec![(Ready, Some(empty()))], Status::Unknown, reason::NO_POLICIES),
        (vec![(Ready, Some(enabled())), (Ready, Some(no()))], False, reason::AGENT_DISAGREES),
        (vec![(Ready, Some(counting_failures()))], False, reason::AGENT_DISAGREES),
        (vec![(NotReady, Some(no())), (Ready, Some(no()))], False, reason::AGENT_DISAGREES),
        (vec![(NotReady, Some(no())), (Ready, Some(enabled()))], False, reason::LOAD_ERRORS),
        (vec![(Unknown, Some(no()))], False, reason::LOAD_ERRORS),
        (vec![(Ready, Some(off())), (Ready, Some(silent(Why::Refused)))], False, reason::DISABLED),
        (vec![(Ready, Some(enabled())), (Ready, Some(silent(Why::Refused)))], Status::Unknown, reason::NO_ANSWER),
        (vec![(Ready, Some(no())), (Ready, Some(silent(Why::Refused)))], False, reason::AGENT_DISAGREES),
        (vec![(Ready, Some(loading())), (Ready, Some(enabled()))], Status::Unknown, reason::LOADING),
        (vec![(Ready, Some(unclear())), (Ready, Some(enabled()))], Status::Unknown, reason::UNCLEAR),
        (vec![(Ready, Some(loading())), (Ready, Some(silent(Why::Refused)))], Status::Unknown, reason::NO_ANSWER),
    ];
    for (nodes, status, reason) in table {
        let finding = judged(&nodes, None);
        assert_eq!((finding.status, finding.reason.as_str()), (status, reason), "{nodes:?}");
    }
}

#[test]
fn a_contradiction_is_told_with_nodes_and_the_agents_words() {
    let nodes: Vec<Node> =
        (0..5).map(|_| (State::Ready, Some(refusing("deny", "does your kernel support LSM?")))).collect();
    let message = judged(&nodes, None).message;
    let told = r#"deny is load_error on 5 nodes (n0, n1, n2, …): "does your kernel support LSM?""#;
    assert!(message.contains(told), "{message}");
    assert!(message.contains("kubectl -n kube-system rollout restart daemonset/tetragon"), "{message}");
    assert!(message.contains("restartStaleAgents"), "{message}");

    // Another cause is not cured by a restart, and neither is an error where it was to be expected.
    assert!(!judged(&[(State::Ready, Some(refusing("deny", "no such hook")))], None).message.contains("restart"));
    let expected = judged(&[(State::NotReady, Some(refusing("deny", "no LSM")))], None).message;
    assert!(!expected.contains("restart") && expected.contains("not proved ready"), "{expected}");

    // Metrics name no policy, and gRPC was tried.
    let message = judged(&[(State::Ready, Some(counting_failures()))], None).message;
    assert!(message.contains("on n0, which metrics do not name (gRPC: nothing listens there)"), "{message}");
    assert!(message.contains("tetra tracingpolicy list"), "{message}");
}

#[test]
fn silence_is_told_by_its_most_frequent_cause_with_a_way_out() {
    let nodes = [silent(Why::TimedOut), silent(Why::TimedOut), silent(Why::Refused), enabled()];
    let message = judged(&nodes.map(|outcome| (State::Ready, Some(outcome))), None).message;
    let told = "3 of 4 agents gave no answer: on 2 nodes (n0, n1) metrics: no complete answer in time; 1 others";
    assert!(message.starts_with(told) && message.contains("NetworkPolicy"), "{message}");
}

#[test]
fn an_earlier_word_stands_until_nearly_all_were_asked() {
    let before = Finding::new(TRACING_POLICIES_LOADED, Status::True, reason::ALL_LOADED, "as it was");
    let nodes = |asked: usize| -> Vec<Node> {
        (0..20).map(|number| (State::Ready, (number < asked).then(|| refusing("deny", "no")))).collect()
    };
    assert_eq!(judged(&nodes(17), Some(before.clone())), before);
    assert_eq!(judged(&nodes(18), Some(before)).reason, reason::AGENT_DISAGREES);
    assert_eq!(judged(&nodes(17), None).reason, reason::ASKING);
}

fn any_outcome() -> impl Strategy<Value = Outcome> {
    prop_oneof![
        Just(enabled()),
        Just(counting_failures()),
        Just(silent(Why::TimedOut)),
        Just(silent(Why::Refused)),
        ("[a-h]", "\\PC{0,300}").prop_map(|(policy, error)| refusing(&policy, &error)),
    ]
}

proptest! {
    /// Whatever the agents say: True only where all are enabled, the order does not matter, the message stays short.
    #[test]
    fn whatever_they_say(answers in prop::collection::vec((0u8..3, any_outcome()), 1..60), seed: u64) {
        let mut nodes: Vec<(String, State, Outcome)> = answers.into_iter().enumerate().map(|(n, (state, said))| {
            (format!("n{n:02}"), [State::Ready, State::NotReady, State::Unknown][usize::from(state)], said)
        }).collect();
        let judge = |nodes: &[(String, State, Outcome)]| {
            let mut judgement = Judgement::default();
            for (node, state, said) in nodes {
                judgement.add(node, *state, Some(said));
            }
            judgement.finding(&key(), "tetragon", None)
        };
        let finding = judge(&nodes);
        fastrand::Rng::with_seed(seed).shuffle(&mut nodes);
        prop_assert_eq!(&judge(&nodes), &finding);
        prop_assert_eq!(finding.status == Status::True, nodes.iter().all(|(.., said)| *said == enabled()));
        prop_assert!(finding.message.len() < 8000, "{}", finding.message);
        let contradicts = |(_, state, said): &(String, State, Outcome)| {
            let failed = matches!(said, Outcome::Answered { answer, .. } if answer.counts.errors() > 0);
            *state == State::Ready && failed
        };
        prop_assert_eq!(finding.reason == reason::AGENT_DISAGREES, nodes.iter().any(contradicts));
    }
}

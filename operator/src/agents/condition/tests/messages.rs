//! What the messages say.

use std::collections::BTreeMap;

use super::*;

#[test]
fn an_error_on_a_ready_node_is_reported_with_nodes_text_and_advice() {
    let nodes: Vec<Node> =
        (0..5).map(|_| ready(load_error("does your kernel support LSM?"))).collect();
    let message = judge(&deny(), &nodes, &circumstances()).message;
    let found = r#"deny on 5 nodes (n00, n01, n02, …): "does your kernel support LSM?""#;
    assert!(message.contains(found), "{message}");
    assert!(
        message.contains("kubectl -n kube-system rollout restart daemonset/tetragon"),
        "{message}"
    );
    assert!(message.contains("restartStaleAgents"), "{message}");

    // A restart does not help against another cause, nor on a node that is not ready.
    assert!(
        !judge(&deny(), &[ready(load_error("no such hook"))], &circumstances())
            .message
            .contains("rollout restart")
    );
    let expected = judge(&deny(), &[not_ready(load_error("no LSM"))], &circumstances()).message;
    assert!(
        !expected.contains("rollout restart") && expected.contains("on nodes that are not ready"),
        "{expected}"
    );

    // Metrics do not name the policy, and gRPC failed.
    let message =
        judge(&deny(), &[ready(counted(PolicyState::LoadError))], &circumstances()).message;
    assert!(
        message.contains(
            "a policy that the metrics do not name (gRPC: connection refused: nothing \
                listens at this port) on n00"
        ),
        "{message}"
    );
    assert!(message.contains("tetra tracingpolicy list"), "{message}");
}

#[test]
fn other_problems_are_listed_in_short() {
    let message = judge(&deny(), &[ready(monitoring())], &circumstances()).message;
    assert!(
        message.contains(r#"deny on n00: "mode monitor""#)
            && message.contains("set-mode NAME enforce"),
        "{message}"
    );
    let message =
        judge(&deny(), &[ready(monitoring()), ready(says(&[]))], &circumstances()).message;
    assert!(message.contains("Also: MonitorMode (1 policy, up to 1 node)"), "{message}");
}

#[test]
fn silence_is_reported_with_its_most_frequent_error_and_advice() {
    let nodes = [
        silent(AskError::TimedOut),
        silent(AskError::TimedOut),
        silent(AskError::Refused),
        enforcing(),
    ]
    .map(ready);
    let message = judge(&deny(), &nodes, &circumstances()).message;
    let found = "3 of 4 agents did not answer. On 2 nodes (n00, n01): metrics: no complete answer \
        before the deadline; 1 more with other errors";
    assert!(message.starts_with(found) && message.contains("NetworkPolicy"), "{message}");
}

#[test]
fn the_message_with_the_longest_names_is_bounded() {
    let long: Vec<String> = (0..9).map(|n| format!("{n}{}", "x".repeat(252))).collect();
    let policies: Vec<_> = long.iter().map(|name| (name.as_str(), spec("Sigkill"))).collect();
    let error = "e".repeat(300);
    let answer: Vec<_> = long
        .iter()
        .map(|name| (name.as_str(), PolicyState::LoadError, None, error.as_str()))
        .collect();
    let nodes: Vec<(String, Node)> =
        (0..9).map(|n| (format!("{n}{}", "n".repeat(252)), ready(says(&answer)))).collect();
    let message = judge_named(&cluster(&policies), &nodes, &circumstances()).message;
    assert!(message.len() < 32 << 10, "{}", message.len());
    let by_name: BTreeMap<_, _> =
        long.iter().map(|name| (name, message.contains(name.as_str()))).collect();
    assert_eq!(by_name.values().filter(|named| **named).count(), 3);
}

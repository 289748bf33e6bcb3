//! Properties over any replies.

use proptest::prelude::*;

use super::*;

#[test]
fn equal_answers_are_compared_once() {
    let cluster = deny();
    let catalogue = Catalogue::of(&cluster);
    let mut groups = groups(&catalogue);
    let reply = enforcing();
    for number in 0..5000 {
        let node = ready(reply.clone());
        let placements = catalogue.placements(&Labels::new());
        let name = format!("n{number}");
        groups.add(NodeReply { node: &name, verdict: node.verdict, placements, last: node.last });
    }
    assert_eq!(groups.len(), 1);
    assert_eq!(groups.summary().nodes, 5000);
}

fn any_reply() -> impl Strategy<Value = Reply> {
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

prop_compose! {
    fn any_node()(
        verdict in prop::sample::select(vec![State::Ready, State::NotReady, State::Unknown]),
        reply in any_reply(),
        is_final: bool,
        was_asked: bool,
    ) -> Node {
        let last = was_asked.then_some(LastReply { reply, is_final, is_first: false });
        Node { verdict, last }
    }
}

/// Whether the final answer shows that the agent enforces `deny` and `other`.
fn enforces_both(node: &Node) -> bool {
    let Some(LastReply { reply: Ok(shared), is_final: true, .. }) = &node.last else {
        return false;
    };
    ["deny", "other"].iter().all(|policy| {
        shared.answer.policies.get(&name(policy)).is_some_and(|status| {
            status.state == PolicyState::Enabled && status.mode == Some(Mode::Enforce)
        })
    })
}

proptest! {
    /// For any replies: the condition is True only if every agent enforces every policy, the order
    /// of the nodes does not matter, and the message is bounded.
    #[test]
    fn the_condition_is_true_only_if_every_agent_enforces_every_policy(
        nodes in prop::collection::vec(any_node(), 1..20),
        seed: u64,
    ) {
        let cluster = cluster(&[("deny", spec("Sigkill")), ("other", spec("Sigkill"))]);
        let mut nodes: Vec<(String, Node)> =
            nodes.into_iter().enumerate().map(|(n, node)| (format!("n{n:02}"), node)).collect();
        let finding = judge_named(&cluster, &nodes, &circumstances());
        fastrand::Rng::with_seed(seed).shuffle(&mut nodes);
        prop_assert_eq!(&judge_named(&cluster, &nodes, &circumstances()), &finding);
        let all_enforce = nodes.iter().all(|(_, node)| enforces_both(node));
        prop_assert_eq!(finding.status == State::Ready, all_enforce);
        prop_assert!(finding.message.len() < 8000, "{}", finding.message);
        prop_assert!(!finding.message.is_empty());
    }
}

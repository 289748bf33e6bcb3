//! What is forgotten when agents, nodes, policies or DaemonSets are gone.

use super::*;
use crate::agents::answers::Sizes;

const NOTHING: Sizes = Sizes { agents: 0, different_answers: 0, rollouts: 0 };

#[tokio::test]
async fn equal_answers_are_kept_once_and_unused_ones_are_forgotten() {
    let fixture = one_policy();
    asked(&fixture.ctx, &enforcing()).await;
    assert_eq!(fixture.ctx.agents.sizes().different_answers, 1);
    pass(10);
    let number = Cell::new(0);
    round(&fixture.ctx, async |_, _| {
        number.set(number.get() + 1);
        says(&[(&format!("p{}", number.get()), PolicyState::Enabled, None)])
    })
    .await;
    pass(10);
    asked(&fixture.ctx, &lost()).await;
    assert_eq!(fixture.ctx.agents.sizes().different_answers, 3);
}

#[tokio::test]
async fn agents_that_no_policy_wants_asked_are_forgotten() {
    let fixture = three_nodes(&[("a", json!({"agents": {}}))]);
    asked(&fixture.ctx, &enforcing()).await;
    let fixture = fixture.with::<LsmPolicy>(policy("a", &json!({"tetragon": {}})));
    asked(&fixture.ctx, &enforcing()).await;
    assert_eq!(fixture.ctx.agents.sizes(), NOTHING);
    let fixture = fixture.with::<LsmPolicy>(policy("a", &json!({"tetragon": {"agents": {}}})));
    assert_eq!(asked(&fixture.ctx, &enforcing()).await.len(), 3);
}

/// A list after a broken watch: objects that were deleted meanwhile come without an event.
#[tokio::test]
async fn agents_of_nodes_that_a_fresh_list_lacks_are_forgotten() {
    let fixture = one_policy();
    asked(&fixture.ctx, &enforcing()).await;
    assert_eq!(fixture.ctx.agents.sizes(), Sizes { agents: 3, different_answers: 1, rollouts: 1 });
    let fixture = fixture.with_list::<Node>(&[at(1, "n1")]);
    asked(&fixture.ctx, &enforcing()).await;
    assert_eq!(fixture.ctx.agents.sizes(), Sizes { agents: 1, different_answers: 1, rollouts: 1 });
    let fixture = fixture.with_list::<Node>(&[]);
    asked(&fixture.ctx, &enforcing()).await;
    assert_eq!(fixture.ctx.agents.sizes().agents, 0);
}

#[tokio::test]
async fn agents_of_a_daemon_set_that_a_fresh_list_lacks_are_forgotten() {
    let fixture = one_policy();
    asked(&fixture.ctx, &enforcing()).await;
    let fixture = fixture.with_list::<DaemonSet>(&[]);
    asked(&fixture.ctx, &enforcing()).await;
    assert_eq!(fixture.ctx.agents.sizes(), NOTHING);
}

#[tokio::test]
async fn agents_of_a_policy_that_a_fresh_list_lacks_are_forgotten() {
    let fixture = one_policy();
    asked(&fixture.ctx, &enforcing()).await;
    let fixture = fixture.with_list::<LsmPolicy>(&[]);
    asked(&fixture.ctx, &enforcing()).await;
    assert_eq!(fixture.ctx.agents.sizes(), NOTHING);
}

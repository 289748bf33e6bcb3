//! Which agents are asked, and how often.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use super::*;
use crate::agents::poller::MAX_CONCURRENT;

#[tokio::test]
async fn no_agent_is_asked_without_a_policy_that_wants_it() {
    let never = json!({"agents": {"ask": "Never"}});
    let elsewhere = json!({"agents": {}, "daemonSet": {"name": "other"}});
    let fixture = three_nodes(&[("a", json!({})), ("b", never), ("c", elsewhere)]);
    assert!(asked(&fixture.ctx, &enforcing()).await.is_empty());
}

#[tokio::test]
async fn each_agent_is_asked_once_and_every_policy_gets_its_answer() {
    let metrics = json!({"agents": {"ask": "Metrics"}});
    let mut fixture = three_nodes(&[("a", metrics.clone()), ("b", metrics), ("quiet", json!({}))]);
    let expected =
        ["None Some(10.0.0.1:2112)", "None Some(10.0.0.2:2112)", "None Some(10.0.0.3:2112)"];
    assert_eq!(asked(&fixture.ctx, &enforcing()).await, expected);
    let mut policies = queued(&mut fixture);
    policies.sort();
    assert_eq!(policies, ["a", "a", "a", "b", "b", "b"]);
    // The clock stands still: no agent is due.
    assert!(asked(&fixture.ctx, &enforcing()).await.is_empty());
    assert!(queued(&mut fixture).is_empty());
    let text = fixture.ctx.metrics.encode().unwrap();
    assert!(
        text.contains(r#"lsm_ready_agents_asked_total{protocol="grpc",outcome="answered"} 3"#),
        "{text}"
    );
}

/// Two hundred nodes, and a policy that wants their agents asked.
fn two_hundred() -> Fixture {
    let mut fixture = Fixture::new().with_clocks(now, instant).with::<DaemonSet>(daemon_set(1));
    for number in 1..=200 {
        fixture = fixture.with::<Node>(at(number, &format!("n{number}")));
    }
    fixture.with::<LsmPolicy>(policy("a", &json!({"tetragon": {"agents": {}}})))
}

#[tokio::test]
async fn the_number_of_concurrent_polls_is_limited() {
    let fixture = two_hundred();
    let (most, open) = (Cell::new(0), RefCell::new(BTreeMap::<Option<SocketAddr>, u32>::new()));
    round(&fixture.ctx, async |at: AgentAddress, _| {
        *open.borrow_mut().entry(at.endpoints.grpc).or_default() += 1;
        assert_eq!(open.borrow()[&at.endpoints.grpc], 1, "two connections to one agent");
        most.set(most.get().max(open.borrow().len()));
        tokio::task::yield_now().await;
        open.borrow_mut().remove(&at.endpoints.grpc);
        enforcing()
    })
    .await;
    assert_eq!(most.get(), MAX_CONCURRENT);
}

/// Half of the agents never answer.
#[tokio::test(start_paused = true)]
async fn silent_agents_do_not_delay_the_others() {
    let fixture = two_hundred();
    let is_silent = |at: &AgentAddress| {
        at.endpoints
            .grpc
            .is_some_and(|grpc| grpc.ip().to_string().ends_with(['1', '3', '5', '7', '9']))
    };
    let answered = Cell::new(0);
    let answer = async |at: AgentAddress, _| {
        if is_silent(&at) {
            tokio::time::sleep(std::time::Duration::from_secs(4)).await;
            return lost();
        }
        answered.set(answered.get() + 1);
        enforcing()
    };
    // Until each agent was asked once, so that the silent ones are known.
    while fixture.ctx.agents.sizes().different_answers == 0 || answered.get() < 100 {
        round(&fixture.ctx, answer).await;
    }
    // Twice more, so that the silent agents are due before the others.
    for _ in 0..2 {
        pass(10);
        round(&fixture.ctx, answer).await;
    }
    pass(600);
    answered.set(0);
    let begun = tokio::time::Instant::now();
    round(&fixture.ctx, answer).await;
    assert_eq!(answered.get(), 100);
    assert!(begun.elapsed() < std::time::Duration::from_secs(10), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn each_of_two_hundred_agents_is_asked_every_minute() {
    let fixture = two_hundred();
    let asked = RefCell::new(BTreeMap::<Option<SocketAddr>, Vec<i64>>::new());
    for _ in 0..60 {
        round(&fixture.ctx, async |at: AgentAddress, _| {
            asked.borrow_mut().entry(at.endpoints.grpc).or_default().push(SECOND.get());
            enforcing()
        })
        .await;
        pass(5);
    }
    let asked = asked.into_inner();
    assert_eq!(asked.len(), 200);
    let pauses: Vec<i64> =
        asked.values().flat_map(|times| times.windows(2).map(|pair| pair[1] - pair[0])).collect();
    // The first pause confirms the first answer.
    assert!(pauses.iter().all(|pause| (10..=45).contains(pause)), "{:?}", pauses.iter().max());
    let total: usize = asked.values().map(Vec::len).sum();
    assert!(total <= 200 * 10, "{total} polls in five minutes");
}

//! A leader ends, is killed, is stopped for longer than the Lease, or finds another holder in it.

use std::time::{Duration, Instant};

use e2e::api::Signal;
use serde_json::{Value, json};

use super::{Replica, all_labelled, forge};
use crate::operator::report;
use crate::server;

const TAKEOVER: Duration = Duration::from_secs(20);

/// One after the other, because all need the Lease.
#[tokio::test]
async fn another_replica_takes_over_in_time() {
    let turn = server::exclusive().await;
    let client = turn.server.client().await.unwrap();
    server::create_node(turn.server, "n1").await;
    report(&client, "n1", "Denied", "1").await;

    let first = Replica::start(turn.server, "op-a").await;
    eprintln!("the first leader: after {:.1?}", first.leads(&client).await);
    first.answers_readyz(200, "ready").await;
    all_labelled(&client, &["n1".to_owned()], "true").await;
    let second = Replica::start(turn.server, "op-b").await;
    second.answers_readyz(200, "ready").await;

    let since = Instant::now();
    first.process.terminate();
    second.leads(&client).await;
    eprintln!("takeover after SIGTERM: {:.1?}", since.elapsed());
    assert!(since.elapsed() <= Duration::from_secs(2), "{:?}", since.elapsed());

    let third = Replica::start(turn.server, "op-c").await;
    third.answers_readyz(200, "ready").await;
    drop(second);
    let took = third.leads(&client).await;
    eprintln!("takeover after SIGKILL: {took:.1?}");
    assert!(took <= TAKEOVER, "{took:?}");
    report(&client, "n1", "Attached", "1").await;
    all_labelled(&client, &["n1".to_owned()], "false").await;
    third.process.terminate();
}

#[tokio::test]
async fn a_leader_that_was_stopped_for_longer_than_the_lease_writes_nothing_when_it_goes_on() {
    let turn = server::exclusive().await;
    let client = turn.server.client().await.unwrap();
    let nodes: Vec<String> = (0..8).map(|n| format!("stopped-{n}")).collect();
    for node in &nodes {
        server::create_node(turn.server, node).await;
        report(&client, node, "Denied", "1").await;
    }
    let mut old = Replica::start(turn.server, "op-a").await;
    old.leads(&client).await;
    all_labelled(&client, &nodes, "true").await;
    let new = Replica::start(turn.server, "op-b").await;
    new.answers_readyz(200, "ready").await;

    let before = old.process.metric("lsm_ready_writes_total").await;
    let audited = audited(turn.server);
    old.process.signal(Signal::STOP);
    // The old leader has these in its sockets when it goes on.
    let since = Instant::now();
    for node in &nodes {
        report(&client, node, "Attached", "1").await;
    }
    new.leads(&client).await;
    eprintln!("takeover after SIGSTOP: {:.1?}", since.elapsed());
    assert!(since.elapsed() <= TAKEOVER, "{:?}", since.elapsed());
    all_labelled(&client, &nodes, "false").await;
    eprintln!("labels right after SIGSTOP: {:.1?}", since.elapsed());
    tokio::time::sleep_until((since + Duration::from_secs(40)).into()).await;
    old.process.signal(Signal::CONT);
    old.answers_readyz(200, "ready").await;
    assert!(old.process.runs(), "it stands by");
    for node in &nodes {
        report(&client, node, "Denied", "1").await;
    }
    all_labelled(&client, &nodes, "true").await;
    assert_eq!(old.process.metric("lsm_ready_writes_total").await, before);
    assert_eq!(old.process.metric("lsm_ready_leader").await, 0);
    // The API server logs the requests that it refuses as conflicts too.
    let by_the_new = new.process.metric("lsm_ready_writes_total{kind=\"Node").await
        + new.process.metric("lsm_ready_conflicts_total{kind=\"Node").await;
    let audited = self::audited(turn.server) - audited;
    assert_eq!(audited, by_the_new, "all writes of Nodes are the new leader's");
}

/// How many writes of Nodes by the operator the API server has logged.
fn audited(server: &e2e::api::ApiServer) -> u64 {
    let is_node = |event: &&Value| {
        event["objectRef"]["resource"] == "nodes" && event["stage"] == "ResponseComplete"
    };
    server::audited(server).iter().filter(is_node).count() as u64
}

/// Whatever somebody writes into the Lease, a replica leads again within our own times.
#[tokio::test]
async fn a_forged_holder_delays_for_at_most_the_leases_duration() {
    let turn = server::exclusive().await;
    let client = turn.server.client().await.unwrap();
    let mut replica = Replica::start(turn.server, "op-a").await;
    replica.leads(&client).await;
    for spec in [
        json!({"holderIdentity": "nginx-0_1", "renewTime": "9999-12-31T23:59:59.000000Z",
            "leaseDurationSeconds": i32::MAX}),
        json!({"holderIdentity": "x".repeat(5000), "renewTime": null, "acquireTime": null,
            "leaseDurationSeconds": null, "leaseTransitions": null}),
    ] {
        forge(&client, &spec).await;
        let took = replica.leads(&client).await;
        eprintln!("leads again after a forged holder: {took:.1?}");
        assert!(took <= TAKEOVER, "{took:?}");
    }
    replica.answers_readyz(200, "ready").await;
    assert!(replica.process.runs());
}

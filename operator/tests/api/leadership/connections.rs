//! All open connections of the leader freeze, while new ones work.

use std::time::{Duration, Instant};

use e2e::api::ApiServer;
use e2e::proxy::Proxy;

use super::{Replica, all_labelled};
use crate::operator::report;
use crate::server::{self, OPERATOR, account};

/// Longest time until a watch that has gone quiet is noticed, and the time of a list and a write.
const NOTICED: Duration = Duration::from_secs(15);
/// A write that had no answer is tried again after at most six seconds more.
const RETRIED: Duration = Duration::from_secs(18);

async fn behind(server: &ApiServer, proxy: &Proxy, name: &str) -> Replica {
    let group = Some("system:serviceaccounts");
    let kubeconfig = server.kubeconfig_through(proxy, &account(OPERATOR), group).unwrap();
    Replica::with_kubeconfig(server, name, &kubeconfig).await
}

#[tokio::test]
async fn a_frozen_connection_is_noticed_in_time_and_the_leader_stays() {
    let turn = server::exclusive().await;
    let client = turn.server.client().await.unwrap();
    let proxy = Proxy::start(turn.server.address()).await.unwrap();
    let nodes: Vec<String> = (0..23).map(|n| format!("frozen-{n}")).collect();
    for node in &nodes {
        server::create_node(turn.server, node).await;
        report(&client, node, "Denied", "1").await;
    }
    let leader = behind(turn.server, &proxy, "op-a").await;
    leader.leads(&client).await;
    all_labelled(&client, &nodes, "true").await;
    let standby = Replica::start(turn.server, "op-b").await;
    standby.answers_readyz(200, "ready").await;

    // At rest: only watches are open.
    proxy.freeze_open_connections();
    let since = Instant::now();
    report(&client, &nodes[0], "Attached", "1").await;
    all_labelled(&client, &nodes[..1], "false").await;
    eprintln!("a label is right after all connections froze at rest: {:.1?}", since.elapsed());
    assert!(since.elapsed() <= NOTICED, "{:?}", since.elapsed());

    // While Nodes are written: some patches have no answer.
    for node in &nodes[1..] {
        report(&client, node, "Attached", "1").await;
    }
    proxy.freeze_open_connections();
    let since = Instant::now();
    all_labelled(&client, &nodes, "false").await;
    eprintln!("all labels are right after connections froze in writes: {:.1?}", since.elapsed());
    assert!(since.elapsed() <= RETRIED, "{:?}", since.elapsed());
    assert_eq!(leader.process.metric("lsm_ready_leader").await, 1, "the leader stayed");
    leader.answers_readyz(200, "ready").await;
}

/// The standby cannot be reached by frozen connections, and the leader cannot open new ones.
#[tokio::test]
async fn a_leader_without_any_connection_is_replaced_and_writes_nothing_more() {
    let turn = server::exclusive().await;
    let client = turn.server.client().await.unwrap();
    let proxy = Proxy::start(turn.server.address()).await.unwrap();
    server::create_node(turn.server, "cut-off").await;
    report(&client, "cut-off", "Denied", "1").await;
    let leader = behind(turn.server, &proxy, "op-a").await;
    leader.leads(&client).await;
    let nodes = ["cut-off".to_owned()];
    all_labelled(&client, &nodes, "true").await;
    let standby = Replica::start(turn.server, "op-b").await;
    standby.answers_readyz(200, "ready").await;

    drop(proxy);
    let since = Instant::now();
    report(&client, "cut-off", "Attached", "1").await;
    standby.leads(&client).await;
    eprintln!("takeover from a leader without connections: {:.1?}", since.elapsed());
    assert!(since.elapsed() <= Duration::from_secs(20), "{:?}", since.elapsed());
    all_labelled(&client, &nodes, "false").await;
    assert_eq!(leader.process.metric("lsm_ready_leader").await, 0);
    leader.answers_readyz(503, "the Lease lsm-ready-operator: cannot read the Lease").await;
    assert_eq!(leader.process.page("/healthz").await.unwrap().code, 200);
}

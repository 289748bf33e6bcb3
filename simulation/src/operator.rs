//! One process of the operator: the real election, watches and controllers, over a client of the
//! simulated network, with the simulation's clock.

use std::future::Future;
use std::sync::Arc;

use futures::FutureExt;
use kube::Client;
use kube_runtime::events::Reporter;
use lsm_ready_operator::context::Context;
use lsm_ready_operator::context::metrics::Metrics;
use lsm_ready_operator::run::controllers;
use lsm_ready_operator::run::election::{Election, Identity};
use lsm_ready_operator::run::readiness::Readiness;
use lsm_ready_operator::watch;
use lsm_ready_operator::watch::queue::queues;
use lsm_ready_operator::watch::store::stores;
use lsm_ready_operator::watch::triggers::Triggers;

use crate::clock;
use crate::network::{Connection, Network};

pub const NAMESPACE: &str = "lsm-ready-system";

/// Runs until `stop` (then in order), until the Lease is lost, or until the process dies.
pub async fn run(network: Arc<Network>, identity: Identity, stop: impl Future<Output = ()>) {
    let died = network.clone();
    tokio::select! {
        biased;
        () = died.died() => {}
        () = lead(network, identity, stop) => {}
    }
}

async fn lead(network: Arc<Network>, identity: Identity, stop: impl Future<Output = ()>) {
    let client = Client::new(Connection(network), NAMESPACE);
    let election = Election::new(&client, identity);
    let stop = std::pin::pin!(stop.fuse());
    let mut stop = stop;
    tokio::select! {
        biased;
        () = &mut stop => return,
        () = election.win(|| {}) => {}
    }
    let (stores, writers) = stores();
    let (queues, receivers) = queues();
    let reporter = Reporter { controller: "lsmready.io/operator".into(), instance: None };
    let ctx = Context::new(client.clone(), reporter, stores, queues, Metrics::default());
    let ctx = Arc::new(Context { now: clock::operator_time, ..ctx });
    let watches = tokio::spawn(watch::run(client, writers, Triggers::new(ctx.clone())));
    let readiness = Readiness::default();
    tokio::select! {
        biased;
        () = &mut stop => return,
        () = readiness.wait_for_lists(&ctx.stores) => {}
    }
    let (end, ended) = futures::channel::oneshot::channel::<()>();
    let controllers = controllers::run(&ctx, receivers, ended.map(|_| ()).shared());
    let mut controllers = std::pin::pin!(controllers);
    tokio::select! {
        biased;
        () = &mut stop => {}
        _ = election.lose() => { watches.abort(); return }
        () = &mut controllers => return,
    }
    drop(end);
    let _ = tokio::time::timeout(std::time::Duration::from_secs(6), controllers).await;
    let _ = election.resign().await;
    watches.abort();
}

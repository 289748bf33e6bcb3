//! One process of the operator: the real election, watches and controllers, over clients of the
//! simulated network, with the simulation's clock.

use std::future::{Future, poll_fn};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use futures::FutureExt;
use lsm_ready_operator::breaker::decide::Limit;
use lsm_ready_operator::breaker::memory::Memory;
use lsm_ready_operator::context::metrics::Metrics;
use lsm_ready_operator::run::connection::{Held, client_over};
use lsm_ready_operator::run::election::Identity;
use lsm_ready_operator::run::election::notes::Notes;
use lsm_ready_operator::run::liveness::Liveness;
use lsm_ready_operator::run::readiness::Readiness;
use lsm_ready_operator::run::{self, Setup};
use lsm_ready_operator::tetragon::allow_list::AllowList;
use tokio::time::sleep;

use crate::clock;
use crate::network::{Connection, Network};

pub const NAMESPACE: &str = "lsm-ready-system";

/// Runs until `stop` (then in order), or until the process dies.
pub async fn run(
    network: Arc<Network>,
    identity: Identity,
    stop: impl Future<Output = ()> + Send + 'static,
) {
    let died = network.clone();
    let held = Held::default();
    let setup = Setup {
        client: client_over(Connection::fenced(network.clone()), held.clone()),
        lease_client: client_over(
            Connection::of_the_election(network.clone()),
            Held::without_election(),
        ),
        held,
        identity: Some(identity),
        metrics: Metrics::default(),
        readiness: Readiness::default(),
        notes: Notes::default(),
        liveness: Liveness::default(),
        agent_tls_dir: None,
        breaker_limit: Limit::default(),
        losses: Memory::default(),
        allow_list: AllowList::default(),
        now: clock::operator_time,
    };
    tokio::select! {
        biased;
        () = died.died() => {}
        _ = while_running(network, run::operate(setup, stop.boxed().shared())) => {}
    }
}

/// Runs the process for as long as it is not paused.
async fn while_running<F: Future>(network: Arc<Network>, process: F) -> F::Output {
    let mut process = std::pin::pin!(process);
    loop {
        let paused = poll_fn(|cx| {
            if network.is_stopped() {
                return Poll::Ready(None);
            }
            process.as_mut().poll(cx).map(Some)
        });
        if let Some(output) = paused.await {
            return output;
        }
        network.running().await;
        // The threads of a process that goes on run in any order: its connection may be the first.
        if network.random_bool() {
            sleep(Duration::from_millis(1)).await;
        }
    }
}

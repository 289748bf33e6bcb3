//! From start to orderly end.
//!
//! ## Flow
//! serve /healthz → win the Lease → start the watches → when every store has its first list, start
//! the controllers → on SIGTERM let the running reconciles finish, release the Lease, stop. A
//! second signal stops at once.
//!
//! ## Guarantees
//! No controller runs before every store has its first list: a Node is never labelled from half of
//! the evidence.

pub mod cli;
mod controllers;
pub mod election;
pub mod readiness;
pub mod server;
mod signals;
pub mod telemetry;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::{Either, select};
use futures::pin_mut;
use kube::Client;
use kube_runtime::events::Reporter;
use tokio::time::timeout;
use tracing::{info, warn};

use self::election::Election;
use self::readiness::{ELECTION, Readiness};
use self::signals::Signals;
use crate::agents::tls::TlsFiles;
use crate::context::Context;
use crate::context::metrics::Metrics;
use crate::run::cli::Cli;
use crate::tetragon::allow_list::AllowList;
use crate::watch;
use crate::watch::queue::queues;
use crate::watch::store::stores;
use crate::watch::triggers::Triggers;

/// Longest wait for running reconciles at the end. The kubelet kills the process after ten seconds.
const GRACE: Duration = Duration::from_secs(6);

/// Why the operator ended.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(
        "cannot reach the API server: run in a pod with a service account, or set KUBECONFIG: {0}"
    )]
    Client(#[source] Box<kube::Error>),
    #[error("cannot listen on {0}: {1}")]
    Serve(std::net::SocketAddr, #[source] std::io::Error),
    #[error("cannot listen for signals: {0}")]
    Signals(#[source] std::io::Error),
    /// Another replica is the leader now.
    #[error(transparent)]
    Election(#[from] election::Error),
    /// This is a bug: watches are restarted for ever.
    #[error("the watches ended")]
    Watches,
}

/// Runs until a signal or an error.
pub async fn run(cli: Cli) -> Result<(), Error> {
    let mut signals = Signals::listen().map_err(Error::Signals)?;
    let client = Client::try_default().await.map_err(|error| Error::Client(Box::new(error)))?;
    let (metrics, readiness) = (Metrics::default(), Readiness::default());
    let server = server::serve(cli.listen, readiness.clone(), metrics.clone());
    let agent_tls = TlsFiles::of(cli.agent_tls_dir.clone());
    let allow_list = AllowList::new(cli.allowed_programs.clone());
    let start = Start { client, metrics, readiness, agent_tls, allow_list };
    let work = lead(&cli, start, &mut signals);
    pin_mut!(server, work);
    match select(server, work).await {
        Either::Left((outcome, _)) => outcome.map_err(|error| Error::Serve(cli.listen, error)),
        Either::Right((outcome, _)) => outcome,
    }
}

/// What the work begins with.
struct Start {
    client: Client,
    metrics: Metrics,
    readiness: Readiness,
    agent_tls: TlsFiles,
    allow_list: AllowList,
}

/// Wins the election, works, releases the Lease.
async fn lead(cli: &Cli, start: Start, signals: &mut Signals) -> Result<(), Error> {
    let Some(identity) = cli.identity() else {
        info!("no leader election: the operator does not run in a pod");
        return work(start, std::future::pending(), signals).await;
    };
    let election = Election::new(&start.client, identity);
    // A replica that stands by counts as ready. Otherwise a rolling update would never get past it.
    let standing_by = || start.readiness.all_done();
    tokio::select! {
        () = election.win(standing_by) => {}
        () = signals.next() => return Ok(()),
    }
    start.metrics.leading(true);
    info!("this replica is the leader");
    let worked = work(start, election.lose(), signals).await;
    if let Err(error) = election.resign().await {
        warn!(%error, "the Lease was not released");
    }
    worked
}

/// Runs watches and controllers until a signal, or until this replica is no longer the leader.
async fn work(
    start: Start,
    lost: impl Future<Output = election::Error>,
    signals: &mut Signals,
) -> Result<(), Error> {
    let Start { client, metrics, readiness, agent_tls, allow_list } = start;
    readiness.done(ELECTION);
    let (stores, writers) = stores();
    let (queues, receivers) = queues();
    let ctx = Context::new(client.clone(), reporter(), stores, queues, metrics);
    let ctx = Arc::new(Context { allow_list, agent_tls, ..ctx });
    let watches = tokio::spawn(watch::run(client, writers, Triggers::new(ctx.clone())));
    tokio::select! {
        () = readiness.wait_for_lists(&ctx.stores) => info!("all lists are complete"),
        () = signals.next() => return Ok(()),
    }
    let (stop, stopped) = futures::channel::oneshot::channel::<()>();
    let controllers = controllers::run(&ctx, receivers, stopped.map(|_| ()).shared());
    pin_mut!(controllers, lost);
    let outcome = tokio::select! {
        () = &mut controllers => Ok(()),
        _ = watches => Err(Error::Watches),
        error = &mut lost => return Err(error.into()),
        () = signals.next() => Ok(()),
    };
    info!("stopping: waiting for running reconciles");
    drop(stop);
    finish(controllers, signals).await;
    outcome
}

/// Waits for the running reconciles, but not for long, and not after a second signal.
async fn finish(controllers: impl Future<Output = ()>, signals: &mut Signals) {
    tokio::select! {
        finished = timeout(GRACE, controllers) => {
            if finished.is_err() {
                warn!(?GRACE, "running reconciles did not finish in time");
            }
        }
        () = signals.next() => warn!("second signal: stopping at once"),
    }
}

fn reporter() -> Reporter {
    let instance = std::env::var("LSM_READY_POD_NAME").ok();
    Reporter { controller: "lsmready.io/operator".into(), instance }
}

//! From start to orderly end.
//!
//! ## Flow
//! serve /healthz → win the Lease → start the watches → when every store has its first list, start
//! the controllers → on SIGTERM let the running reconciles finish, release the Lease, stop. A
//! second signal stops at once. A leader that lost the Lease stands by again.
//!
//! ## Guarantees
//! - No controller runs before every store has its first list: a Node is never labelled from half
//!   of the evidence.
//! - Nothing is written without the Lease ([`connection::Fence`]).

mod cleanup;
pub mod cli;
pub mod connection;
mod controllers;
pub mod election;
pub mod lease;
pub mod liveness;
pub mod memory;
pub mod process;
pub mod readiness;
pub mod server;
mod signals;
pub mod telemetry;
mod verify;

use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::{BoxFuture, LocalBoxFuture, Shared};
use jiff::Timestamp;
use kube::{Client, Config};
use kube_runtime::events::Reporter;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tracing::{info, warn};

use self::connection::{Held, KeepAlive};
use self::election::notes::{Notes, Says};
use self::election::{Election, Identity, Lost};
use self::liveness::Liveness;
use self::readiness::Readiness;
use self::server::Served;
use self::signals::Signals;
use crate::agents::tls::TlsFiles;
use crate::breaker::Breaker;
use crate::breaker::decide::Limit;
use crate::breaker::memory::Memory;
use crate::context::Context;
use crate::context::metrics::Metrics;
use crate::run::cli::{Cli, Command};
use crate::teardown::Teardown;
use crate::tetragon::allow_list::AllowList;
use crate::watch;
use crate::watch::queue::queues;
use crate::watch::store::stores;
use crate::watch::triggers::Triggers;

/// Longest wait for running reconciles at the end.
const GRACE: Duration = Duration::from_secs(6);
/// Longest wait for the release of the Lease.
const RELEASE: Duration = Duration::from_secs(2);

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
    /// Something is left after the subcommand `cleanup`. It has been logged.
    #[error("not everything was removed")]
    Cleanup,
    /// The subcommand `verify` found nodes without a verdict, or could not look. It has been
    /// logged.
    #[error("not every node has a verdict")]
    Verify,
    /// This is a bug: watches are restarted for ever.
    #[error("the watches ended")]
    Watches,
}

/// Runs until a signal or an error.
pub async fn run(cli: Cli) -> Result<(), Error> {
    match cli.command {
        Some(Command::Cleanup(options)) => return cleanup::run(options).await,
        Some(Command::Verify(options)) => return verify::run(options).await,
        None => {}
    }
    let mut signals = Signals::listen().map_err(Error::Signals)?;
    let (setup, teardown) = setup(&cli).await.map_err(|error| Error::Client(Box::new(error)))?;
    let served = Served {
        liveness: setup.liveness.clone(),
        readiness: setup.readiness.clone(),
        metrics: setup.metrics.clone(),
    };
    // Its own task: it answers also when the controllers do not yield.
    let mut http = JoinSet::new();
    http.spawn(server::serve(cli.listen, served));
    let (stop, stopped) = futures::channel::oneshot::channel::<()>();
    let operated = Box::pin(operate(setup, stopped.map(|_| ()).boxed().shared()));
    let operated = async {
        match &teardown {
            Some(teardown) => Box::pin(teardown.beside(operated)).await,
            None => operated.await,
        }
    };
    let signals = async {
        signals.next().await;
        drop(stop);
        signals.next().await;
    };
    tokio::select! {
        biased;
        // First: a signal must be seen also where the operator always has work.
        () = signals => {
            warn!("second signal: stopping at once");
            Ok(())
        }
        Some(Ok(Err(error))) = http.join_next() => Err(Error::Serve(cli.listen, error)),
        outcome = operated => outcome,
    }
}

/// The parts of an operator. Tests put other clients and another clock into it.
pub struct Setup {
    /// For all work. Its writes must be fenced by `held` ([`connection::client`]).
    pub client: Client,
    /// For the Lease. It is not fenced.
    pub lease_client: Client,
    /// Shared with the fence of `client`.
    pub held: Held,
    /// `None`: there is no election, and this is the only replica.
    pub identity: Option<Identity>,
    pub metrics: Metrics,
    pub readiness: Readiness,
    /// What the Lease says besides who leads.
    pub notes: Notes,
    pub liveness: Liveness,
    /// Files for gRPC over TLS to Tetragon's agents.
    pub agent_tls_dir: Option<PathBuf>,
    /// When the circuit breaker opens.
    pub breaker_limit: Limit,
    /// The nodes that lost LSM BPF, as this process saw it.
    pub losses: Memory,
    /// Which DaemonSets may get a mount and be restarted.
    pub allow_list: AllowList,
    /// The wall clock.
    pub now: fn() -> Timestamp,
}

async fn setup(cli: &Cli) -> kube::Result<(Setup, Option<Teardown>)> {
    let config = Config::infer().await.map_err(kube::Error::InferConfig)?;
    let identity = cli.identity();
    let without_election = Held::without_election();
    let held = if identity.is_some() { Held::default() } else { without_election.clone() };
    let teardown = identity.as_ref().map(|me| Teardown::new(&config, me, held.clone()));
    let setup = Setup {
        client: connection::client(&config, KeepAlive::WORK, &held)?,
        lease_client: connection::client(&config, KeepAlive::LEASE, &without_election)?,
        held,
        identity,
        metrics: Metrics::default(),
        readiness: Readiness::default(),
        notes: Notes::default(),
        liveness: Liveness::default(),
        agent_tls_dir: cli.agent_tls_dir.clone(),
        breaker_limit: cli.breaker_limit(),
        losses: Memory::default(),
        allow_list: AllowList::new(cli.allowed_programs.clone()),
        now: Timestamp::now,
    };
    Ok((setup, teardown.transpose()?))
}

/// The request to stop.
pub type Stop = Shared<BoxFuture<'static, ()>>;

/// Wins the election, works, and releases the Lease after `stop`. Stands by again when the Lease is
/// lost.
///
/// The type is erased, so that the controllers are compiled once, here, and not again by each
/// program that calls this.
pub fn operate(setup: Setup, stop: Stop) -> LocalBoxFuture<'static, Result<(), Error>> {
    let liveness = setup.liveness.clone();
    let elected = Box::pin(elect(setup, stop));
    Box::pin(async move { liveness.beside(elected).await })
}

async fn elect(setup: Setup, stop: Stop) -> Result<(), Error> {
    let Some(identity) = setup.identity.clone() else {
        info!("no leader election: the operator does not run in a pod");
        setup.metrics.leading(true);
        return Box::pin(work(&setup, std::future::pending(), stop)).await.map(|_| ());
    };
    let mut election = Election::new(election::Setup {
        client: setup.lease_client.clone(),
        me: identity,
        held: setup.held.clone(),
        readiness: setup.readiness.clone(),
        notes: setup.notes.clone(),
        now: setup.now,
    });
    loop {
        tokio::select! {
            biased;
            () = stop.clone() => return Ok(()),
            () = election.win() => {}
        }
        setup.metrics.leading(true);
        info!("this replica is the leader");
        let ended = Box::pin(work(&setup, election.keep(), stop.clone())).await?;
        setup.metrics.leading(false);
        match ended {
            Ended::Stopped => return release(&mut election).await,
            Ended::StoppedInHaste => {
                setup.held.lost();
                return Ok(());
            }
            Ended::Lost(lost) => {
                warn!("no longer the leader: {lost}");
                setup.readiness.stands_by();
            }
        }
    }
}

async fn release(election: &mut Election) -> Result<(), Error> {
    match timeout(RELEASE, election.release()).await {
        Ok(Ok(())) => info!("the Lease is released"),
        Ok(Err(error)) => warn!(%error, "the Lease was not released"),
        Err(_) => warn!("the Lease was not released: no answer in {RELEASE:?}"),
    }
    Ok(())
}

/// How the work ended.
enum Ended {
    /// Every reconcile has ended.
    Stopped,
    /// Some reconciles were stopped. Their writes may still be under way.
    StoppedInHaste,
    Lost(Lost),
}

/// Runs watches and controllers until `stop`, or until this replica is no longer the leader.
async fn work(setup: &Setup, lost: impl Future<Output = Lost>, stop: Stop) -> Result<Ended, Error> {
    let Setup { client, metrics, readiness, liveness, .. } = setup;
    readiness.leads();
    // What the last leader said stays until this one knows.
    setup.notes.say(Says::Nothing);
    let (stores, writers) = stores();
    let (queues, receivers) = queues();
    let ctx = Context::new(client.clone(), reporter(), stores, queues, metrics.clone());
    let ctx = Arc::new(Context {
        agent_tls: TlsFiles::of(setup.agent_tls_dir.clone()),
        breaker: Breaker::new(setup.breaker_limit, setup.losses.clone()),
        allow_list: setup.allow_list.clone(),
        now: setup.now,
        readiness: readiness.clone(),
        notes: setup.notes.clone(),
        ..ctx
    });
    // They end when this is dropped.
    let mut watches = JoinSet::new();
    watches.spawn(watch::run(client.clone(), writers, Triggers::new(ctx.clone())));
    tokio::pin!(lost);
    tokio::select! {
        biased;
        () = stop.clone() => return Ok(Ended::Stopped),
        lost = &mut lost => return Ok(Ended::Lost(lost)),
        () = readiness.wait_for_lists(&ctx.stores) => info!("all lists are complete"),
    }
    let (end, ended) = futures::channel::oneshot::channel::<()>();
    let controllers = controllers::run(&ctx, liveness, receivers, ended.map(|_| ()).shared());
    tokio::pin!(controllers);
    tokio::select! {
        biased;
        () = stop => {}
        lost = &mut lost => return Ok(Ended::Lost(lost)),
        _ = watches.join_next() => return Err(Error::Watches),
        () = &mut controllers => return Ok(Ended::Stopped),
    }
    info!("stopping: waiting for running reconciles");
    drop(end);
    let finished = timeout(GRACE, async {
        tokio::select! {
            biased;
            lost = lost => Ended::Lost(lost),
            () = controllers => Ended::Stopped,
        }
    });
    Ok(finished.await.unwrap_or_else(|_| {
        warn!("running reconciles did not finish within {GRACE:?}");
        Ended::StoppedInHaste
    }))
}

fn reporter() -> Reporter {
    let instance = std::env::var("LSM_READY_POD_NAME").ok();
    Reporter { controller: "lsmready.io/operator".into(), instance }
}

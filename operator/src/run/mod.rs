//! From start to orderly end: serve, win the election, list everything, run the three controllers.
//!
//! ## Flow
//! serve /healthz → win the Lease → start the watches → when every store has listed once, start the controllers → on
//! SIGTERM let the reconciles under way end, give the Lease back, stop. A second signal ends at once.
//!
//! ## Guarantees
//! No controller runs before every store has listed: a Node is never labelled from half of the evidence.

pub mod cli;
pub mod election;
pub mod server;
pub mod telemetry;

use std::fmt::Debug;
use std::future::Future;
use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use futures::channel::mpsc::UnboundedReceiver;
use futures::future::{Either, Shared, select};
use futures::{FutureExt, StreamExt, pin_mut, stream};
use kube::{Client, Resource, ResourceExt};
use kube_runtime::controller::{self, Action, Controller};
use kube_runtime::events::Reporter;
use kube_runtime::reflector::{Lookup, ObjectRef, Store};
use serde::de::DeserializeOwned;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::timeout;
use tracing::{debug, info, warn};

use self::election::Election;
use self::server::Readiness;
use crate::agents::tls::TlsFiles;
use crate::context::Context;
use crate::context::metrics::Metrics;
use crate::run::cli::Cli;
use crate::watch::queue::{Receivers, queues};
use crate::watch::store::{Stores, stores};
use crate::watch::triggers::Routes;
use crate::{agents, node, policy, profile, tetragon, watch};

/// Reconciles of one controller that may run at once.
const CONCURRENCY: u16 = 16;

/// Longest wait for them at the end: less than the ten seconds after which the kubelet kills.
const GRACE: Duration = Duration::from_secs(6);

const ELECTION: &str = "the leader election";
const NODES: &str = "the list of Nodes";
const REPORTS: &str = "the list of LsmNodes";
const PROFILES: &str = "the list of LsmHookProfiles";
const POLICIES: &str = "the list of LsmPolicies";
const DAEMON_SETS: &str = "the list of DaemonSets";
const TRACING: &str = "a first look for TracingPolicies";
const ALL: [&str; 7] = [ELECTION, NODES, REPORTS, PROFILES, POLICIES, DAEMON_SETS, TRACING];

/// Why the operator ended.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No client: neither in a cluster nor with a kubeconfig.
    #[error(
        "no way to reach the API server (run in a pod with a service account, or set KUBECONFIG): {0}"
    )]
    Client(#[source] Box<kube::Error>),
    /// The address for /healthz cannot be listened on.
    #[error("serving on {0}: {1}")]
    Serve(std::net::SocketAddr, #[source] std::io::Error),
    /// Signals cannot be heard.
    #[error("listening for signals: {0}")]
    Signals(#[source] std::io::Error),
    /// Another replica leads now.
    #[error(transparent)]
    Election(#[from] election::Error),
    /// A watch ended for good, which it never should.
    #[error("the watches ended")]
    Watches,
}

/// Runs until a signal or an error.
///
/// # Errors
/// See [`Error`].
pub async fn run(cli: Cli) -> Result<(), Error> {
    let mut signals = Signals::listen().map_err(Error::Signals)?;
    let client = Client::try_default().await.map_err(|error| Error::Client(Box::new(error)))?;
    let (metrics, readiness) = (Metrics::default(), Readiness::waiting_for(ALL));
    let server = server::serve(cli.listen, readiness.clone(), metrics.clone());
    let agent_tls = TlsFiles::of(cli.agent_tls_dir.clone());
    let work = lead(&cli, Start { client, metrics, readiness, agent_tls }, &mut signals);
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
}

/// Wins the election, works, gives the Lease back.
async fn lead(cli: &Cli, start: Start, signals: &mut Signals) -> Result<(), Error> {
    let Some(identity) = cli.identity() else {
        info!("not in a pod: no leader election");
        return work(start, std::future::pending(), signals).await;
    };
    let election = Election::new(&start.client, identity);
    // A replica that stands by is as ready as it can be: otherwise no rolling update would ever get past it.
    let standing_by = || ALL.iter().for_each(|what| start.readiness.done(what));
    tokio::select! {
        () = election.win(standing_by) => {}
        () = signals.next() => return Ok(()),
    }
    start.metrics.leading(true);
    info!("leading");
    let worked = work(start, election.lose(), signals).await;
    if let Err(error) = election.resign().await {
        warn!(%error, "the Lease was not given back");
    }
    worked
}

/// Runs watches and controllers until a signal, or until the leadership is lost.
async fn work(
    start: Start,
    lost: impl Future<Output = election::Error>,
    signals: &mut Signals,
) -> Result<(), Error> {
    let Start { client, metrics, readiness, agent_tls } = start;
    readiness.done(ELECTION);
    let (stores, writers) = stores();
    let (queues, receivers) = queues();
    let routes = Routes::new(stores.clone(), queues.clone(), metrics.clone());
    let watches = tokio::spawn(watch::run(client.clone(), writers, routes, metrics.clone()));
    let ctx = Context::new(client, reporter(), stores.clone(), queues, metrics);
    let ctx = Arc::new(Context { agent_tls, ..ctx });
    tokio::select! {
        () = listed(&stores, &readiness) => info!("every list is here"),
        () = signals.next() => return Ok(()),
    }
    let (stop, stopped) = futures::channel::oneshot::channel::<()>();
    let controllers = controllers(&ctx, receivers, stopped.map(|_| ()).shared());
    pin_mut!(controllers, lost);
    let outcome = tokio::select! {
        () = &mut controllers => Ok(()),
        _ = watches => Err(Error::Watches),
        error = &mut lost => return Err(error.into()),
        () = signals.next() => Ok(()),
    };
    info!("stopping: reconciles under way are finished first");
    drop(stop);
    tokio::select! {
        drained = timeout(GRACE, controllers) => {
            if drained.is_err() {
                warn!(?GRACE, "reconciles under way did not end in time");
            }
        }
        () = signals.next() => warn!("second signal: stopping at once"),
    }
    outcome
}

fn reporter() -> Reporter {
    let instance = std::env::var("LSM_READY_POD_NAME").ok();
    Reporter { controller: "lsmready.io/operator".into(), instance }
}

/// Every store has listed once.
async fn listed(stores: &Stores, readiness: &Readiness) {
    tokio::join!(
        one_listed(&stores.nodes, NODES, readiness),
        one_listed(&stores.reports, REPORTS, readiness),
        one_listed(&stores.profiles, PROFILES, readiness),
        one_listed(&stores.policies, POLICIES, readiness),
        one_listed(&stores.daemon_sets, DAEMON_SETS, readiness),
        // However it ends: neither a CRD that is not there nor one that may not be read holds anything up.
        stores.tracing_policies.settled().map(|()| readiness.done(TRACING)),
    );
}

async fn one_listed<K>(store: &Store<K>, what: &'static str, readiness: &Readiness)
where
    K: Lookup<DynamicType = ()> + Clone + 'static,
{
    if store.wait_until_ready().await.is_ok() {
        readiness.done(what);
    }
}

/// The three controllers, the sweep of hook profiles and the questions to agents, until `stop`.
async fn controllers(
    ctx: &Arc<Context>,
    queues: Receivers,
    stop: Shared<impl Future<Output = ()> + Send + 'static>,
) {
    tokio::join!(
        drive(
            "node",
            &ctx.stores.nodes,
            queues.nodes,
            ctx,
            stop.clone(),
            node::reconcile,
            node::Error::reason
        ),
        drive(
            "policy",
            &ctx.stores.policies,
            queues.policies,
            ctx,
            stop.clone(),
            policy::reconcile,
            policy::Error::reason
        ),
        drive(
            "tetragon",
            &ctx.stores.daemon_sets,
            queues.daemon_sets,
            ctx,
            stop.clone(),
            tetragon::reconcile,
            tetragon::Error::reason
        ),
        profile::sweeps(ctx, stop.clone()),
        agents::poll_agents(ctx, stop),
    );
}

/// Runs one controller over its queue: counts, logs, and backs off each object on its own.
async fn drive<K, E, F>(
    name: &'static str,
    store: &Store<K>,
    queue: UnboundedReceiver<ObjectRef<K>>,
    ctx: &Arc<Context>,
    stop: Shared<impl Future<Output = ()> + Send + 'static>,
    reconcile: fn(Arc<K>, Arc<Context>) -> F,
    reason: fn(&E) -> &'static str,
) where
    K: Resource<DynamicType = ()>
        + Lookup<DynamicType = ()>
        + Clone
        + Debug
        + DeserializeOwned
        + Send
        + Sync
        + 'static,
    E: std::error::Error + Send + 'static,
    F: Future<Output = Result<Action, E>> + Send + 'static,
    ObjectRef<K>: Hash + Eq,
{
    let counted = move |object: Arc<K>, ctx: Arc<Context>| async move {
        let uid = ResourceExt::uid(&*object).unwrap_or_default();
        let action = reconcile(object, ctx.clone()).await?;
        ctx.backoff.succeeded(&uid);
        ctx.metrics.reconciled(name, "ok");
        Ok(action)
    };
    let failed = move |object: Arc<K>, error: &E, ctx: Arc<Context>| {
        let wait = ctx.backoff.failed(&ResourceExt::uid(&*object).unwrap_or_default());
        ctx.metrics.reconciled(name, reason(error));
        let object = object.name_any();
        warn!(controller = name, object, %error, retry_in = ?wait, "reconcile failed");
        Action::requeue(wait)
    };
    Controller::for_shared_stream(stream::pending(), store.clone())
        .with_config(controller::Config::default().concurrency(CONCURRENCY))
        .reconcile_on(queue)
        .graceful_shutdown_on(stop)
        .run(counted, failed, ctx.clone())
        .for_each(|outcome| async move {
            // Reconcile errors are dealt with above; what is left is a key whose object is gone, which needs nothing.
            if let Err(error) = outcome {
                debug!(controller = name, %error, "not reconciled");
            }
        })
        .await;
}

/// SIGTERM and SIGINT.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn listen() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

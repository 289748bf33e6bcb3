//! Three replicas over a simulated API server, in virtual time: whatever their network, their
//! processes and their clocks do, never do two of them hold the Lease, and in the end one does.
//!
//! In: a list of disturbances and a seed for the latencies. The elections are the real ones.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use futures::FutureExt;
use jiff::Timestamp;
use kube::Client;
use kube::client::Body;
use parking_lot::Mutex;
use proptest::prelude::*;
use proptest::test_runner::TestCaseResult;
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, sleep_until};

use super::super::notes::Notes;
use super::super::{Election, Identity, LEASE, LEASE_DURATION, Setup};
use crate::run::connection::Held;
use crate::run::readiness::Readiness;

const REPLICAS: usize = 3;
pub const SECOND: Duration = Duration::from_secs(1);
/// Longest time until a new leader, after any death.
pub const TAKEOVER: Duration = Duration::from_secs(20);

/// What happens to one replica's requests.
#[derive(Clone, Copy, Debug)]
enum Network {
    Works,
    /// Requests do not arrive.
    LosesRequests,
    /// Requests take effect, and their answers do not arrive.
    LosesAnswers,
    /// Requests take effect, perhaps after their sender has given up.
    Delays(Duration),
    /// The API server answers with an error, after the request took effect or before.
    Fails {
        after: bool,
    },
}

#[derive(Clone, Copy, Debug)]
enum Disturbance {
    Network(Network),
    /// The process does not run, as after SIGSTOP.
    Stops,
    /// The process ends, and another pod takes its place.
    Dies,
    /// The wall clock jumps by so many seconds.
    ClockJumps(i64),
    /// A person annotates the Lease.
    Annotates,
}

/// A disturbance of one replica.
#[derive(Clone, Copy, Debug)]
struct Event {
    /// After the event before.
    after: Duration,
    replica: usize,
    what: Disturbance,
    lasts: Duration,
}

#[derive(Debug, Default)]
pub struct ApiServer {
    lease: Option<Value>,
    version: u64,
}

impl ApiServer {
    /// Somebody sets an annotation of the Lease.
    pub fn annotate(&mut self) {
        let Some(lease) = &mut self.lease else { return };
        self.version += 1;
        let version = self.version.to_string();
        lease["metadata"]["annotations"]["lsmready.io/breaker"] = json!(version);
        lease["metadata"]["resourceVersion"] = json!(version);
    }

    fn answer(&mut self, method: &http::Method, body: &Value) -> (u16, Value) {
        let failed = |code: u16, reason: &str| {
            (code, json!({"kind": "Status", "code": code, "reason": reason}))
        };
        let read = self.lease.as_ref().map(|lease| &lease["metadata"]["resourceVersion"]);
        match (method.as_str(), read) {
            ("GET", Some(_)) => return (200, self.lease.clone().unwrap()),
            ("GET" | "PUT", None) => return failed(404, "NotFound"),
            ("POST", Some(_)) => return failed(409, "AlreadyExists"),
            ("PUT", Some(version)) if *version != body["metadata"]["resourceVersion"] => {
                return failed(409, "Conflict");
            }
            ("PUT", Some(_)) | ("POST", None) => {}
            other => panic!("{other:?}"),
        }
        self.version += 1;
        let mut lease = body.clone();
        lease["metadata"]["resourceVersion"] = json!(self.version.to_string());
        self.lease = Some(lease.clone());
        (200, lease)
    }
}

thread_local! {
    /// Seconds by which the wall clock is wrong.
    static JUMPED: Cell<i64> = const { Cell::new(0) };
}

fn wall_clock() -> Timestamp {
    Timestamp::from_second(1_767_225_600 + JUMPED.get()).unwrap()
}

pub struct Replica {
    pub held: Held,
    network: Arc<Mutex<Network>>,
    /// The process does not run before.
    stopped: Arc<Mutex<Instant>>,
    pub process: JoinHandle<()>,
}

impl Replica {
    fn start(server: &Arc<Mutex<ApiServer>>, name: String) -> Self {
        let network = Arc::new(Mutex::new(Network::Works));
        let client = client(server.clone(), network.clone());
        let held = Held::default();
        let mut election = Election::new(Setup {
            client,
            me: Identity { namespace: "ns".into(), pod: name, uid: "1".into() },
            held: held.clone(),
            readiness: Readiness::default(),
            notes: Notes::default(),
            now: wall_clock,
        });
        let stopped = Arc::new(Mutex::new(Instant::now()));
        let process = async move {
            loop {
                election.win().await;
                election.keep().await;
            }
        };
        let process = tokio::spawn(stoppable(process, stopped.clone()));
        Self { held, network, stopped, process }
    }

    fn holds(&self) -> bool {
        self.held.until(Instant::now()).is_some()
    }
}

/// A client of one replica.
fn client(server: Arc<Mutex<ApiServer>>, network: Arc<Mutex<Network>>) -> Client {
    let service = tower::service_fn(move |request: http::Request<Body>| {
        let (server, network) = (server.clone(), *network.lock());
        async move {
            let (parts, body) = request.into_parts();
            let body = body.collect_bytes().await.unwrap();
            let body: Value = serde_json::from_slice(&body).unwrap_or(Value::Null);
            let latency = || Duration::from_millis(fastrand::u64(1..200));
            let there = match network {
                Network::Delays(delay) => delay,
                _ => latency(),
            };
            if let Network::LosesRequests = network {
                std::future::pending::<()>().await;
            }
            // In a task of its own: it takes effect also when nobody waits any more.
            let effect = tokio::spawn(async move {
                sleep(there).await;
                match network {
                    Network::Fails { after: false } => (500, Value::Null),
                    Network::Fails { after: true } => {
                        server.lock().answer(&parts.method, &body);
                        (500, Value::Null)
                    }
                    _ => server.lock().answer(&parts.method, &body),
                }
            });
            let (code, answer) = effect.await.unwrap();
            if let Network::LosesAnswers = network {
                std::future::pending::<()>().await;
            }
            sleep(latency()).await;
            let answer = Body::from(serde_json::to_vec(&answer).unwrap());
            Ok::<_, tower::BoxError>(http::Response::builder().status(code).body(answer).unwrap())
        }
    });
    Client::new(service, "ns")
}

/// Runs `process`, but not before the time in `stopped`.
async fn stoppable(process: impl Future<Output = ()> + Send, stopped: Arc<Mutex<Instant>>) {
    let mut process = Box::pin(process);
    let mut continues = Box::pin(sleep_until(Instant::now()));
    poll_fn(move |cx| {
        let until = *stopped.lock();
        if Instant::now() < until {
            continues.as_mut().reset(until);
            let _ = continues.poll_unpin(cx);
            return Poll::Pending;
        }
        Pin::new(&mut process).poll(cx)
    })
    .await;
}

pub struct Model {
    pub server: Arc<Mutex<ApiServer>>,
    pub replicas: Vec<Replica>,
    started: usize,
}

impl Model {
    pub fn new() -> Self {
        let server = Arc::default();
        let replicas = (0..REPLICAS).map(|n| Replica::start(&server, format!("r{n}"))).collect();
        Self { server, replicas, started: REPLICAS }
    }

    pub fn holders(&self) -> Vec<usize> {
        (0..REPLICAS).filter(|&n| self.replicas[n].holds()).collect()
    }

    /// Lets time pass, and looks all the time.
    pub async fn watch(&self, time: Duration) -> Result<(), TestCaseError> {
        let end = Instant::now() + time;
        while Instant::now() < end {
            let holders = self.holders();
            prop_assert!(holders.len() <= 1, "two hold the Lease: {:?}", holders);
            sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }

    async fn play(&mut self, Event { after, replica, what, lasts }: Event) -> TestCaseResult {
        self.watch(after).await?;
        match what {
            Disturbance::Network(network) => {
                *self.replicas[replica].network.lock() = network;
                let network = self.replicas[replica].network.clone();
                tokio::spawn(async move {
                    sleep(lasts).await;
                    *network.lock() = Network::Works;
                });
            }
            Disturbance::Stops => *self.replicas[replica].stopped.lock() = Instant::now() + lasts,
            Disturbance::Dies => {
                self.replicas[replica].process.abort();
                // Its fence stays: what it has sent may still be under way.
                self.watch(LEASE_DURATION).await?;
                let name = format!("r{}", self.started);
                self.started += 1;
                self.replicas[replica] = Replica::start(&self.server, name);
            }
            Disturbance::ClockJumps(seconds) => JUMPED.set(seconds),
            Disturbance::Annotates => self.server.lock().annotate(),
        }
        Ok(())
    }

    /// All works again: one replica leads in time, and keeps the Lease.
    async fn settle(&self) -> TestCaseResult {
        for replica in &self.replicas {
            *replica.network.lock() = Network::Works;
            *replica.stopped.lock() = Instant::now();
            replica.process.is_finished().then(|| panic!("a process ended"));
        }
        self.watch(TAKEOVER).await?;
        let leader = self.holders();
        prop_assert_eq!(leader.len(), 1, "nobody leads");
        self.watch(4 * LEASE_DURATION).await?;
        prop_assert_eq!(self.holders(), leader, "the leader changed and nothing was wrong");
        Ok(())
    }
}

fn network() -> impl Strategy<Value = Network> {
    prop_oneof![
        Just(Network::LosesRequests),
        Just(Network::LosesAnswers),
        (0_u64..14_000).prop_map(|ms| Network::Delays(Duration::from_millis(ms))),
        any::<bool>().prop_map(|after| Network::Fails { after }),
    ]
}

fn event() -> impl Strategy<Value = Event> {
    let what = prop_oneof![
        4 => network().prop_map(Disturbance::Network),
        2 => Just(Disturbance::Stops),
        1 => Just(Disturbance::Dies),
        1 => (-1_000_000_i64..1_000_000).prop_map(Disturbance::ClockJumps),
        1 => Just(Disturbance::Annotates),
    ];
    let up_to = |ms: u64| (0..ms).prop_map(Duration::from_millis);
    (up_to(20_000), 0..REPLICAS, what, up_to(40_000))
        .prop_map(|(after, replica, what, lasts)| Event { after, replica, what, lasts })
}

pub fn run(case: impl Future<Output = TestCaseResult>) -> TestCaseResult {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_time().start_paused(true).build().unwrap().block_on(case)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn never_do_two_replicas_hold_the_lease(
        events in prop::collection::vec(event(), 0..12), seed in any::<u64>()
    ) {
        fastrand::seed(seed);
        JUMPED.set(0);
        run(async {
            let mut model = Model::new();
            for event in events {
                model.play(event).await?;
            }
            model.settle().await
        })?;
    }
}

/// The model is worth something: it notices a leader whose fence stays open.
#[test]
fn a_leader_that_does_not_stop_is_noticed() {
    run(async {
        let model = Model::new();
        model.watch(5 * SECOND).await?;
        let leader = &model.replicas[model.holders()[0]];
        *leader.network.lock() = Network::LosesRequests;
        let held = leader.held.clone();
        tokio::spawn(async move {
            loop {
                held.renewed(Instant::now());
                sleep(SECOND).await;
            }
        });
        prop_assert!(model.watch(2 * LEASE_DURATION).await.is_err());
        Ok(())
    })
    .unwrap();
}

/// The times that the documentation promises, without any disturbance but the death.
#[test]
fn after_the_leaders_death_another_leads_within_twenty_seconds() {
    for seed in 0..50 {
        fastrand::seed(seed);
        run(async {
            let model = Model::new();
            model.watch(Duration::from_millis(3_000 + fastrand::u64(0..4_000))).await?;
            let leader = model.holders();
            prop_assert_eq!(leader.len(), 1);
            model.replicas[leader[0]].process.abort();
            // It no longer counts.
            model.replicas[leader[0]].held.lost();
            let died = Instant::now();
            while model.holders().is_empty() {
                model.watch(SECOND / 20).await?;
                prop_assert!(died.elapsed() < TAKEOVER, "after {:?} nobody leads", died.elapsed());
            }
            Ok(())
        })
        .unwrap();
    }
}

/// The only writes at rest.
#[test]
fn a_lease_is_renewed_every_two_seconds() {
    run(async {
        let model = Model::new();
        model.watch(10 * SECOND).await?;
        let before = model.server.lock().version;
        model.watch(100 * SECOND).await?;
        let renewals = model.server.lock().version - before;
        prop_assert!((45..=50).contains(&renewals), "{} in 100 s", renewals);
        let server = model.server.lock();
        prop_assert_eq!(&server.lease.as_ref().unwrap()["metadata"]["name"], LEASE);
        Ok(())
    })
    .unwrap();
}

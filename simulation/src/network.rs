//! What lies between one process of the operator and the API server, and what goes wrong there.
//!
//! In: the requests of the process's client, the weather, and what the history does to the process
//! (pause, crash, cut, freeze). Out: answers, late, lost or never.

use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Request;
use kube::client::Body;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;
use tokio::time::sleep;

use crate::checks;
use crate::clock;
use crate::server::answer::{self, Refusal, Response};
use crate::server::kind::{Kind, Target};
use crate::server::requests::{self, Answer, Call};
use crate::server::{Server, watch};
use crate::weather::{Fate, Weather};

/// Longest time from what the process knows to the write that follows.
const PLANNING: Duration = Duration::from_millis(50);

/// What happens to one line of a watch.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum StreamFate {
    Delivered,
    /// The connection breaks before the line.
    Broken,
    /// Nothing more comes, and nobody says so.
    Silent,
    /// The server says that it no longer knows the version.
    Expired,
}

/// When a process dies by itself: at its n-th next write.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct CrashAt {
    pub writes: u32,
    /// After the API server has committed the write.
    pub after: bool,
}

/// The connection of one process.
#[derive(Debug)]
pub struct Network {
    /// Counts the processes of a history.
    pub id: usize,
    server: Arc<Mutex<Server>>,
    state: Mutex<State>,
    woken: Notify,
}

#[derive(Debug)]
struct State {
    weather: Weather,
    random: fastrand::Rng,
    is_dead: bool,
    is_paused: bool,
    /// Connections made before this many cuts and freezes are of an older era.
    era: u64,
    /// Connections of earlier eras are cut, or hang.
    cut_before: u64,
    frozen_before: u64,
    unreachable_until: Duration,
    crash: Option<CrashAt>,
    refuse_next_write: bool,
    /// What the process was told, by kind: when, and up to which version.
    told: [Vec<Told>; Kind::ALL.len()],
    /// The last write of each Node that was answered.
    node_writes: BTreeMap<String, NodeWrite>,
    /// When the process sent its last successful renewal of the Lease, and for how long it holds.
    lease: Option<Term>,
}

#[derive(Clone, Copy, Debug)]
struct Told {
    at: Duration,
    version: u64,
}

#[derive(Clone, Copy, Debug)]
struct NodeWrite {
    sent: Duration,
    answered: Duration,
}

/// One process's hold of the Lease.
#[derive(Clone, Copy, Debug)]
pub struct Term {
    pub renewed: Duration,
    pub lasts: Duration,
}

impl Network {
    #[must_use]
    pub fn new(id: usize, seed: u64, server: Arc<Mutex<Server>>, weather: Weather) -> Arc<Self> {
        let state = State {
            weather,
            random: fastrand::Rng::with_seed(seed ^ (id as u64).wrapping_mul(0x9e37_79b9)),
            is_dead: false,
            is_paused: false,
            era: 0,
            cut_before: 0,
            frozen_before: 0,
            unreachable_until: Duration::ZERO,
            crash: None,
            refuse_next_write: false,
            told: std::array::from_fn(|_| Vec::new()),
            node_writes: BTreeMap::new(),
            lease: None,
        };
        Arc::new(Self { id, server, state: Mutex::new(state), woken: Notify::new() })
    }

    #[must_use]
    pub const fn server(&self) -> &Arc<Mutex<Server>> {
        &self.server
    }

    pub fn set_weather(&self, weather: Weather) {
        self.state.lock().weather = weather;
    }

    /// The process is gone. Nothing that it waits for ever comes.
    pub fn kill(&self) {
        self.state.lock().is_dead = true;
        self.woken.notify_waiters();
    }

    pub fn pause(&self, is_paused: bool) {
        self.state.lock().is_paused = is_paused;
        self.woken.notify_waiters();
    }

    /// Breaks every connection.
    pub fn cut_all(&self, unreachable: Duration) {
        let mut state = self.state.lock();
        state.era += 1;
        state.cut_before = state.era;
        state.unreachable_until = clock::elapsed() + unreachable;
        drop(state);
        self.woken.notify_waiters();
    }

    /// Every connection hangs from now on. New ones work.
    pub fn freeze(&self) {
        let mut state = self.state.lock();
        state.era += 1;
        state.frozen_before = state.era;
        drop(state);
        self.woken.notify_waiters();
    }

    pub fn crash_at(&self, crash: CrashAt) {
        self.state.lock().crash = Some(crash);
    }

    /// The API server refuses the next write, whatever the weather.
    pub fn refuse_next_write(&self) {
        self.state.lock().refuse_next_write = true;
    }

    #[must_use]
    pub fn era(&self) -> u64 {
        self.state.lock().era
    }

    #[must_use]
    pub fn lag(&self, kind: Kind) -> Duration {
        self.state.lock().weather.lag(kind)
    }

    pub fn stream_fate(&self) -> StreamFate {
        let mut state = self.state.lock();
        let State { weather, random, .. } = &mut *state;
        weather.stream_fate(random)
    }

    /// Notes that the process knows everything of that kind up to that version.
    pub fn delivered(&self, kind: Kind, version: u64) {
        let at = clock::elapsed();
        self.state.lock().told[kind.index()].push(Told { at, version });
    }

    /// Up to which version the process had been told everything of that kind, before that moment.
    #[must_use]
    pub fn told_before(&self, kind: Kind, moment: Duration) -> u64 {
        let state = self.state.lock();
        let before = state.told[kind.index()].iter().rev().find(|told| told.at < moment);
        before.map_or(0, |told| told.version)
    }

    /// When the process decided what it sent about that Node at that moment: where it had just got
    /// the answer to another write of the Node, the decision is from before that.
    #[must_use]
    pub fn planned(&self, node: &str, sent: Duration) -> Duration {
        let state = self.state.lock();
        let write = state.node_writes.get(node);
        let write = write.filter(|write| sent.saturating_sub(write.answered) <= PLANNING);
        write.map_or(sent, |write| write.sent).saturating_sub(PLANNING)
    }

    fn answered(&self, call: &Call, sent: Duration) {
        let Some(target) = Target::parse(&call.path).filter(|_| call.is_write()) else { return };
        if let (Kind::Node, Some(name)) = (target.kind, target.name) {
            let write = NodeWrite { sent, answered: clock::elapsed() };
            self.state.lock().node_writes.insert(name, write);
        }
    }

    #[must_use]
    pub fn term(&self) -> Option<Term> {
        self.state.lock().lease
    }

    pub fn set_term(&self, term: Option<Term>) {
        self.state.lock().lease = term;
    }

    /// Returns when the connections of that era are cut.
    pub async fn cut(&self, era: u64) {
        self.until(|state| era < state.cut_before).await;
    }

    /// Returns when the process runs. Never, where it is dead.
    async fn running(&self) {
        self.until(|state| !state.is_dead && !state.is_paused).await;
    }

    /// Returns at once, unless the process is paused or its connection hangs.
    pub async fn still_connected(&self, era: u64) {
        let connected =
            |state: &State| !state.is_dead && !state.is_paused && era >= state.frozen_before;
        self.until(connected).await;
    }

    /// Returns when the process is dead.
    pub async fn died(&self) {
        self.until(|state| state.is_dead).await;
    }

    async fn until(&self, holds: impl Fn(&State) -> bool) {
        loop {
            let woken = self.woken.notified();
            if holds(&self.state.lock()) {
                return;
            }
            woken.await;
        }
    }

    /// Whether the process dies at this moment of a write.
    fn crashes(&self, after: bool) -> bool {
        let mut state = self.state.lock();
        let Some(crash) = state.crash.as_mut().filter(|crash| crash.after == after) else {
            return false;
        };
        crash.writes = crash.writes.saturating_sub(1);
        let now = crash.writes == 0;
        if now {
            state.is_dead = true;
        }
        now
    }

    fn fate(&self, call: &Call) -> Fate {
        let mut state = self.state.lock();
        let refuse = call.is_write()
            && !call.path.contains("/leases/")
            && std::mem::take(&mut state.refuse_next_write);
        let State { weather, random, .. } = &mut *state;
        let fate = weather.fate(random, call);
        let busy = || Refusal::new(503, "ServiceUnavailable", "refused once");
        Fate { refusal: if refuse { Some(busy()) } else { fate.refusal }, ..fate }
    }

    async fn request(self: Arc<Self>, request: Request<Body>) -> io::Result<Response> {
        let call = requests::read(request).await?;
        let sent = clock::elapsed();
        self.running().await;
        let (era, fate) = (self.era(), self.fate(&call));
        sleep(fate.out).await;
        self.still_connected(era).await;
        if era < self.state.lock().cut_before
            || clock::elapsed() < self.state.lock().unreachable_until
        {
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        if fate.lost_before {
            return fate.loss().await;
        }
        if call.is_write() && self.crashes(false) {
            self.kill();
            return std::future::pending().await;
        }
        let response = self.answer(&call, fate.refusal.as_ref(), sent);
        if call.is_write() && self.crashes(true) {
            self.kill();
            return std::future::pending().await;
        }
        sleep(fate.back).await;
        self.still_connected(era).await;
        if fate.lost_after {
            return fate.loss().await;
        }
        if era < self.state.lock().cut_before {
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        self.answered(&call, sent);
        if let Some((kind, version)) = listed(&call, &response) {
            self.delivered(kind, version);
        }
        Ok(self.respond(&call, response))
    }

    fn answer(
        &self,
        call: &Call,
        refusal: Option<&Refusal>,
        sent: Duration,
    ) -> Result<Answer, Refusal> {
        let mut server = self.server.lock();
        if let Some(refusal) = refusal {
            server.trace(self.id, call, refusal.code);
            return Err(refusal.clone());
        }
        let (answer, written) = server.handle(call);
        let code = match &answer {
            Ok(Answer::Object(_) | Answer::Watch(..)) => 200,
            Ok(Answer::Created(_)) => 201,
            Err(refusal) => refusal.code,
        };
        server.trace(self.id, call, code);
        if let Some(written) = written {
            checks::written(&mut server, self, &written, sent);
        } else if answer.is_ok() {
            checks::idle(&mut server, call);
        }
        answer
    }

    fn respond(self: &Arc<Self>, call: &Call, answer: Result<Answer, Refusal>) -> Response {
        match answer {
            Ok(Answer::Object(object)) => answer::object(200, &object),
            Ok(Answer::Created(object)) => answer::object(201, &object),
            Ok(Answer::Watch(kind, version)) => {
                answer::stream(Box::pin(watch::lines(self.clone(), kind, version, &call.query)))
            }
            Err(refusal) => answer::refused(&refusal),
        }
    }
}

/// The kind and version of a complete list.
fn listed(call: &Call, answer: &Result<Answer, Refusal>) -> Option<(Kind, u64)> {
    let Ok(Answer::Object(object)) = answer else { return None };
    let target = Target::parse(&call.path)?;
    let metadata = &object["metadata"];
    let is_last = target.name.is_none() && metadata["continue"].as_str() == Some("");
    let version = metadata["resourceVersion"].as_str()?.parse().ok()?;
    is_last.then_some((target.kind, version))
}

/// The service under a process's client.
#[derive(Clone, Debug)]
pub struct Connection(pub Arc<Network>);

impl tower::Service<Request<Body>> for Connection {
    type Response = Response;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Response>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        Box::pin(self.0.clone().request(request))
    }
}

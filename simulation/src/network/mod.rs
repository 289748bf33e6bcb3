//! What lies between one process of the operator and the API server, and what goes wrong there.
//!
//! In: the requests of the process's client, the weather, and what the history does to the process
//! (pause, crash, cut, freeze). Out: answers, late, lost or never.

mod connection;
mod known;
mod mishaps;

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use http::Request;
use kube::client::Body;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::sleep;

use crate::checks;
use crate::clock;
use crate::server::answer::{self, Refusal, Response};
use crate::server::kind::Kind;
use crate::server::requests::{self, Answer, Call};
use crate::server::{Server, watch};
use crate::weather::{Fate, Weather};

pub use connection::Connection;
use known::{NodeWrite, Told};
pub use mishaps::{CrashAt, Mishap};
use mishaps::{Gap, NextWrite, touch};

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
    /// The process is paused when its next request is about to be handed to the connection.
    pauses_at_request: bool,
    /// Connections made before this many cuts and freezes are of an older era.
    era: u64,
    /// Connections of earlier eras are cut, or hang.
    cut_before: u64,
    frozen_before: u64,
    unreachable_until: Duration,
    crash: Option<CrashAt>,
    next_write: Option<NextWrite>,
    /// Kinds whose watch was lost.
    gaps: [Gap; Kind::ALL.len()],
    /// What the process was told, by kind: when, and up to which version.
    told: [Vec<Told>; Kind::ALL.len()],
    /// The newest list of each kind of which the process has a page.
    pages: [u64; Kind::ALL.len()],
    /// The last write of each Node that was answered.
    node_writes: BTreeMap<String, NodeWrite>,
    /// When the process sent its last successful renewal of the Lease, and for how long it holds.
    lease: Option<Term>,
}

/// One process's hold of the Lease.
#[derive(Clone, Copy, Debug)]
pub struct Term {
    pub renewed: Duration,
    /// When the process had the answer to that renewal.
    pub answered: Option<Duration>,
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
            pauses_at_request: false,
            era: 0,
            cut_before: 0,
            frozen_before: 0,
            unreachable_until: Duration::ZERO,
            crash: None,
            next_write: None,
            gaps: [Gap::default(); Kind::ALL.len()],
            told: std::array::from_fn(|_| Vec::new()),
            pages: [0; Kind::ALL.len()],
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

    /// Stops the process as SIGSTOP does, or lets it go on. Time goes on for its timers.
    pub fn pause(&self, is_paused: bool) {
        let mut state = self.state.lock();
        state.is_paused = is_paused;
        state.pauses_at_request = false;
        drop(state);
        self.woken.notify_waiters();
    }

    /// Pauses the process at its next request, between the last check and the connection.
    pub fn pause_at_request(&self) {
        self.state.lock().pauses_at_request = true;
    }

    /// Whether a request may not be handed over now.
    fn holds_back(&self) -> bool {
        let mut state = self.state.lock();
        state.is_paused |= std::mem::take(&mut state.pauses_at_request);
        state.is_paused || state.is_dead
    }

    /// As the seed decides.
    pub fn random_bool(&self) -> bool {
        self.state.lock().random.bool()
    }

    #[must_use]
    pub fn is_stopped(&self) -> bool {
        let state = self.state.lock();
        state.is_paused || state.is_dead
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

    #[must_use]
    pub fn term(&self) -> Option<Term> {
        self.state.lock().lease
    }

    pub fn set_term(&self, term: Option<Term>) {
        self.state.lock().lease = term;
    }

    /// Returns when a watch of that kind and era is cut.
    pub async fn cut(&self, kind: Kind, era: u64) {
        self.until(|state| era < state.cut_before || era < state.gaps[kind.index()].before).await;
    }

    /// Returns when the process runs. Never, where it is dead.
    pub async fn running(&self) {
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

    fn fate(&self, call: &Call) -> Fate {
        let mut state = self.state.lock();
        let State { weather, random, next_write, .. } = &mut *state;
        let mut fate = weather.fate(random, call);
        let kind = call.target.as_ref().filter(|_| call.is_write()).map(|it| it.kind);
        let befallen = next_write.filter(|next| kind == Some(next.kind));
        if let Some(NextWrite { mishap, .. }) = befallen {
            *next_write = None;
            match mishap {
                Mishap::Refused => {
                    fate.refusal = Some(Refusal::new(503, "ServiceUnavailable", "refused once"));
                }
                Mishap::Invalid => {
                    fate.refusal = Some(Refusal::new(422, "Invalid", "refused once"));
                }
                Mishap::Conflict => fate.conflict = true,
                Mishap::LostAnswer => fate.lost_after = true,
                Mishap::NoAnswer => (fate.lost_after, fate.hangs) = (true, true),
            }
        }
        fate
    }

    async fn request(
        self: Arc<Self>,
        request: Request<Body>,
        sent: Duration,
    ) -> io::Result<Response> {
        let call = requests::read(request).await?;
        self.running().await;
        let (era, fate) = (self.era(), self.fate(&call));
        sleep(fate.out).await;
        self.still_connected(era).await;
        if era < self.state.lock().cut_before || self.is_unreachable(&call) {
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        if fate.lost_before {
            return fate.loss().await;
        }
        if call.is_write() && self.crashes(false) {
            self.kill();
            return std::future::pending().await;
        }
        if fate.conflict {
            touch(&mut self.server.lock(), &call);
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
        self.listed(&call, &response);
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
            let is_mount = call.target.as_ref().is_some_and(|it| it.kind == Kind::DaemonSet);
            if is_mount && refusal.code == 422 {
                server.mount_refused = Some(clock::elapsed());
            }
            if let Some(pod) = call.path.strip_suffix("/eviction") {
                let pod = pod.rsplit('/').next().unwrap_or_default().to_owned();
                server.refused_evictions.insert(pod);
            }
            return Err(refusal.clone());
        }
        let (answer, written) = server.handle(call);
        let code = match &answer {
            Ok(Answer::Object(_) | Answer::List { .. } | Answer::Watch(..)) => 200,
            Ok(Answer::Created(_)) => 201,
            Err(refusal) => refusal.code,
        };
        server.trace(self.id, call, code);
        if let Some(written) = written {
            checks::written(&mut server, self, &written, sent);
        } else if answer.is_ok() {
            checks::idle(&mut server, call);
        } else if code == 409 {
            checks::refused(&mut server, self, call, sent);
        }
        answer
    }

    fn respond(self: &Arc<Self>, call: &Call, answer: Result<Answer, Refusal>) -> Response {
        match answer {
            Ok(Answer::Object(text) | Answer::List { text, .. }) => answer::text(200, text),
            Ok(Answer::Created(text)) => answer::text(201, text),
            Ok(Answer::Watch(kind, version)) => {
                answer::stream(Box::pin(watch::lines(self.clone(), kind, version, &call.query)))
            }
            Err(refusal) => answer::refused(&refusal),
        }
    }
}

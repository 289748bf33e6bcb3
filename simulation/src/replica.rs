//! One replica of the operator: a pod whose process is started again when it ends.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use lsm_ready_operator::run::election::Identity;
use parking_lot::Mutex;
use serde_json::json;
use tokio::sync::watch;
use tokio::time::sleep;

use crate::network::{Network, Term};
use crate::operator;
use crate::server::Server;
use crate::server::kind::Kind;
use crate::weather::Weather;

/// How long the kubelet waits before it starts a process again.
const RESTART: Duration = Duration::from_secs(1);

pub struct Replica {
    shared: Arc<Shared>,
    /// The end of the orderly stop of the present process.
    stop: Option<watch::Sender<bool>>,
}

struct Shared {
    number: u8,
    seed: u64,
    server: Arc<Mutex<Server>>,
    state: Mutex<State>,
    processes: AtomicUsize,
    /// Held while a process runs, so that one has ended before the next begins.
    running: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct State {
    weather: Weather,
    network: Option<Arc<Network>>,
}

impl Replica {
    #[must_use]
    pub fn new(number: u8, seed: u64, server: Arc<Mutex<Server>>) -> Self {
        let pod = json!({"metadata": {"name": name(number), "namespace": operator::NAMESPACE},
            "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}});
        server.lock().put(Kind::Pod, pod);
        let shared = Shared {
            number,
            seed,
            server,
            state: Mutex::default(),
            processes: AtomicUsize::new(usize::from(number) * 100),
            running: tokio::sync::Mutex::new(()),
        };
        Self { shared: Arc::new(shared), stop: None }
    }

    pub fn set_weather(&self, weather: Weather) {
        self.shared.state.lock().weather = weather;
        self.on_network(|network| network.set_weather(weather));
    }

    /// Does something to the connection of the present process, where there is one.
    pub fn on_network(&self, act: impl FnOnce(&Network)) {
        if let Some(network) = self.network() {
            act(&network);
        }
    }

    /// Whether something has happened to the write that it should happen to.
    #[must_use]
    pub fn has_met_mishap(&self) -> bool {
        self.network().is_some_and(|network| !network.awaits_next_write())
    }

    /// The hold of the Lease of the present process.
    #[must_use]
    pub fn term(&self) -> Option<Term> {
        self.network()?.term()
    }

    fn network(&self) -> Option<Arc<Network>> {
        self.shared.state.lock().network.clone()
    }

    #[must_use]
    pub const fn is_started(&self) -> bool {
        self.stop.is_some()
    }

    /// Starts the process, where none is started.
    pub fn start(&mut self) {
        if self.stop.is_some() {
            return;
        }
        let (stop, stopped) = watch::channel(false);
        self.stop = Some(stop);
        // The operator's future is not `Send`.
        tokio::task::spawn_local(self.shared.clone().run(stopped));
    }

    /// Ends the process in order.
    pub fn stop(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(true);
        }
    }
}

impl Shared {
    async fn run(self: Arc<Self>, stopped: watch::Receiver<bool>) {
        let _running = self.running.lock().await;
        while !*stopped.borrow() {
            let id = self.processes.fetch_add(1, Ordering::Relaxed);
            let network = {
                let mut state = self.state.lock();
                let network = Network::new(id, self.seed, self.server.clone(), state.weather);
                state.network = Some(network.clone());
                network
            };
            self.server.lock().trace.note(|| format!("process {id} starts"));
            let mut stop = stopped.clone();
            let stop = async move {
                let _ = stop.wait_for(|stop| *stop).await;
            };
            Box::pin(operator::run(network.clone(), self.identity(), stop)).await;
            // Nothing that is left of the process does anything any more.
            network.kill();
            self.server.lock().trace.note(|| format!("process {id} ended"));
            sleep(RESTART).await;
        }
    }

    fn identity(&self) -> Identity {
        let (namespace, pod) = (operator::NAMESPACE.to_owned(), name(self.number));
        let key = (namespace.clone(), pod.clone());
        let server = self.server.lock();
        let object = server.get(Kind::Pod, &key);
        let uid = object.and_then(|pod| pod["metadata"]["uid"].as_str()).unwrap_or_default();
        Identity { namespace, pod, uid: uid.to_owned() }
    }
}

fn name(number: u8) -> String {
    format!("operator-{number}")
}

//! The world of a history: the API server, the nodes with their kubelets and probes, Tetragon's
//! DaemonSet with its controller, other writers, and the processes of the operator.
//!
//! In: one [`Step`] after the other. Out: changes of the objects, and what becomes of the
//! processes.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::sleep;

use crate::clock;
use crate::daemon_set;
use crate::network::Network;
use crate::people::People;
use crate::replica::Replica;
use crate::server::Server;
use crate::step::{REPLICAS, Step};
use crate::weather::Weather;

pub struct World {
    pub server: Arc<Mutex<Server>>,
    pub replicas: Vec<Replica>,
    people: People,
}

impl World {
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let server = Arc::new(Mutex::new(Server::default()));
        let replicas =
            (0..REPLICAS).map(|number| Replica::new(number, seed, server.clone())).collect();
        tokio::spawn(daemon_set::control(server.clone()));
        Self { server, replicas, people: People::default() }
    }

    pub async fn apply(&mut self, step: Step) {
        self.server.lock().trace.note(|| format!("step {step:?}"));
        match step {
            Step::Wait { milliseconds } => {
                sleep(Duration::from_millis(milliseconds.into())).await;
            }
            Step::Weather(weather) => self.set_weather(weather),
            Step::Cut { replica, milliseconds } => self.cut(replica, milliseconds),
            Step::CutAndCompact { replica, milliseconds } => {
                self.cut(replica, milliseconds);
                // What happens within the cut is forgotten when it ends.
                let (server, wait) =
                    (self.server.clone(), Duration::from_millis(milliseconds.into()));
                tokio::spawn(async move {
                    sleep(wait).await;
                    server.lock().compact();
                });
            }
            Step::LoseWatch { replica, kind, milliseconds } => {
                let unreachable = Duration::from_millis(milliseconds.into());
                self.replica(replica).on_network(|network| network.lose_watch(kind, unreachable));
            }
            Step::NextWrite { replica, kind, mishap } => {
                self.replica(replica).on_network(|it| it.befall_next_write(kind, mishap));
            }
            Step::Freeze(replica) => self.replica(replica).on_network(Network::freeze),
            Step::Compact => self.server.lock().compact(),
            Step::Pause(replica) => self.replica(replica).on_network(|network| network.pause(true)),
            Step::PauseAtRequest(replica) => {
                self.replica(replica).on_network(Network::pause_at_request);
            }
            Step::Resume(replica) => self.replica(replica).on_network(|it| it.pause(false)),
            Step::Crash(replica) => self.replica(replica).on_network(Network::kill),
            Step::CrashAtWrite(replica, crash) => {
                self.replica(replica).on_network(|network| network.crash_at(crash));
            }
            Step::Stop(replica) => self.replica(replica).stop(),
            Step::Start(replica) => self.replica(replica).start(),
            Step::ClockJump { seconds } => clock::jump(seconds.into()),
            change => self.change(change),
        }
    }

    fn replica(&mut self, replica: u8) -> &mut Replica {
        let last = self.replicas.len().saturating_sub(1);
        &mut self.replicas[usize::from(replica).min(last)]
    }

    fn cut(&mut self, replica: u8, milliseconds: u32) {
        let unreachable = Duration::from_millis(milliseconds.into());
        self.replica(replica).on_network(|network| network.cut_all(unreachable));
    }

    pub fn set_weather(&mut self, weather: Weather) {
        for replica in &mut self.replicas {
            replica.set_weather(weather);
        }
    }

    /// A change by somebody other than the operator.
    pub fn change(&mut self, step: Step) {
        self.people.change(&mut self.server.lock(), step);
    }
}

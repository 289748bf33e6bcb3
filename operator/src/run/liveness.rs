//! Whether this process still works, for `/healthz`. The kubelet restarts it if not.
//!
//! In: each reconcile's begin and end, and a heartbeat of the task that runs the controllers. Out:
//! what does not go on. A cluster that cannot be reached is no reason to restart: each request has
//! a deadline, and so has each reconcile.

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::{Instant, interval};

/// A reconcile that takes so long is an error, and is tried again.
pub const RECONCILE_DEADLINE: Duration = Duration::from_mins(1);
/// A reconcile that has not ended after this time does not end by itself.
pub const STUCK_AFTER: Duration = Duration::from_secs(90);
/// The heartbeat must not be older.
const SILENT_AFTER: Duration = Duration::from_secs(30);
const HEARTBEAT: Duration = Duration::from_secs(1);

/// A clone shares the state.
#[derive(Clone, Debug)]
pub struct Liveness(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    heartbeat: Instant,
    next: u64,
    running: HashMap<u64, Running>,
}

#[derive(Debug)]
struct Running {
    controller: &'static str,
    object: String,
    since: Instant,
}

impl Default for Liveness {
    fn default() -> Self {
        let state = State { heartbeat: Instant::now(), next: 0, running: HashMap::new() };
        Self(Arc::new(Mutex::new(state)))
    }
}

/// A reconcile that runs. It ends when this is dropped.
#[derive(Debug)]
pub struct Reconcile {
    liveness: Liveness,
    number: u64,
}

impl Drop for Reconcile {
    fn drop(&mut self) {
        self.liveness.0.lock().running.remove(&self.number);
    }
}

impl Liveness {
    /// A reconcile begins.
    pub fn begin(&self, controller: &'static str, object: String) -> Reconcile {
        let mut state = self.0.lock();
        let number = state.next;
        state.next += 1;
        state.running.insert(number, Running { controller, object, since: Instant::now() });
        Reconcile { liveness: self.clone(), number }
    }

    /// Runs `work` and, in the same task, a heartbeat. A task that never yields stops it.
    pub async fn beside<T>(&self, work: impl Future<Output = T>) -> T {
        let mut heartbeat = interval(HEARTBEAT);
        tokio::pin!(work);
        loop {
            tokio::select! {
                biased;
                _ = heartbeat.tick() => self.0.lock().heartbeat = Instant::now(),
                outcome = &mut work => return outcome,
            }
        }
    }

    /// What does not go on; nothing if all is well.
    pub fn stuck(&self) -> Vec<String> {
        let (state, now) = (self.0.lock(), Instant::now());
        let silent = now - state.heartbeat;
        let silent = (silent >= SILENT_AFTER)
            .then(|| format!("the controllers have not run for {} s", silent.as_secs()));
        let mut stuck: Vec<&Running> =
            state.running.values().filter(|running| now - running.since >= STUCK_AFTER).collect();
        stuck.sort_by_key(|running| running.since);
        let stuck = stuck.into_iter().map(|Running { controller, object, since }| {
            let seconds = (now - *since).as_secs();
            format!("the controller {controller} has reconciled {object} for {seconds} s")
        });
        silent.into_iter().chain(stuck).collect()
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::sleep;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_reconcile_that_does_not_end_is_named_after_ninety_seconds() {
        let liveness = Liveness::default();
        let work = async {
            let stuck = liveness.begin("node", "n1".to_owned());
            let ended = liveness.begin("policy", "enforce".to_owned());
            drop(ended);
            sleep(STUCK_AFTER.saturating_sub(Duration::from_millis(1))).await;
            assert!(liveness.stuck().is_empty());
            sleep(Duration::from_millis(1)).await;
            assert_eq!(liveness.stuck(), ["the controller node has reconciled n1 for 90 s"]);
            drop(stuck);
            assert!(liveness.stuck().is_empty());
        };
        liveness.beside(work).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_that_gets_no_turn_is_noticed() {
        let liveness = Liveness::default();
        liveness.beside(sleep(Duration::from_mins(2))).await;
        assert!(liveness.stuck().is_empty());
        // Nothing runs beside the heartbeat any more, as if the task did not yield.
        sleep(SILENT_AFTER).await;
        assert_eq!(liveness.stuck(), ["the controllers have not run for 30 s"]);
    }
}

//! The circuit breaker: when many nodes lose ready at once without a reboot, nothing that acts on
//! workloads moves.
//!
//! ## Flow
//! the node controller says what each node shows and what was found out now → [`decide`], a pure
//! state machine, decides whether the node's changes are held → where the breaker opens or closes,
//! all Nodes and policies are queued. Each policy's status and Events then say so.
//!
//! ## Guarantees
//! - Nothing is lost in a restart. What a Node says about itself is enough: its labels, and its
//!   condition's message with the boot and the last loss ([`crate::node::header`]). Since when the
//!   breaker is open is in the policies' condition `ChangesHeld` and on the Lease ([`on_lease`]).
//! - A node is held only at what our own label and condition both show ([`crate::node::judge`]).
//! - The first decision is made after all Nodes of the store were looked at.
//! - Nodes that are gone are forgotten.

pub mod decide;
pub mod memory;
pub mod on_lease;

use jiff::{SignedDuration, Timestamp};
use kube::ResourceExt;
use lsm_ready_crds::LsmPolicy;
use lsm_ready_crds::conditions::{CHANGES_HELD, find};
use lsm_ready_crds::names::{BREAKER_ANNOTATION, BREAKER_RELEASE};
use parking_lot::Mutex;
use tokio::sync::Notify;
use tracing::warn;

use crate::breaker::decide::{Decision, Holding, Limit, Machine, NodeState};
use crate::breaker::memory::Memory;
use crate::context::Context;
use crate::node::header::PastLoss;
use crate::node::judge::Judged;

/// A policy says that the breaker is open some moments after it opened.
const STATUS_DELAY: SignedDuration = SignedDuration::from_secs(10);

/// Longest note of an Event. The API server refuses longer ones.
pub const MAX_NOTE: usize = 1000;

/// What an Event says when the breaker closes.
pub const CLOSED: &str = "labels, taints and conditions of nodes follow the probes' reports again";

/// The breaker, while this process leads.
#[derive(Debug, Default)]
pub struct Breaker {
    inner: Mutex<Inner>,
    /// Is notified when the breaker opens or closes, and when it begins.
    switched: Notify,
}

#[derive(Debug, Default)]
struct Inner {
    machine: Machine,
    memory: Memory,
    /// Whether all nodes of the store were looked at after the start.
    is_restored: bool,
}

impl Breaker {
    pub fn new(limit: Limit, memory: Memory) -> Self {
        let inner = Inner { machine: Machine::new(limit), memory, ..Inner::default() };
        Self { inner: Mutex::new(inner), switched: Notify::new() }
    }

    /// Whether all nodes were looked at after the start.
    pub fn is_restored(&self) -> bool {
        self.inner.lock().is_restored
    }

    /// Whether changes of any nodes are held.
    pub fn is_open(&self) -> bool {
        self.inner.lock().machine.is_open()
    }

    /// Since when it is open for all nodes.
    pub fn open_since(&self) -> Option<Timestamp> {
        self.inner.lock().machine.open_since()
    }

    /// Returns after it opened, closed or began, or at once if it did since the last call.
    pub async fn switched(&self) {
        self.switched.notified().await;
    }

    pub fn limit(&self) -> Limit {
        self.inner.lock().machine.limit()
    }

    /// What is held and why. None while the breaker is closed.
    pub fn holding(&self) -> Option<Holding> {
        self.inner.lock().machine.holding()
    }

    /// Whether that node's changes are held. `uid` is that of the Node.
    pub fn is_held(&self, uid: &str) -> bool {
        self.inner.lock().machine.is_held(uid)
    }

    /// The loss of LSM BPF of that node in that boot, as this process saw it.
    pub fn loss(&self, uid: &str, boot: &str) -> Option<PastLoss> {
        self.inner.lock().memory.loss(uid, boot)
    }

    /// Takes in what one node shows now. `all` gives every node of the store; it is called once.
    fn observe(
        &self,
        uid: &str,
        judged: Option<&Judged<'_>>,
        all: impl FnOnce(&Memory) -> Start,
        now: Timestamp,
    ) -> Decision {
        let Inner { machine, memory, is_restored } = &mut *self.inner.lock();
        if !*is_restored {
            *is_restored = true;
            let Start { nodes, open_since } = all(memory);
            machine.restore(nodes, open_since, now);
            self.switched.notify_one();
        }
        machine.observe(uid, memory.state(uid, judged, now), now)
    }
}

/// What the breaker begins with.
pub struct Start {
    /// Every Node by its UID.
    pub nodes: Vec<(String, NodeState)>,
    /// Since when the breaker is open, as the policies and the Lease say.
    pub open_since: Option<Timestamp>,
}

impl Context {
    /// Takes in what one node shows now. Returns whether its changes are held.
    pub fn hold(
        &self,
        uid: &str,
        judged: Option<&Judged<'_>>,
        all: impl FnOnce(&Memory) -> Start,
    ) -> bool {
        let now = (self.now)();
        let decision = self.breaker.observe(uid, judged, all, now);
        if decision.has_switched {
            self.breaker_switched();
        }
        self.publish_breaker();
        decision.is_held
    }

    /// While a policy has the annotation, or the Lease, no change is held.
    pub fn release_held_changes(&self, by_policy: bool) {
        let is_released = by_policy || self.notes.is_released();
        if self.breaker.inner.lock().machine.release(is_released, (self.now)()) {
            self.breaker_switched();
        }
    }

    /// Where a person releases held changes.
    pub fn released_by(&self) -> Option<ReleasedBy> {
        let policy = self.required().released_by.clone();
        let lease = || self.notes.is_released().then(|| self.notes.lease()).flatten();
        policy
            .map(ReleasedBy::Policy)
            .or_else(|| lease().map(|lease| ReleasedBy::Lease(lease.namespace.unwrap_or_default())))
    }

    /// Keeps what is known of the Nodes that exist, by their UID.
    pub fn retain_in_breaker(&self, exists: impl Fn(&str) -> bool) {
        let has_switched = {
            let mut inner = self.breaker.inner.lock();
            inner.memory.retain(&exists);
            inner.machine.retain(exists, (self.now)())
        };
        if has_switched {
            self.breaker_switched();
        }
        self.publish_breaker();
    }

    /// Held nodes can move now, or moving nodes are held, and each policy has to say so.
    fn breaker_switched(&self) {
        if let Some(holding) = self.breaker.holding() {
            warn!(?holding, "too many nodes lost ready: changes are held");
        } else {
            warn!("changes are not held any more");
        }
        self.breaker.switched.notify_one();
        self.queues.all_nodes(&self.stores.nodes);
        self.queues.all_policies(&self.stores.policies);
    }

    fn publish_breaker(&self) {
        let inner = self.breaker.inner.lock();
        self.metrics.breaker(inner.machine.is_open(), inner.machine.reasons());
    }
}

/// Where a person releases held changes.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum ReleasedBy {
    /// By an annotation of the policy with that name.
    Policy(String),
    /// By an annotation of the Lease in that namespace.
    Lease(String),
}

/// Since when the breaker is open, as the policies say.
pub fn open_since<'a>(policies: impl IntoIterator<Item = &'a LsmPolicy>) -> Option<Timestamp> {
    let since = |policy: &LsmPolicy| {
        let held = find(&policy.status.as_ref()?.conditions, CHANGES_HELD)?;
        let is_open = held.status == "True";
        is_open.then(|| held.last_transition_time.0.saturating_sub(STATUS_DELAY).ok())?
    };
    policies.into_iter().filter_map(since).min()
}

/// Whether that policy asks to release held changes.
pub fn is_release(policy: &LsmPolicy) -> bool {
    policy.annotations().get(BREAKER_ANNOTATION).is_some_and(|value| value == BREAKER_RELEASE)
}

#[cfg(test)]
mod tests;

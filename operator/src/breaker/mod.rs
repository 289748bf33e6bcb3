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
//!   breaker is open is in the policies' condition `ChangesHeld`.
//! - The first decision is made after all Nodes of the store were looked at.
//! - Nodes that are gone are forgotten.

pub mod decide;

use jiff::{SignedDuration, Timestamp};
use kube::ResourceExt;
use lsm_ready_crds::conditions::{CHANGES_HELD, find};
use lsm_ready_crds::names::{BREAKER_ANNOTATION, BREAKER_RELEASE};
use lsm_ready_crds::{LsmPolicy, Reason};
use parking_lot::Mutex;
use tracing::warn;

use crate::breaker::decide::{Decision, Holding, Limit, Machine, NodeState};
use crate::context::Context;

/// The reason of nodes whose own reason is not in docs/reasons.md. A node's own text goes nowhere.
const OTHER_REASON: &str = "Other";

/// A policy says that the breaker is open some moments after it opened.
const STATUS_DELAY: SignedDuration = SignedDuration::from_secs(10);

/// The breaker of this process.
#[derive(Debug, Default)]
pub struct Breaker(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    machine: Machine,
    /// Whether all nodes of the store were looked at after the start.
    is_restored: bool,
}

impl Breaker {
    pub fn new(limit: Limit) -> Self {
        Self(Mutex::new(Inner { machine: Machine::new(limit), is_restored: false }))
    }

    pub fn limit(&self) -> Limit {
        self.0.lock().machine.limit()
    }

    /// What is held and why. None while the breaker is closed.
    pub fn holding(&self) -> Option<Holding> {
        self.0.lock().machine.holding()
    }

    /// Whether changes of any nodes are held.
    pub fn is_open(&self) -> bool {
        self.0.lock().machine.is_open()
    }

    /// Whether that node's changes are held. `uid` is that of the Node.
    pub fn is_held(&self, uid: &str) -> bool {
        self.0.lock().machine.is_held(uid)
    }

    /// Takes in what one node shows now. `all` gives every node of the store; it is called once.
    fn observe(
        &self,
        uid: &str,
        state: NodeState,
        all: impl FnOnce() -> Start,
        now: Timestamp,
    ) -> Decision {
        let mut inner = self.0.lock();
        if !inner.is_restored {
            inner.is_restored = true;
            let Start { nodes, open_since } = all();
            inner.machine.restore(nodes, open_since, now);
        }
        inner.machine.observe(uid, state, now)
    }
}

/// What the breaker begins with.
pub struct Start {
    /// Every Node by its UID.
    pub nodes: Vec<(String, NodeState)>,
    /// Since when the breaker is open, as the policies say.
    pub open_since: Option<Timestamp>,
}

impl Context {
    /// Takes in what one node shows now. Returns whether its changes are held.
    pub fn hold(&self, uid: &str, state: NodeState, all: impl FnOnce() -> Start) -> bool {
        let now = (self.now)();
        let decision = self.breaker.observe(uid, state, all, now);
        if decision.has_switched {
            self.breaker_switched();
        }
        self.publish_breaker();
        decision.is_held
    }

    /// While a policy has the annotation, no change is held.
    pub fn release_held_changes(&self, is_released: bool) {
        if self.breaker.0.lock().machine.release(is_released, (self.now)()) {
            self.breaker_switched();
        }
    }

    /// Keeps what is known of the Nodes that exist, by their UID.
    pub fn retain_in_breaker(&self, exists: impl Fn(&str) -> bool) {
        if self.breaker.0.lock().machine.retain(exists, (self.now)()) {
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
        self.queues.all_nodes(&self.stores.nodes);
        self.queues.all_policies(&self.stores.policies);
    }

    fn publish_breaker(&self) {
        let inner = self.breaker.0.lock();
        self.metrics.breaker(inner.machine.is_open(), inner.machine.reasons());
    }
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

/// The code of a reason that is in docs/reasons.md.
pub fn known_reason(reason: &str) -> &'static str {
    Reason::from_code(reason).map_or(OTHER_REASON, Reason::code)
}

#[cfg(test)]
mod tests;

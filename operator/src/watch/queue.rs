//! The three work queues: the Nodes, policies and DaemonSets that have to be reconciled.
//!
//! In: keys, from triggers and from other controllers. Out: each controller takes the keys of its
//! own queue. A key may be queued any number of times. One that waits for its turn anyway takes no
//! second place, so that the queues stay short where thousands of objects change.

use std::collections::HashSet;
use std::sync::Arc;

use futures::channel::mpsc::{UnboundedReceiver, UnboundedSender, unbounded};
use k8s_openapi::api::apps::v1::DaemonSet;
use kube::ResourceExt;
use kube_runtime::reflector::{Lookup, ObjectRef, Store};
use lsm_ready_crds::LsmPolicy;
use parking_lot::Mutex;

use crate::watch::key::DaemonSetKey;
use crate::watch::packed_node::{Nodes, PackedNode};

/// The sending ends.
#[derive(Clone, Debug)]
pub struct Queues {
    nodes: UnboundedSender<ObjectRef<PackedNode>>,
    policies: UnboundedSender<ObjectRef<LsmPolicy>>,
    daemon_sets: UnboundedSender<ObjectRef<DaemonSet>>,
    waiting_nodes: Waiting,
    waiting_policies: Waiting,
}

/// The names of objects in a store that were queued with many others, and whose turn has not begun
/// since. A clone shares them.
#[derive(Clone, Debug, Default)]
struct Waiting(Arc<Mutex<HashSet<String>>>);

impl Waiting {
    /// Returns whether the name did not wait already.
    fn add(&self, name: &str) -> bool {
        let mut names = self.0.lock();
        !names.contains(name) && names.insert(name.to_owned())
    }

    fn remove(&self, name: &str) {
        self.0.lock().remove(name);
    }

    fn retain(&self, exists: impl Fn(&str) -> bool) {
        self.0.lock().retain(|name| exists(name));
    }
}

/// The receiving ends, one for each controller.
pub struct Receivers {
    pub(crate) nodes: UnboundedReceiver<ObjectRef<PackedNode>>,
    pub(crate) policies: UnboundedReceiver<ObjectRef<LsmPolicy>>,
    pub(crate) daemon_sets: UnboundedReceiver<ObjectRef<DaemonSet>>,
}

/// Creates three empty queues.
pub fn queues() -> (Queues, Receivers) {
    let (nodes, node_keys) = unbounded();
    let (policies, policy_keys) = unbounded();
    let (daemon_sets, daemon_set_keys) = unbounded();
    let receivers =
        Receivers { nodes: node_keys, policies: policy_keys, daemon_sets: daemon_set_keys };
    let queues = Queues {
        nodes,
        policies,
        daemon_sets,
        waiting_nodes: Waiting::default(),
        waiting_policies: Waiting::default(),
    };
    (queues, receivers)
}

impl Queues {
    /// Queues one Node. There need not be one: a report can come first. So the name does not wait:
    /// its turn may never begin.
    pub fn node(&self, name: &str) {
        send(&self.nodes, ObjectRef::new(name));
    }

    /// Queues one Node, because of a policy, if it does not wait already.
    pub fn node_of_policy(&self, name: &str) {
        if self.waiting_nodes.add(name) {
            send(&self.nodes, ObjectRef::new(name));
        }
    }

    /// A Node's turn begins. What changes from now on needs another one.
    pub fn node_begins(&self, name: &str) {
        self.waiting_nodes.remove(name);
    }

    /// Keeps the Nodes that exist.
    pub fn retain_nodes(&self, exists: impl Fn(&str) -> bool) {
        self.waiting_nodes.retain(exists);
    }

    /// Queues one policy.
    pub fn policy(&self, name: &str) {
        send(&self.policies, ObjectRef::new(name));
    }

    /// Queues one policy, because of one of its nodes, if it does not wait already.
    pub fn policy_of_node(&self, name: &str) {
        if self.waiting_policies.add(name) {
            send(&self.policies, ObjectRef::new(name));
        }
    }

    /// A policy's turn begins. What changes from now on needs another one.
    pub fn policy_begins(&self, name: &str) {
        self.waiting_policies.remove(name);
    }

    /// Keeps the policies that exist.
    pub fn retain_policies(&self, exists: impl Fn(&str) -> bool) {
        self.waiting_policies.retain(exists);
    }

    /// Queues one DaemonSet.
    pub fn daemon_set(&self, key: &DaemonSetKey) {
        send(&self.daemon_sets, key.object_ref());
    }

    /// Queues every Node that does not wait already.
    pub fn all_nodes(&self, nodes: &Nodes) {
        for node in nodes.0.state() {
            self.node_of_policy(&node.name_any());
        }
    }

    /// Queues every policy that does not wait already.
    pub fn all_policies(&self, store: &Store<LsmPolicy>) {
        for policy in store.state() {
            self.policy_of_node(&policy.name_any());
        }
    }

    /// Queues every policy that names this DaemonSet.
    pub fn policies_of(&self, key: &DaemonSetKey, store: &Store<LsmPolicy>) {
        for policy in store.state() {
            if DaemonSetKey::named_by(&policy.spec).as_ref() == Some(key) {
                self.policy(&policy.name_any());
            }
        }
    }
}

fn send<K: Lookup>(queue: &UnboundedSender<ObjectRef<K>>, key: ObjectRef<K>)
where
    K::DynamicType: Clone,
{
    // A queue is closed only after its controller has ended during shutdown. Nothing is left to do.
    let _ = queue.unbounded_send(key);
}

#[cfg(test)]
mod tests {
    use futures::{FutureExt, StreamExt};

    use super::*;

    /// A report can arrive before its Node. The controller finds no Node then, and no turn begins.
    #[test]
    fn what_was_queued_before_it_existed_is_queued_again_with_all_others() {
        let (queues, mut receivers) = queues();
        queues.node("n");
        queues.policy("p");
        assert!(receivers.nodes.next().now_or_never().flatten().is_some());
        assert!(receivers.policies.next().now_or_never().flatten().is_some());
        queues.node_of_policy("n");
        queues.policy_of_node("p");
        assert!(receivers.nodes.next().now_or_never().flatten().is_some());
        assert!(receivers.policies.next().now_or_never().flatten().is_some());
    }
}

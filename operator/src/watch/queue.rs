//! The three work queues: the Nodes, policies and DaemonSets that have to be reconciled.
//!
//! In: keys, from triggers and from other controllers. Out: each controller takes the keys of its
//! own queue. The controllers' schedulers drop duplicates, so a key may be queued any number of
//! times.

use futures::channel::mpsc::{UnboundedReceiver, UnboundedSender, unbounded};
use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::Node;
use kube::ResourceExt;
use kube_runtime::reflector::{Lookup, ObjectRef, Store};
use lsm_ready_crds::LsmPolicy;

use crate::watch::key::DaemonSetKey;

/// The sending ends.
#[derive(Clone, Debug)]
pub struct Queues {
    nodes: UnboundedSender<ObjectRef<Node>>,
    policies: UnboundedSender<ObjectRef<LsmPolicy>>,
    daemon_sets: UnboundedSender<ObjectRef<DaemonSet>>,
}

/// The receiving ends, one for each controller.
pub struct Receivers {
    pub(crate) nodes: UnboundedReceiver<ObjectRef<Node>>,
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
    (Queues { nodes, policies, daemon_sets }, receivers)
}

impl Queues {
    /// Queues one Node.
    pub fn node(&self, name: &str) {
        send(&self.nodes, ObjectRef::new(name));
    }

    /// Queues one policy.
    pub fn policy(&self, name: &str) {
        send(&self.policies, ObjectRef::new(name));
    }

    /// Queues one DaemonSet.
    pub fn daemon_set(&self, key: &DaemonSetKey) {
        send(&self.daemon_sets, key.object_ref());
    }

    /// Queues every Node.
    pub fn all_nodes(&self, store: &Store<Node>) {
        for node in store.state() {
            self.node(&node.name_any());
        }
    }

    /// Queues every policy.
    pub fn all_policies(&self, store: &Store<LsmPolicy>) {
        for policy in store.state() {
            self.policy(&policy.name_any());
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

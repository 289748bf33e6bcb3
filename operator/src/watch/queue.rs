//! The three work queues: which Nodes, policies and DaemonSets have to be looked at again.
//!
//! Anything may put a key into a queue; each controller drains its own. The controllers' schedulers drop duplicates, so
//! a key may be put in as often as one likes.

use futures::channel::mpsc::{UnboundedReceiver, UnboundedSender, unbounded};
use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::Node;
use kube::ResourceExt;
use kube_runtime::reflector::{Lookup, ObjectRef, Store};
use lsm_ready_crds::LsmPolicy;

use crate::watch::key::DaemonSetKey;

/// The sending sides.
#[derive(Clone, Debug)]
pub struct Queues {
    nodes: UnboundedSender<ObjectRef<Node>>,
    policies: UnboundedSender<ObjectRef<LsmPolicy>>,
    daemon_sets: UnboundedSender<ObjectRef<DaemonSet>>,
}

/// The receiving sides, one for each controller.
pub struct Receivers {
    pub(crate) nodes: UnboundedReceiver<ObjectRef<Node>>,
    pub(crate) policies: UnboundedReceiver<ObjectRef<LsmPolicy>>,
    pub(crate) daemon_sets: UnboundedReceiver<ObjectRef<DaemonSet>>,
}

/// Empty queues.
pub fn queues() -> (Queues, Receivers) {
    let (nodes, node_keys) = unbounded();
    let (policies, policy_keys) = unbounded();
    let (daemon_sets, daemon_set_keys) = unbounded();
    let receivers =
        Receivers { nodes: node_keys, policies: policy_keys, daemon_sets: daemon_set_keys };
    (Queues { nodes, policies, daemon_sets }, receivers)
}

impl Queues {
    /// Look at that Node again.
    pub fn node(&self, name: &str) {
        send(&self.nodes, ObjectRef::new(name));
    }

    /// Look at that policy again.
    pub fn policy(&self, name: &str) {
        send(&self.policies, ObjectRef::new(name));
    }

    /// Look at that DaemonSet again.
    pub fn daemon_set(&self, key: &DaemonSetKey) {
        send(&self.daemon_sets, key.object_ref());
    }

    /// Look at every Node again.
    pub fn all_nodes(&self, store: &Store<Node>) {
        each(store, |node| self.node(&node.name_any()));
    }

    /// Look at every policy again.
    pub fn all_policies(&self, store: &Store<LsmPolicy>) {
        each(store, |policy| self.policy(&policy.name_any()));
    }

    /// Look at every policy again that names this DaemonSet.
    pub fn policies_of(&self, key: &DaemonSetKey, store: &Store<LsmPolicy>) {
        each(store, |policy| {
            if DaemonSetKey::named_by(&policy.spec).as_ref() == Some(key) {
                self.policy(&policy.name_any());
            }
        });
    }
}

fn each<K: Lookup<DynamicType = ()> + Clone + 'static>(
    store: &Store<K>,
    mut visit: impl FnMut(&K),
) {
    for object in store.state() {
        visit(&object);
    }
}

/// A closed queue means that its controller has ended, which is only so during shutdown: nothing is left to do.
fn send<K: Lookup>(queue: &UnboundedSender<ObjectRef<K>>, key: ObjectRef<K>)
where
    K::DynamicType: Clone,
{
    let _ = queue.unbounded_send(key);
}

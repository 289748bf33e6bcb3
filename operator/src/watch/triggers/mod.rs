//! Which objects have to be looked at again when one changes.
//!
//! | changed | Nodes | policies | DaemonSets |
//! |---|---|---|---|
//! | Node (labels, taints, boot, our condition) | itself | all | where its kernel has no securityfs: those named, and those that carry our label |
//! | LsmNode | its Node | all | where the node was repaired, or whether its kernel has securityfs has changed: the same |
//! | LsmHookProfile | all | all | |
//! | LsmPolicy (spec, or gone) | all | all | those named, and those that carry our label |
//! | LsmPolicy (status) | | itself | |
//! | TracingPolicy (what it asks for, or whether it can be read) | all, where a policy requires TracingPolicies | all | |
//! | DaemonSet (spec, labels, our annotation, rollout) | | those that name it | itself, where named or carrying our label |
//!
//! "All policies" is cheap: they are evaluated at most once a second.

use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeSet, HashMap};
use std::hash::{Hash, Hasher};
use std::sync::{Mutex, MutexGuard, PoisonError};

use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::Node;
use kube::ResourceExt;
use kube_runtime::reflector::ObjectRef;
use kube_runtime::watcher::Event;
use lsm_ready_crds::{LsmHookProfile, LsmNode, LsmPolicy, names};

use crate::context::metrics::Metrics;
use crate::tetragon::nodes::lacks_securityfs;
use crate::watch::key::DaemonSetKey;
use crate::watch::queue::Queues;
use crate::watch::store::Stores;

/// Routes events to queues.
pub struct Routes {
    stores: Stores,
    queues: Queues,
    metrics: Metrics,
    nodes: Seen,
    policies: Seen,
    daemon_sets: Seen,
    /// Names of the reports that say that the kernel has no securityfs.
    without_securityfs: Mutex<BTreeSet<String>>,
}

impl Routes {
    /// Routes over these stores and queues.
    pub fn new(stores: Stores, queues: Queues, metrics: Metrics) -> Self {
        Self {
            stores,
            queues,
            metrics,
            nodes: Seen::default(),
            policies: Seen::default(),
            daemon_sets: Seen::default(),
            without_securityfs: Mutex::default(),
        }
    }

    pub(crate) fn node(&self, event: &Event<Node>) {
        match event {
            Event::Apply(node) => {
                if !self.nodes.changed(uid(node), &relevant_in_node(node)) {
                    return;
                }
                self.queues.node(&node.name_any());
                let report = self.stores.reports.get(&ObjectRef::new(&node.name_any()));
                if report.is_some_and(|report| lacks_securityfs(&report)) {
                    self.our_daemon_sets();
                }
            }
            Event::Delete(node) => self.nodes.forget(&uid(node)),
            Event::InitDone => self.queues.all_nodes(&self.stores.nodes),
            Event::Init | Event::InitApply(_) => return,
        }
        self.queues.all_policies(&self.stores.policies);
    }

    pub(crate) fn report(&self, event: &Event<LsmNode>) {
        match event {
            Event::Apply(report) | Event::Delete(report) => {
                self.queues.node(&report.name_any());
                // A repaired node may have a stale agent; one without securityfs keeps an agent with our mount from starting.
                let is_repaired =
                    report.status.as_ref().is_some_and(|status| status.denied_since.is_some());
                let has_changed = self.note_securityfs(report, matches!(event, Event::Delete(_)));
                if is_repaired || has_changed {
                    self.our_daemon_sets();
                }
            }
            Event::InitDone => {
                self.queues.all_nodes(&self.stores.nodes);
                if !lock(&self.without_securityfs).is_empty() {
                    self.our_daemon_sets();
                }
            }
            Event::InitApply(report) => {
                self.note_securityfs(report, false);
                return;
            }
            Event::Init => return,
        }
        self.queues.all_policies(&self.stores.policies);
    }

    /// Whether a report says something else than before about the kernel's securityfs.
    fn note_securityfs(&self, report: &LsmNode, is_gone: bool) -> bool {
        let (name, mut known) = (report.name_any(), lock(&self.without_securityfs));
        if lacks_securityfs(report) && !is_gone { known.insert(name) } else { known.remove(&name) }
    }

    pub(crate) fn profile(&self, event: &Event<LsmHookProfile>) {
        if matches!(event, Event::Apply(_) | Event::Delete(_) | Event::InitDone) {
            self.queues.all_nodes(&self.stores.nodes);
            self.queues.all_policies(&self.stores.policies);
        }
    }

    pub(crate) fn policy(&self, event: &Event<LsmPolicy>) {
        match event {
            Event::Apply(policy) => {
                self.queues.policy(&policy.name_any());
                if !self.policies.changed(uid(policy), &policy.metadata.generation) {
                    return;
                }
            }
            Event::Delete(policy) => {
                self.policies.forget(&uid(policy));
                self.metrics.forget_policy(&policy.name_any());
            }
            Event::InitDone => {}
            Event::Init | Event::InitApply(_) => return,
        }
        self.queues.all_nodes(&self.stores.nodes);
        self.queues.all_policies(&self.stores.policies);
        self.our_daemon_sets();
    }

    pub(crate) fn daemon_set(&self, event: &Event<DaemonSet>) {
        match event {
            Event::Apply(daemon_set) => {
                if self.daemon_sets.changed(uid(daemon_set), &relevant_in_daemon_set(daemon_set)) {
                    self.one_daemon_set(daemon_set);
                }
            }
            Event::Delete(daemon_set) => {
                self.daemon_sets.forget(&uid(daemon_set));
                self.one_daemon_set(daemon_set);
            }
            Event::InitDone => {
                self.our_daemon_sets();
                self.queues.all_policies(&self.stores.policies);
            }
            Event::Init | Event::InitApply(_) => {}
        }
    }

    /// Tetragon's policies, or what is known of them, changed.
    pub(crate) fn tracing_policies(&self) {
        if self
            .stores
            .policies
            .find(|policy| policy.spec.require.tracing_policies.is_some())
            .is_some()
        {
            self.queues.all_nodes(&self.stores.nodes);
        }
        self.queues.all_policies(&self.stores.policies);
    }

    fn one_daemon_set(&self, daemon_set: &DaemonSet) {
        let key = DaemonSetKey::of(daemon_set);
        let named = self
            .stores
            .policies
            .find(|policy| DaemonSetKey::named_by(&policy.spec).as_ref() == Some(&key));
        if named.is_some() || is_labelled(daemon_set) {
            self.queues.daemon_set(&key);
        }
        self.queues.policies_of(&key, &self.stores.policies);
    }

    /// The DaemonSets that a policy names, and those that we may have to give something back to.
    fn our_daemon_sets(&self) {
        for policy in self.stores.policies.state() {
            if let Some(key) = DaemonSetKey::named_by(&policy.spec) {
                self.queues.daemon_set(&key);
            }
        }
        for daemon_set in self.stores.daemon_sets.state_filter(is_labelled) {
            self.queues.daemon_set(&DaemonSetKey::of(&daemon_set));
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn is_labelled(daemon_set: &DaemonSet) -> bool {
    daemon_set.labels().contains_key(names::DAEMON_SET_LABEL)
}

fn uid<K: ResourceExt>(object: &K) -> String {
    object.uid().unwrap_or_default()
}

fn relevant_in_node(node: &Node) -> impl Hash {
    let taints = node
        .spec
        .as_ref()
        .and_then(|spec| spec.taints.as_ref())
        .map(|taints| format!("{taints:?}"));
    let status = node.status.as_ref().map(|status| format!("{status:?}"));
    (node.labels().clone(), taints, status)
}

fn relevant_in_daemon_set(daemon_set: &DaemonSet) -> impl Hash {
    let status = daemon_set.status.as_ref().map(|status| format!("{status:?}"));
    let owner = daemon_set.annotations().get(names::APPLY_ANNOTATION).cloned();
    (daemon_set.metadata.generation, daemon_set.labels().clone(), owner, status)
}

/// What each object looked like when it was last routed, as a hash.
#[derive(Default)]
struct Seen(Mutex<HashMap<String, u64>>);

impl Seen {
    /// Whether the relevant part differs from the last time, which is noted.
    fn changed(&self, uid: String, relevant: &impl Hash) -> bool {
        let mut hasher = DefaultHasher::new();
        relevant.hash(&mut hasher);
        let hash = hasher.finish();
        lock(&self.0).insert(uid, hash) != Some(hash)
    }

    fn forget(&self, uid: &str) {
        lock(&self.0).remove(uid);
    }
}

#[cfg(test)]
mod tests;

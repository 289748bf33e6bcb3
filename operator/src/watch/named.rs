//! Keeps only those DaemonSets that matter: the ones that a policy names, and the ones with our
//! label, from which a mount may have to be removed.
//!
//! In: the events of all DaemonSets of the cluster. Out: events for the store. When a policy names
//! a DaemonSet that is not kept, the DaemonSets have to be listed again ([`Wanted`]).

use std::collections::BTreeSet;
use std::sync::Arc;

use k8s_openapi::api::apps::v1::DaemonSet;
use kube::ResourceExt;
use kube_runtime::reflector::{ObjectRef, Store};
use kube_runtime::watcher::Event;
use lsm_ready_crds::{LsmPolicy, names};
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::key::DaemonSetKey;

/// The DaemonSets that policies name. A clone shares them.
#[derive(Clone, Debug, Default)]
pub struct Wanted(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    keys: Mutex<BTreeSet<DaemonSetKey>>,
    grown: Arc<Notify>,
}

impl Wanted {
    /// Reads anew what the policies name. Asks for a list if they name a further DaemonSet.
    pub fn read(&self, policies: &Store<LsmPolicy>) {
        let now: BTreeSet<DaemonSetKey> = policies
            .state()
            .iter()
            .filter_map(|policy| DaemonSetKey::named_by(&policy.spec))
            .collect();
        let mut keys = self.0.keys.lock();
        let has_grown = !now.is_subset(&keys);
        *keys = now;
        drop(keys);
        if has_grown {
            self.0.grown.notify_one();
        }
    }

    /// Is notified when a policy names a further DaemonSet.
    pub fn grown(&self) -> Arc<Notify> {
        self.0.grown.clone()
    }

    fn has(&self, daemon_set: &DaemonSet) -> bool {
        self.0.keys.lock().contains(&DaemonSetKey::of(daemon_set))
    }
}

/// Decides which DaemonSets are kept.
pub(super) struct NamedDaemonSets {
    pub wanted: Wanted,
    pub store: Store<DaemonSet>,
}

impl NamedDaemonSets {
    /// What the event means for the store. `None`: nothing.
    pub fn pass(&self, event: Event<DaemonSet>) -> Option<Event<DaemonSet>> {
        match event {
            Event::Init | Event::InitDone => Some(event),
            Event::InitApply(daemon_set) => {
                self.is_kept(&daemon_set).then_some(Event::InitApply(daemon_set))
            }
            Event::Apply(daemon_set) if self.is_kept(&daemon_set) => Some(Event::Apply(daemon_set)),
            // One that is no longer kept leaves the store.
            Event::Apply(daemon_set) | Event::Delete(daemon_set) => {
                let key: ObjectRef<DaemonSet> = ObjectRef::from_obj(&daemon_set);
                self.store.get(&key).map(|_| Event::Delete(daemon_set))
            }
        }
    }

    fn is_kept(&self, daemon_set: &DaemonSet) -> bool {
        daemon_set.labels().contains_key(names::DAEMON_SET_LABEL) || self.wanted.has(daemon_set)
    }
}

#[cfg(test)]
mod tests {
    use kube_runtime::reflector;
    use serde_json::{Value, json};

    use super::*;

    fn daemon_set(name: &str, labels: &Value) -> DaemonSet {
        serde_json::from_value(json!({"metadata": {"name": name, "namespace": "kube-system",
            "labels": labels}, "spec": {"selector": {}, "template": {}}}))
        .unwrap()
    }

    #[tokio::test]
    async fn only_named_and_labelled_daemon_sets_are_kept() {
        let (policies, mut policy_writer) = reflector::store();
        let (store, mut writer) = reflector::store();
        let named = NamedDaemonSets { wanted: Wanted::default(), store: store.clone() };
        let mut see = |event| {
            if let Some(event) = named.pass(event) {
                writer.apply_watcher_event(&event);
            }
        };
        let kept = || {
            let mut kept: Vec<_> = store.state().iter().map(|kept| kept.name_any()).collect();
            kept.sort();
            kept
        };
        let ours = json!({names::DAEMON_SET_LABEL: "managed"});
        see(Event::Apply(daemon_set("foreign", &json!({}))));
        see(Event::Apply(daemon_set("tetragon", &json!({}))));
        see(Event::Apply(daemon_set("left", &ours)));
        assert_eq!(kept(), ["left"]);

        let policy = json!({"metadata": {"name": "p"}, "spec": {"tetragon": {}}});
        policy_writer.apply_watcher_event(&Event::Apply(serde_json::from_value(policy).unwrap()));
        named.wanted.read(&policies);
        named.wanted.grown().notified().await;
        see(Event::Init);
        see(Event::InitApply(daemon_set("foreign", &json!({}))));
        see(Event::InitApply(daemon_set("tetragon", &json!({}))));
        see(Event::InitApply(daemon_set("left", &ours)));
        see(Event::InitDone);
        assert_eq!(kept(), ["left", "tetragon"]);

        see(Event::Apply(daemon_set("left", &json!({}))));
        see(Event::Delete(daemon_set("tetragon", &json!({}))));
        assert_eq!(kept(), Vec::<String>::new());
    }
}

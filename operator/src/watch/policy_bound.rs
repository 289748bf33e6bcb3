//! A bound on the policies that the operator acts on: the oldest [`MAX_POLICIES`].
//!
//! Each policy costs a label on each node that it selects. Without a bound, somebody who may create
//! policies could fill every Node object.
//!
//! In: the events of policies. Out: events for the store, which holds only the policies in force,
//! and the list of the others ([`Excess`]), whose status says so. A policy that is younger cannot
//! put an older one out of force: the API server sets the time of creation.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::ResourceExt;
use kube_runtime::watcher::Event;
use lsm_ready_crds::LsmPolicy;
use lsm_ready_crds::names::MAX_POLICIES;
use parking_lot::Mutex;
use tokio::sync::Notify;

/// The policies that are not in force, because there are too many. A clone shares them.
#[derive(Clone, Debug, Default)]
pub struct Excess(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    policies: Mutex<BTreeMap<String, ObjectMeta>>,
    changed: Notify,
}

impl Excess {
    /// The metadata of the policies, in the order of their names.
    pub fn all(&self) -> Vec<ObjectMeta> {
        self.0.policies.lock().values().cloned().collect()
    }

    /// Whether the policy with that name is not in force.
    pub fn has(&self, name: &str) -> bool {
        self.0.policies.lock().contains_key(name)
    }

    /// Returns after the next change, or at once if there was one since the last call.
    pub async fn changed(&self) {
        self.0.changed.notified().await;
    }

    fn change<T>(&self, change: impl FnOnce(&mut BTreeMap<String, ObjectMeta>) -> T) -> T {
        let result = change(&mut self.0.policies.lock());
        self.0.changed.notify_one();
        result
    }
}

/// The order in which policies come into force.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
struct Age {
    created: Option<Timestamp>,
    name: String,
}

impl Age {
    fn of(metadata: &ObjectMeta) -> Self {
        Self {
            created: metadata.creation_timestamp.as_ref().map(|time| time.0),
            name: metadata.name.clone().unwrap_or_default(),
        }
    }
}

/// Decides which policies are in force.
pub(crate) struct PolicyBound {
    excess: Excess,
    /// Every policy in force.
    in_force: BTreeSet<Age>,
    /// The policies of the list that is being read.
    list: Option<List>,
}

#[derive(Default)]
struct List {
    in_force: BTreeMap<Age, LsmPolicy>,
    excess: BTreeMap<String, ObjectMeta>,
}

/// What follows from an event.
#[derive(Debug, Default)]
pub(crate) struct Passed {
    /// Events for the store.
    pub events: Vec<Event<LsmPolicy>>,
    /// A policy came into force whose content was not kept: list the policies again.
    pub must_list: bool,
}

impl PolicyBound {
    pub const fn new(excess: Excess) -> Self {
        Self { excess, in_force: BTreeSet::new(), list: None }
    }

    pub fn pass(&mut self, event: Event<LsmPolicy>) -> Passed {
        let events = match event {
            Event::Init => {
                self.list = Some(List::default());
                vec![Event::Init]
            }
            Event::InitApply(policy) => {
                self.list.get_or_insert_default().add(policy);
                vec![]
            }
            Event::InitDone => self.listed(),
            Event::Apply(policy) => return self.applied(policy),
            Event::Delete(policy) => return self.deleted(policy),
        };
        Passed { events, must_list: false }
    }

    fn listed(&mut self) -> Vec<Event<LsmPolicy>> {
        let List { in_force, excess } = self.list.take().unwrap_or_default();
        self.in_force = in_force.keys().cloned().collect();
        self.excess.change(|all| *all = excess);
        in_force.into_values().map(Event::InitApply).chain([Event::InitDone]).collect()
    }

    fn applied(&mut self, policy: LsmPolicy) -> Passed {
        let age = Age::of(&policy.metadata);
        // A policy that was made anew under the same name is a younger one.
        self.in_force.retain(|other| other.name != age.name || *other == age);
        if self.in_force.contains(&age) || self.in_force.len() < MAX_POLICIES {
            self.in_force.insert(age);
            let was_in_excess = self.excess.has(&policy.name_any());
            if was_in_excess {
                self.excess.change(|all| all.remove(&policy.name_any()));
            }
            return Passed { events: vec![Event::Apply(policy)], must_list: false };
        }
        let name = policy.name_any();
        self.excess.change(|all| all.insert(name, identity(&policy.metadata)));
        // An older policy that comes later, for example after an event was lost.
        let must_list = self.in_force.last().is_some_and(|youngest| age < *youngest);
        Passed { events: vec![], must_list }
    }

    fn deleted(&mut self, policy: LsmPolicy) -> Passed {
        let name = policy.name_any();
        if self.excess.has(&name) {
            self.excess.change(|all| all.remove(&name));
            return Passed::default();
        }
        self.in_force.retain(|age| age.name != name);
        let must_list = !self.excess.0.policies.lock().is_empty();
        Passed { events: vec![Event::Delete(policy)], must_list }
    }
}

impl List {
    /// Keeps the oldest policies, and the metadata of the others.
    fn add(&mut self, policy: LsmPolicy) {
        self.in_force.insert(Age::of(&policy.metadata), policy);
        if self.in_force.len() <= MAX_POLICIES {
            return;
        }
        if let Some((age, youngest)) = self.in_force.pop_last() {
            self.excess.insert(age.name, identity(&youngest.metadata));
        }
    }
}

fn identity(metadata: &ObjectMeta) -> ObjectMeta {
    ObjectMeta {
        name: metadata.name.clone(),
        uid: metadata.uid.clone(),
        resource_version: metadata.resource_version.clone(),
        generation: metadata.generation,
        ..ObjectMeta::default()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use kube_runtime::reflector::{self, Store, store::Writer};
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn policy(name: usize, second: i64) -> LsmPolicy {
        let created = Timestamp::from_second(second).unwrap().to_string();
        serde_json::from_value(json!({"metadata": {"name": format!("p{name:04}"),
            "uid": format!("{name}-{second}"), "creationTimestamp": created}, "spec": {}}))
        .unwrap()
    }

    struct Scene {
        bound: PolicyBound,
        writer: Writer<LsmPolicy>,
        store: Store<LsmPolicy>,
        /// The policies of the API server, with the time of their creation.
        server: BTreeMap<usize, i64>,
    }

    impl Scene {
        fn new() -> Self {
            let (store, writer) = reflector::store();
            let bound = PolicyBound::new(Excess::default());
            Self { bound, writer, store, server: BTreeMap::new() }
        }

        fn see(&mut self, event: Event<LsmPolicy>) -> bool {
            let Passed { events, must_list } = self.bound.pass(event);
            for event in &events {
                self.writer.apply_watcher_event(event);
            }
            must_list
        }

        fn list(&mut self) {
            let listed: Vec<_> =
                self.server.iter().map(|(name, second)| policy(*name, *second)).collect();
            self.see(Event::Init);
            for policy in listed {
                self.see(Event::InitApply(policy));
            }
            self.see(Event::InitDone);
        }

        fn in_force(&self) -> BTreeSet<String> {
            self.store.state().iter().map(|policy| policy.name_any()).collect()
        }

        /// The oldest policies of the API server.
        fn oldest(&self) -> BTreeSet<String> {
            let mut all: Vec<_> = self.server.iter().map(|(name, second)| (second, name)).collect();
            all.sort();
            let oldest = all.into_iter().take(MAX_POLICIES);
            oldest.map(|(_, name)| format!("p{name:04}")).collect()
        }
    }

    #[test]
    fn a_flood_does_not_put_older_policies_out_of_force() {
        let mut scene = Scene::new();
        scene.server.insert(9999, 0);
        scene.server.extend((0..9000).map(|name| (name, 1)));
        scene.list();
        assert_eq!(scene.in_force(), scene.oldest());
        assert!(scene.in_force().contains("p9999"));
        assert_eq!(scene.bound.excess.all().len(), 9001 - MAX_POLICIES);
    }

    #[test]
    fn a_deleted_policy_makes_room_for_the_next() {
        let mut scene = Scene::new();
        scene.server.extend((0..=MAX_POLICIES).map(|name| (name, 0)));
        scene.list();
        assert!(scene.bound.excess.has("p0100"));
        scene.server.remove(&0);
        assert!(scene.see(Event::Delete(policy(0, 0))), "the content of the next was not kept");
        scene.list();
        assert_eq!(scene.in_force(), scene.oldest());
        assert_eq!(scene.bound.excess.all(), []);
    }

    proptest! {
        /// Whatever happens, a list when one is asked for leaves the oldest policies in force.
        #[test]
        fn the_oldest_policies_are_in_force(
            changes in proptest::collection::vec((0usize..120, any::<bool>()), 0..400),
        ) {
            let mut scene = Scene::new();
            scene.list();
            for (second, (name, creates)) in (1..).zip(changes) {
                let event = match (scene.server.get(&name).copied(), creates) {
                    (None, true) => {
                        scene.server.insert(name, second);
                        Event::Apply(policy(name, second))
                    }
                    (Some(second), true) => Event::Apply(policy(name, second)),
                    (Some(second), false) => {
                        scene.server.remove(&name);
                        Event::Delete(policy(name, second))
                    }
                    (None, false) => continue,
                };
                if scene.see(event) {
                    scene.list();
                }
                prop_assert_eq!(scene.in_force(), scene.oldest());
                let excess = scene.server.len().saturating_sub(MAX_POLICIES);
                prop_assert_eq!(scene.bound.excess.all().len(), excess);
            }
        }
    }
}

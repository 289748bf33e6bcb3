//! Fills a store with what a list and a watch say.
//!
//! In: the events of one kind. Out: the store. Memory holds each object once: kube-runtime's own
//! way holds the old and the new objects of a list until it is complete, which is twice the memory
//! each quarter of an hour. So only the first list is put in as a whole, before anybody reads it.
//! Of a further list, an object of the same version stays as it is, another one is replaced at
//! once, and what the list does not have is removed at its end.
//!
//! ## Guarantees
//! After the list the store holds what the list has. Meanwhile each object is as it was, or as the
//! list has it. Where a list breaks, what it has replaced stays: it was newer.

use std::collections::HashSet;
use std::sync::Arc;

use kube::Resource;
use kube_runtime::reflector::{ObjectRef, Store, store::Writer};
use kube_runtime::watcher::Event;

use super::kept::Kept;
use super::key::{key_of, object_ref};

/// The write side of a store.
pub struct Filler<K: Kept> {
    writer: Writer<K::Stored>,
    store: Store<K::Stored>,
    is_filled: bool,
    /// The objects of a further list that is being read.
    listed: HashSet<ObjectRef<K::Stored>>,
}

impl<K: Kept> Filler<K> {
    pub fn new(writer: Writer<K::Stored>) -> Self {
        let store = writer.as_reader();
        Self { writer, store, is_filled: false, listed: HashSet::new() }
    }

    /// The object of a change, as the store has it.
    pub fn stored(&self, event: &Event<K>) -> Option<Arc<K::Stored>> {
        match event {
            Event::Apply(object) => self.store.get(&object_ref(&key_of(object))),
            Event::Init | Event::InitApply(_) | Event::InitDone | Event::Delete(_) => None,
        }
    }

    pub fn apply(&mut self, event: &Event<K>) {
        match event {
            Event::Init if self.is_filled => self.listed = HashSet::new(),
            Event::InitApply(object) if self.is_filled => {
                if !self.has(object) {
                    K::store(&mut self.writer, &Event::Apply(object.clone()));
                }
                self.listed.insert(object_ref(&key_of(object)));
            }
            Event::InitDone if self.is_filled => self.remove_others(),
            Event::InitDone => {
                self.writer.apply_watcher_event(&Event::InitDone);
                self.is_filled = true;
            }
            Event::Init | Event::InitApply(_) | Event::Apply(_) | Event::Delete(_) => {
                K::store(&mut self.writer, event);
            }
        }
    }

    /// Whether the store has that version of the object.
    fn has(&self, object: &K) -> bool {
        let (version, uid) = (&object.meta().resource_version, &object.meta().uid);
        self.store.get(&object_ref(&key_of(object))).is_some_and(|stored| {
            version.is_some()
                && stored.meta().resource_version == *version
                && stored.meta().uid == *uid
        })
    }

    fn remove_others(&mut self) {
        let listed = std::mem::take(&mut self.listed);
        for object in self.store.state() {
            if !listed.contains(&ObjectRef::from_obj(&*object)) {
                self.writer.apply_watcher_event(&Event::Delete(K::Stored::clone(&object)));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use k8s_openapi::api::core::v1::Node;
    use kube::ResourceExt;
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::watch::packed_node::PackedNode;

    fn node(name: &str, version: u64) -> Node {
        let version = version.to_string();
        serde_json::from_value(json!({"metadata":
            {"name": name, "uid": format!("uid-{name}"), "resourceVersion": version}}))
        .unwrap()
    }

    fn versions(store: &Store<PackedNode>) -> BTreeMap<String, String> {
        let version = |node: &Arc<PackedNode>| {
            (node.name_any(), ResourceExt::resource_version(&**node).unwrap())
        };
        store.state().iter().map(version).collect()
    }

    fn list(filler: &mut Filler<Node>, nodes: &[Node]) {
        filler.apply(&Event::Init);
        for node in nodes {
            filler.apply(&Event::InitApply(node.clone()));
        }
        filler.apply(&Event::InitDone);
    }

    #[test]
    fn an_object_of_the_same_version_stays_where_it_is() {
        let (store, writer) = kube_runtime::reflector::store::<PackedNode>();
        let mut filler = Filler::<Node>::new(writer);
        let get = |name: &str| store.get(&ObjectRef::new(name)).unwrap();
        list(&mut filler, &[node("a", 1), node("b", 1)]);
        let (a, b) = (get("a"), get("b"));
        list(&mut filler, &[node("a", 1), node("b", 2)]);
        assert!(Arc::ptr_eq(&a, &get("a")));
        assert!(!Arc::ptr_eq(&b, &get("b")));
        // One of the same name was created anew.
        let mut other = node("a", 1);
        other.metadata.uid = Some("another".to_owned());
        list(&mut filler, &[other]);
        assert_eq!(ResourceExt::uid(&*get("a")).as_deref(), Some("another"));
    }

    #[derive(Clone, Debug)]
    enum Step {
        Apply(&'static str, u64),
        Delete(&'static str),
        List(BTreeMap<&'static str, u64>),
        /// A list that breaks after its objects.
        Broken(BTreeMap<&'static str, u64>),
    }

    fn steps() -> impl Strategy<Value = Step> {
        let name = || prop::sample::select(vec!["a", "b", "c", "d"]);
        let all = || prop::collection::btree_map(name(), 0..4_u64, 0..4);
        prop_oneof![
            (name(), 0..4_u64).prop_map(|(name, version)| Step::Apply(name, version)),
            name().prop_map(Step::Delete),
            all().prop_map(Step::List),
            all().prop_map(Step::Broken),
        ]
    }

    proptest! {
        /// After each complete list the store is that of kube-runtime.
        #[test]
        fn after_a_list_the_store_is_that_of_kube_runtime(
            steps in prop::collection::vec(steps(), 1..30),
        ) {
            let ((ours, writer), (theirs, mut plain)) =
                (kube_runtime::reflector::store::<PackedNode>(), kube_runtime::reflector::store());
            let mut filler = Filler::<Node>::new(writer);
            for step in steps {
                let (events, is_list) = match step {
                    Step::Apply(name, version) => (vec![Event::Apply(node(name, version))], false),
                    Step::Delete(name) => (vec![Event::Delete(node(name, 0))], false),
                    Step::List(all) | Step::Broken(all) if all.is_empty() => {
                        (vec![Event::Init, Event::InitDone], true)
                    }
                    Step::List(all) => {
                        let all = all.into_iter().map(|(name, version)| node(name, version));
                        let objects = all.map(Event::InitApply);
                        let events = [Event::Init].into_iter().chain(objects);
                        (events.chain([Event::InitDone]).collect(), true)
                    }
                    Step::Broken(all) => {
                        let all = all.into_iter().map(|(name, version)| node(name, version));
                        let objects = all.map(Event::InitApply);
                        ([Event::Init].into_iter().chain(objects).collect(), false)
                    }
                };
                for event in events {
                    filler.apply(&event);
                    Node::store(&mut plain, &event);
                }
                if is_list {
                    prop_assert_eq!(versions(&ours), versions(&theirs));
                }
            }
        }
    }
}

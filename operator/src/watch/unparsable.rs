//! The objects that cannot be parsed, of all kinds.
//!
//! ## Guarantees
//! - The last version of an object that could be parsed stays in the store, and so in force.
//! - Deleting the object takes effect, whether it can be parsed or not: by its Delete event, or by
//!   a fresh list from which it is missing.
//! - A fresh list in which the object cannot be parsed does not make it look deleted.
//! - An object that was never parsed by this process is known by its name. What it asks for is
//!   unknown, so nothing may be removed that it could have asked for ([`Unparsable::unread`]).

use std::collections::BTreeMap;
use std::sync::Arc;

use kube::ResourceExt;
use kube_runtime::reflector::Store;
use kube_runtime::watcher::Event;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;
use tracing::warn;

use super::guard::{Guard, Invalid};
use super::kept::Kept;
use super::key::{Key, key_in, key_of, object_ref};
use super::log_limit::LogLimit;
use crate::context::metrics::Metrics;

/// The objects of one kind that cannot be parsed. A clone shares them.
#[derive(Clone, Debug, Default)]
pub struct Unparsable(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    found: Mutex<BTreeMap<Key, Found>>,
    changed: Notify,
}

/// An object that cannot be parsed.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    pub invalid: Invalid,
    /// An earlier version is in the store, and stays in force.
    pub is_held: bool,
}

impl Unparsable {
    /// Whether the newest version of the object with that name cannot be parsed.
    pub fn has(&self, name: &str) -> bool {
        self.0.found.lock().contains_key(&(None, name.to_owned()))
    }

    /// The names of the objects of which no version is known. What they ask for is unknown.
    pub fn unread(&self) -> Vec<String> {
        let found = self.0.found.lock();
        let unread = found.iter().filter(|(_, found)| !found.is_held);
        unread.map(|((_, name), _)| name.clone()).collect()
    }

    /// Every object, by name.
    pub fn all(&self) -> Vec<Found> {
        self.0.found.lock().values().cloned().collect()
    }

    /// Returns after the next change, or at once if there was one since the last call.
    pub async fn changed(&self) {
        self.0.changed.notified().await;
    }

    fn change<T>(&self, change: impl FnOnce(&mut BTreeMap<Key, Found>) -> T) -> T {
        let result = change(&mut self.0.found.lock());
        self.0.changed.notify_one();
        result
    }
}

/// Passes on the events of objects that can be parsed, and keeps count of the others.
pub(crate) struct Parse<K: Kept> {
    unparsable: Unparsable,
    store: Store<K::Stored>,
    metrics: Metrics,
    log: LogLimit,
    /// The objects of the list that is being read.
    list: BTreeMap<Key, Found>,
    /// Called when an object is gone of which no version was known.
    on_unread_gone: Box<dyn Fn() + Send + Sync>,
}

impl<K: Kept> Parse<K> {
    pub fn new(
        unparsable: Unparsable,
        store: Store<K::Stored>,
        metrics: Metrics,
        on_unread_gone: Box<dyn Fn() + Send + Sync>,
    ) -> Self {
        Self {
            unparsable,
            store,
            metrics,
            log: LogLimit::default(),
            list: BTreeMap::new(),
            on_unread_gone,
        }
    }

    /// What the event means for the store. `None`: nothing.
    pub fn pass(&mut self, event: Event<Guard<K>>) -> Option<Event<K>> {
        match event {
            Event::Init => {
                self.list.clear();
                Some(Event::Init)
            }
            Event::InitApply(Guard(Ok(object))) => Some(Event::InitApply(object)),
            Event::InitApply(Guard(Err(invalid))) => {
                let (key, held) = (key_in(&invalid.metadata), self.held(&invalid));
                self.report(&invalid);
                self.list.insert(key, Found { invalid, is_held: held.is_some() });
                held.map(Event::InitApply)
            }
            Event::InitDone => {
                self.listed();
                Some(Event::InitDone)
            }
            Event::Apply(Guard(Ok(object))) => {
                self.is_well(&key_of(&object));
                Some(Event::Apply(object))
            }
            Event::Apply(Guard(Err(invalid))) => {
                self.report(&invalid);
                let held = self.held(&invalid);
                let found = Found { is_held: held.is_some(), invalid };
                self.unparsable.change(|all| all.insert(key_in(&found.invalid.metadata), found));
                // A policy that is being deleted asks for nothing, whatever it said.
                held.filter(|held| held.meta().deletion_timestamp.is_some()).map(Event::Apply)
            }
            Event::Delete(object) => self.deleted(object),
        }
    }

    /// The version in the store. An object that was made anew under the same name has none.
    fn held(&self, invalid: &Invalid) -> Option<K> {
        let stored = self.store.get(&object_ref(&key_in(&invalid.metadata)))?;
        if ResourceExt::uid(&*stored) != invalid.metadata.uid {
            return None;
        }
        let mut held = K::unpack(&stored);
        // A deletion that has begun changes the generation, by which the triggers see it.
        if invalid.metadata.deletion_timestamp.is_some() {
            let metadata = held.meta_mut();
            metadata.deletion_timestamp.clone_from(&invalid.metadata.deletion_timestamp);
            metadata.generation = invalid.metadata.generation;
        }
        Some(held)
    }

    /// A deleted object leaves the store, also if it can no longer be parsed.
    fn deleted(&mut self, object: Guard<K>) -> Option<Event<K>> {
        let key = key_of(&object);
        let stored = self.store.get(&object_ref(&key)).map(|stored| K::unpack(&stored));
        let is_unread = stored.is_none();
        if self.is_well(&key) && is_unread {
            (self.on_unread_gone)();
        }
        object.0.ok().or(stored).map(Event::Delete)
    }

    /// Forgets an object that is parsed again, or is gone. Returns whether it was unparsable.
    fn is_well(&mut self, key: &Key) -> bool {
        if !self.unparsable.0.found.lock().contains_key(key) {
            return false;
        }
        self.log.forget(&subject(key));
        self.unparsable.change(|all| all.remove(key)).is_some()
    }

    /// Objects that a fresh list lacks are gone.
    fn listed(&mut self) {
        let list = std::mem::take(&mut self.list);
        let subjects: Vec<String> = list.keys().map(subject).collect();
        self.log.retain(|known| subjects.iter().any(|subject| subject == known));
        if *self.unparsable.0.found.lock() != list {
            self.unparsable.change(|all| *all = list);
        }
    }

    fn report(&mut self, invalid: &Invalid) {
        let kind = <K as kube::Resource>::kind(&());
        self.metrics.skipped(&kind);
        let name = subject(&key_in(&invalid.metadata));
        let error = &invalid.error;
        if self.log.allows(&name, error, Instant::now()) {
            warn!(%kind, name, error, "object cannot be parsed: its last version stays in force");
        }
    }
}

fn subject((namespace, name): &Key) -> String {
    namespace.as_ref().map_or_else(|| name.clone(), |namespace| format!("{namespace}/{name}"))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use kube_runtime::reflector::{self, store::Writer};
    use lsm_ready_crds::LsmPolicy;
    use serde_json::{Value, json};

    use super::*;

    struct Scene {
        parse: Parse<LsmPolicy>,
        writer: Writer<LsmPolicy>,
        store: Store<LsmPolicy>,
        unparsable: Unparsable,
        metrics: Metrics,
        unread_gone: Arc<AtomicUsize>,
    }

    fn scene() -> Scene {
        let (store, writer) = reflector::store();
        let (unparsable, metrics) = (Unparsable::default(), Metrics::default());
        let unread_gone = Arc::new(AtomicUsize::new(0));
        let counter = unread_gone.clone();
        let gone = move || {
            counter.fetch_add(1, Ordering::SeqCst);
        };
        let parse = Parse::new(unparsable.clone(), store.clone(), metrics.clone(), Box::new(gone));
        Scene { parse, writer, store, unparsable, metrics, unread_gone }
    }

    impl Scene {
        fn see(&mut self, events: impl IntoIterator<Item = Event<Guard<LsmPolicy>>>) -> &mut Self {
            for event in events {
                if let Some(event) = self.parse.pass(event) {
                    self.writer.apply_watcher_event(&event);
                }
            }
            self
        }

        /// The kernel reads that each stored policy requires, by name.
        fn stored(&self) -> Vec<(String, bool)> {
            let mut all: Vec<_> = self
                .store
                .state()
                .iter()
                .map(|policy| (policy.name_any(), policy.spec.require.kernel_reads))
                .collect();
            all.sort();
            all
        }
    }

    fn guard(name: &str, spec: &Value) -> Guard<LsmPolicy> {
        let metadata = json!({"name": name, "uid": format!("uid-{name}"), "resourceVersion": "1"});
        serde_json::from_value(json!({"metadata": metadata, "spec": spec})).unwrap()
    }

    fn good(name: &str) -> Guard<LsmPolicy> {
        guard(name, &json!({"require": {"kernelReads": true}}))
    }

    fn bad(name: &str) -> Guard<LsmPolicy> {
        guard(name, &json!({"require": 7}))
    }

    fn held(name: &str) -> Vec<(String, bool)> {
        vec![(name.to_owned(), true)]
    }

    #[tokio::test]
    async fn the_last_version_stays_in_force_until_the_object_is_deleted() {
        let mut scene = scene();
        scene.see([Event::Apply(good("p")), Event::Apply(bad("p"))]);
        assert_eq!(scene.stored(), held("p"));
        assert!(scene.unparsable.has("p") && scene.unparsable.unread().is_empty());
        scene.see([Event::Delete(bad("p"))]);
        assert_eq!(scene.stored(), []);
        assert!(!scene.unparsable.has("p"));
    }

    #[tokio::test]
    async fn a_list_in_which_the_object_is_unparsable_does_not_delete_it() {
        let mut scene = scene();
        scene.see([Event::Apply(good("p"))]);
        scene.see([Event::Init, Event::InitApply(bad("p")), Event::InitDone]);
        assert_eq!(scene.stored(), held("p"));
        assert!(scene.unparsable.has("p"));
        scene.see([Event::Init, Event::InitDone]);
        assert_eq!(scene.stored(), []);
        assert!(!scene.unparsable.has("p"));
    }

    #[tokio::test]
    async fn an_object_that_was_never_parsed_is_known_by_name_until_it_is_gone() {
        let mut scene = scene();
        scene.see([Event::Init, Event::InitApply(bad("p")), Event::InitDone]);
        assert_eq!((scene.stored(), scene.unparsable.unread()), (vec![], vec!["p".to_owned()]));
        scene.see([Event::Delete(bad("p"))]);
        assert_eq!(scene.unparsable.unread(), Vec::<String>::new());
        assert_eq!(scene.unread_gone.load(Ordering::SeqCst), 1, "its labels may go now");
    }

    #[tokio::test]
    async fn an_object_that_is_repaired_is_parsed_again() {
        let mut scene = scene();
        scene.see([Event::Apply(bad("p")), Event::Apply(good("p"))]);
        assert_eq!(scene.stored(), held("p"));
        assert!(!scene.unparsable.has("p"));
    }

    /// The version in the store is that of another object with the same name.
    #[tokio::test]
    async fn an_object_made_anew_under_the_same_name_is_not_held() {
        let mut anew = bad("p");
        anew.0.as_mut().unwrap_err().metadata.uid = Some("another".to_owned());
        let mut scene = scene();
        scene.see([Event::Apply(good("p")), Event::Init, Event::InitApply(anew), Event::InitDone]);
        assert_eq!((scene.stored(), scene.unparsable.unread()), (vec![], vec!["p".to_owned()]));
    }

    #[tokio::test]
    async fn each_skipped_version_is_counted() {
        let mut scene = scene();
        scene.see((0..3).map(|_| Event::Apply(bad("p"))));
        let text = scene.metrics.encode().unwrap();
        assert!(text.contains(r#"lsm_ready_skipped_objects_total{kind="LsmPolicy"} 3"#), "{text}");
    }
}

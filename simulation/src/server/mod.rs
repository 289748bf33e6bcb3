//! The simulated API server: objects, their versions, and the log of all changes.
//!
//! In: requests of the operator's processes ([`requests`]), and changes by everybody else
//! ([`Server::put`], [`Server::edit`], [`Server::remove`]). Out: answers, and watches over the log
//! ([`watch`]). What is not modelled fails the history; it is never guessed.

pub mod answer;
pub mod kind;
pub mod object;
pub mod patch;
pub mod requests;
#[cfg(test)]
mod tests;
pub mod trace;
pub mod watch;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};
use tokio::sync::Notify;

use self::kind::Kind;
use self::object::Object;
use self::trace::Trace;
use crate::clock;

/// Namespace and name.
pub type Key = (String, String);

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ChangeType {
    Added,
    Modified,
    Deleted,
}

impl ChangeType {
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Added => "ADDED",
            Self::Modified => "MODIFIED",
            Self::Deleted => "DELETED",
        }
    }
}

/// One committed change.
#[derive(Clone, Debug)]
pub struct Change {
    pub version: u64,
    pub at: Duration,
    pub type_: ChangeType,
    pub key: Key,
    pub object: Arc<Object>,
}

impl Change {
    /// The line of a watch.
    #[must_use]
    pub fn line(&self) -> Bytes {
        let (type_, object) = (self.type_.as_str(), self.object.json());
        let begin = format!("{{\"type\":\"{type_}\",\"object\":");
        [begin.as_bytes(), &object, b"}\n"].concat().into()
    }
}

/// In which boot, and with which version of the probe, a Node was shown ready.
#[derive(Clone, Debug)]
pub struct Shown {
    pub boot: String,
    pub version: String,
}

/// A write of a Node by a process of the operator.
#[derive(Clone, Copy, Debug)]
pub struct NodeWrite {
    pub process: usize,
    pub sent: Duration,
    /// The version that it made.
    pub version: u64,
}

/// A Node that was shown ready, and is not any more.
#[derive(Clone, Debug)]
pub struct Loss {
    pub at: Duration,
    /// The process that wrote it.
    pub process: usize,
    pub name: String,
    pub uid: String,
    pub boot: String,
    /// Another version of the probe than that with which it was shown ready.
    pub new_version: Option<String>,
}

/// Everything that the API server keeps.
#[derive(Debug, Default)]
pub struct Server {
    objects: [BTreeMap<Key, Arc<Object>>; Kind::ALL.len()],
    log: [Vec<Change>; Kind::ALL.len()],
    version: u64,
    uids: u64,
    /// Watches from before this version get 410.
    compacted: u64,
    /// What is ours in each DaemonSet by server-side apply, by UID.
    applied: BTreeMap<String, patch::Applied>,
    /// The CRDs of Tetragon's policies are installed.
    pub has_tracing_policies: bool,
    /// Pods whose eviction was refused.
    pub refused_evictions: BTreeSet<String>,
    /// When a change of a DaemonSet was refused as invalid.
    pub mount_refused: Option<Duration>,
    /// The process that took or renewed the Lease last.
    pub leader: Option<usize>,
    /// When the Lease was renewed or taken last.
    pub lease_renewed: Option<Duration>,
    /// Our labels that say ready, as the operator left them: by UID, with the boot.
    pub ours_ready: BTreeMap<String, (String, BTreeSet<String>)>,
    /// The Nodes that the operator shows ready, by UID.
    pub shown_ready: BTreeMap<String, Shown>,
    /// The last write of each Node by a process, by name.
    pub node_writes: BTreeMap<String, NodeWrite>,
    /// Nodes that lost ready in that boot, by the operator's writes.
    pub losses: Vec<Loss>,
    /// Wakes the watches of each kind.
    changed: [Arc<Notify>; Kind::ALL.len()],
    /// The first thing that went wrong.
    pub failure: Option<String>,
    /// What happened, in short.
    pub trace: Trace,
}

impl Server {
    #[must_use]
    pub const fn version(&self) -> u64 {
        self.version
    }

    /// Differs where anything differs that the model looks at.
    #[must_use]
    pub fn state(&self) -> (u64, bool, usize) {
        (self.version, self.has_tracing_policies, self.refused_evictions.len())
    }

    /// The version of the last change of that kind.
    #[must_use]
    pub fn version_of(&self, kind: Kind) -> u64 {
        self.log(kind).last().map_or(0, |change| change.version)
    }

    /// Wakes the watches of that kind.
    fn changed(&self, kind: Kind) -> Arc<Notify> {
        self.changed[kind.index()].clone()
    }

    #[must_use]
    pub fn get(&self, kind: Kind, key: &Key) -> Option<&Arc<Object>> {
        self.objects[kind.index()].get(key)
    }

    /// An object that has no namespace.
    #[must_use]
    pub fn named(&self, kind: Kind, name: &str) -> Option<&Arc<Object>> {
        self.get(kind, &(String::new(), name.to_owned()))
    }

    pub fn all(&self, kind: Kind) -> impl Iterator<Item = (&Key, &Arc<Object>)> {
        self.objects[kind.index()].iter()
    }

    #[must_use]
    pub fn log(&self, kind: Kind) -> &[Change] {
        &self.log[kind.index()]
    }

    /// The versions of an object that existed at or after that version of the server: what a
    /// process may still believe that was told everything up to it. None: it did not exist.
    #[must_use]
    pub fn versions_since(&self, kind: Kind, key: &Key, version: u64) -> Vec<Option<Arc<Object>>> {
        let mut versions = vec![None];
        for change in self.log(kind).iter().filter(|change| change.key == *key) {
            if change.version <= version {
                versions.clear();
            }
            let exists = change.type_ != ChangeType::Deleted;
            versions.push(exists.then(|| change.object.clone()));
        }
        versions
    }

    /// Notes what went wrong. Only the first failure of a history is reported.
    pub fn fail(&mut self, what: impl FnOnce() -> String) {
        if self.failure.is_none() {
            self.failure = Some(what());
        }
    }

    /// Whether a watch may no longer begin at that version.
    #[must_use]
    pub const fn is_forgotten(&self, version: u64) -> bool {
        version < self.compacted
    }

    /// Forgets the past: watches from before now get 410.
    pub const fn compact(&mut self) {
        self.compacted = self.version;
    }

    /// Creates an object, or replaces it with a new one. Fills in what the API server fills in.
    pub fn put(&mut self, kind: Kind, mut object: Value) {
        let key = key_of(&object);
        self.remove(kind, &key);
        self.uids += 1;
        object["apiVersion"] = json!(kind.api_version());
        object["kind"] = json!(kind.name());
        object["metadata"]["uid"] = json!(format!("uid-{}", self.uids));
        object["metadata"]["creationTimestamp"] = json!(seconds(clock::true_time()));
        if object.get("spec").is_some() {
            object["metadata"]["generation"] = json!(1);
        }
        if kind == Kind::DaemonSet {
            object["metadata"]["annotations"][patch::TEMPLATE_GENERATION] = json!("1");
        }
        self.commit(kind, key, ChangeType::Added, object);
    }

    /// Keeps an object as it is, with its UID: one that was read from a real API server.
    pub fn load(&mut self, kind: Kind, object: Value) {
        self.commit(kind, key_of(&object), ChangeType::Added, object);
    }

    /// Changes an object, where it exists and the change changes something.
    pub fn edit(&mut self, kind: Kind, key: &Key, change: impl FnOnce(&mut Value)) {
        let Some(before) = self.get(kind, key).cloned() else { return };
        let mut after = Value::clone(&before);
        change(&mut after);
        self.replace(kind, key, &before, after);
    }

    /// Commits an object that may differ from the one before. Returns the present one.
    fn replace(
        &mut self,
        kind: Kind,
        key: &Key,
        before: &Arc<Object>,
        mut after: Value,
    ) -> Arc<Object> {
        if ***before == after {
            return before.clone();
        }
        if before.get("spec") != after.get("spec") && kind != Kind::Node {
            let generation = before["metadata"]["generation"].as_i64().unwrap_or_default();
            after["metadata"]["generation"] = json!(generation + 1);
        }
        if kind == Kind::DaemonSet {
            patch::count_template(before, &mut after);
        }
        self.commit(kind, key.clone(), ChangeType::Modified, after)
    }

    /// Deletes an object, where it exists.
    pub fn remove(&mut self, kind: Kind, key: &Key) {
        if let Some(object) = self.objects[kind.index()].get(key).cloned() {
            self.commit(kind, key.clone(), ChangeType::Deleted, Value::clone(&object));
        }
    }

    fn commit(
        &mut self,
        kind: Kind,
        key: Key,
        type_: ChangeType,
        mut object: Value,
    ) -> Arc<Object> {
        self.version += 1;
        object["metadata"]["resourceVersion"] = json!(self.version.to_string());
        let object = Arc::new(Object::new(object));
        let objects = &mut self.objects[kind.index()];
        if type_ == ChangeType::Deleted {
            objects.remove(&key);
        } else {
            objects.insert(key.clone(), object.clone());
        }
        let (version, at) = (self.version, clock::elapsed());
        let change = Change { version, at, type_, key, object: object.clone() };
        self.log[kind.index()].push(change);
        self.changed[kind.index()].notify_waiters();
        object
    }
}

/// The key of an object.
#[must_use]
pub fn key_of(object: &Value) -> Key {
    let field = |field: &str| object["metadata"][field].as_str().unwrap_or_default().to_owned();
    (field("namespace"), field("name"))
}

/// A time as the API server prints it.
#[must_use]
pub fn seconds(time: jiff::Timestamp) -> String {
    format!("{time:.0}")
}

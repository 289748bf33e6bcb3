//! What the operator knows of Tetragon's policies, of both kinds.
//!
//! In: what [`crate::tracing_policies::watch`] lists and sees. Out: a [`Snapshot`], which is shared
//! and never changes while it is read. Changes of single objects are collected until they are
//! published, because each new snapshot costs a copy of the map of all objects and makes the
//! operator reconcile every Node.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use lsm_ready_crds::selection::keys;
use lsm_ready_tetragon::tracing_policy::{GROUP, KINDS, Name};
use parking_lot::Mutex;
use tokio::sync::watch;

use super::bounds::MAX_KEPT_BYTES;
pub use super::entry::Entry;
use super::kept::{Kept, MAX_TOGETHER};
pub use super::object::Object;

/// Both kinds, in the order of [`KINDS`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Snapshot {
    kinds: [KindSnapshot; KINDS.len()],
}

#[derive(Clone, Debug, Default, PartialEq)]
struct KindSnapshot {
    progress: Progress,
    error: Option<ReadError>,
    kept: Arc<Kept>,
}

/// How much is known of one kind.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum Progress {
    /// Nothing yet.
    #[default]
    Pending,
    /// The CRD is not installed, so there are no objects.
    NotInstalled,
    /// The objects were listed.
    Listed,
}

/// Why the newest objects are unknown. The first field is the plural of the kind.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum ReadError {
    /// The operator may not list or watch the kind.
    Forbidden(&'static str),
    /// The API server's error.
    Failed(&'static str, String),
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Forbidden(plural) => write!(
                f,
                "the operator may not read {plural}: add the rule {{apiGroups: [{GROUP}], \
                 resources: [{plural}], verbs: [get, list, watch]}} to its ClusterRole \
                 lsm-ready-operator"
            ),
            Self::Failed(plural, error) => write!(f, "cannot read {plural}.{GROUP}: {error}"),
        }
    }
}

impl Snapshot {
    /// Every object that is kept, with its name.
    pub fn objects(&self) -> impl Iterator<Item = (&Name, &Object)> {
        self.kinds.iter().flat_map(|kind| kind.kept.objects())
    }

    /// Keys of the labels by which policies select nodes.
    pub fn selecting_labels(&self) -> BTreeSet<String> {
        let selectors = self.objects().filter_map(|(_, object)| match &object.entry {
            Entry::Read(policy) => policy.node_selector(),
            Entry::Unreadable { .. } => None,
        });
        selectors.flat_map(keys).collect()
    }

    /// Why not all objects are known, although all were listed: there are too many, or one is too
    /// large. `namespaced` says whether the namespaced kind counts.
    pub fn left_out(&self, namespaced: bool) -> Option<String> {
        let kinds = self.kinds.iter().zip(KINDS).take(if namespaced { KINDS.len() } else { 1 });
        let mut left_out = kinds.filter(|(kind, _)| kind.kept.left_out() > 0);
        let (kind, (_, plural)) = left_out.next()?;
        let (count, kept) = (kind.kept.left_out(), kind.kept.objects().count());
        Some(format!(
            "{count} of {} {plural} are not read: the oldest are, up to {} MiB of what is kept of \
             them, and {} KiB of one. Delete those that are not needed",
            count + kept,
            MAX_TOGETHER / 1024 / 1024,
            MAX_KEPT_BYTES / 1024,
        ))
    }

    /// The plurals of the kinds whose CRD is not installed.
    pub fn not_installed(&self) -> impl Iterator<Item = &'static str> {
        let kinds = self.kinds.iter().zip(KINDS);
        kinds
            .filter(|(kind, _)| kind.progress == Progress::NotInstalled)
            .map(|(_, (_, plural))| plural)
    }

    /// The error of a kind that was never listed. `None` if the objects of both kinds are known,
    /// although perhaps not the newest.
    pub fn unlisted(&self) -> Option<String> {
        let mut kinds = self.kinds.iter().zip(KINDS);
        let (kind, (_, plural)) = kinds.find(|(kind, _)| kind.progress == Progress::Pending)?;
        let error = kind.error.as_ref().map(ReadError::to_string);
        Some(error.unwrap_or_else(|| format!("{plural} are not listed yet")))
    }

    /// Why the newest objects are unknown.
    pub fn error(&self) -> Option<&ReadError> {
        self.kinds.iter().find_map(|kind| kind.error.as_ref())
    }

    /// Neither CRD is installed.
    pub fn is_absent(&self) -> bool {
        self.kinds.iter().all(|kind| kind.progress == Progress::NotInstalled)
    }

    /// Each kind was listed, is not installed, or has an error.
    fn is_settled(&self) -> bool {
        self.kinds.iter().all(|kind| kind.progress != Progress::Pending || kind.error.is_some())
    }
}

/// Gives the newest snapshot.
#[derive(Clone, Debug)]
pub struct Reader(watch::Receiver<Arc<Snapshot>>);

/// Changes the snapshot.
#[derive(Clone, Debug)]
pub struct Writer {
    published: watch::Sender<Arc<Snapshot>>,
    /// With the changes that are not published yet.
    newest: Arc<Mutex<Newest>>,
}

#[derive(Debug, Default)]
struct Newest {
    snapshot: Snapshot,
    is_published: bool,
}

/// A reader and a writer of a snapshot in which nothing is known yet.
pub fn channel() -> (Reader, Writer) {
    let (published, reader) = watch::channel(Arc::default());
    let newest = Newest { snapshot: Snapshot::default(), is_published: true };
    (Reader(reader), Writer { published, newest: Arc::new(Mutex::new(newest)) })
}

impl Reader {
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.0.borrow().clone()
    }

    /// Waits until each kind was read once, with or without success, or the writer is gone.
    pub async fn settled(&self) {
        let mut reader = self.0.clone();
        let _ = reader.wait_for(|snapshot| snapshot.is_settled()).await;
    }
}

/// `kind` is an index into [`KINDS`].
impl Writer {
    /// The CRD is not installed. Returns whether the published snapshot changed.
    pub(crate) fn absent(&self, kind: usize) -> bool {
        let absent = KindSnapshot { progress: Progress::NotInstalled, ..KindSnapshot::default() };
        self.change(kind, |kind| replace(kind, absent));
        self.publish()
    }

    /// A list replaces all objects of the kind, so that objects deleted meanwhile are forgotten.
    /// Returns whether the published snapshot changed.
    pub(crate) fn listed(&self, kind: usize, objects: impl Into<Kept>) -> bool {
        let kept = Arc::new(objects.into());
        let new = KindSnapshot { progress: Progress::Listed, error: None, kept };
        self.change(kind, |kind| replace(kind, new));
        self.publish()
    }

    /// The kind cannot be read. The objects stay. Returns whether the published snapshot changed.
    pub(crate) fn failed(&self, kind: usize, error: ReadError) -> bool {
        let error = Some(error);
        self.change(kind, |kind| {
            let differs = kind.error != error;
            kind.error = error;
            differs
        });
        self.publish()
    }

    /// An object was added or changed. It is not published yet.
    pub(crate) fn set(&self, kind: usize, name: Name, object: impl Into<Object>) {
        self.change(kind, |kind| Arc::make_mut(&mut kind.kept).insert(name, object.into()));
    }

    /// An object was deleted. That is not published yet.
    pub(crate) fn remove(&self, kind: usize, name: &Name) {
        self.change(kind, |kind| Arc::make_mut(&mut kind.kept).remove(name));
    }

    /// Whether there are changes to publish.
    pub(crate) fn has_changes(&self) -> bool {
        !self.newest.lock().is_published
    }

    /// Gives the readers all changes. Returns whether there were any.
    pub(crate) fn publish(&self) -> bool {
        let mut newest = self.newest.lock();
        if newest.is_published {
            return false;
        }
        newest.is_published = true;
        self.published.send_replace(Arc::new(newest.snapshot.clone()));
        true
    }

    /// Whether nothing is known of the kind yet.
    pub(crate) fn is_pending(&self, kind: usize) -> bool {
        let newest = self.newest.lock();
        newest.snapshot.kinds.get(kind).is_some_and(|kind| kind.progress == Progress::Pending)
    }

    /// Whether a new list could keep objects that are left out now.
    pub(crate) fn has_room(&self, kind: usize) -> bool {
        self.newest.lock().snapshot.kinds.get(kind).is_some_and(|kind| kind.kept.has_room())
    }

    /// `change` returns whether anything is different.
    fn change(&self, kind: usize, change: impl FnOnce(&mut KindSnapshot) -> bool) {
        let mut newest = self.newest.lock();
        if newest.snapshot.kinds.get_mut(kind).is_some_and(change) {
            newest.is_published = false;
        }
    }
}

/// Returns whether the new one is different.
fn replace(kind: &mut KindSnapshot, new: KindSnapshot) -> bool {
    let differs = *kind != new;
    *kind = new;
    differs
}

#[cfg(test)]
pub(crate) mod tests {
    use std::collections::BTreeMap;

    use lsm_ready_crds::selection::Labels;
    use lsm_ready_tetragon::tracing_policy::TracingPolicy;
    use serde_json::{Value, json};

    use super::*;

    /// A policy with that tier and these hooks.
    pub(crate) fn entry(
        name: &str,
        tier: &str,
        hooks: &[&str],
        node_selector: &Value,
    ) -> (Name, Entry) {
        let denies = json!([{"matchActions": [{"action": "Sigkill"}]}]);
        let hooks: Vec<Value> =
            hooks.iter().map(|hook| json!({"hook": hook, "selectors": denies})).collect();
        policy(name, tier, &json!({"lsmhooks": hooks, "nodeSelector": node_selector}))
    }

    /// A policy with that tier and spec.
    pub(crate) fn policy(name: &str, tier: &str, spec: &Value) -> (Name, Entry) {
        let metadata = json!({"name": name, "labels": {"tier": tier}});
        let policy =
            TracingPolicy::from_cluster(&serde_json::from_value(metadata).unwrap(), spec).unwrap();
        (policy.name.clone(), Entry::Read(Arc::new(policy)))
    }

    /// An object of the API server, as a snapshot holds it.
    pub(crate) fn object(object: &Value) -> (Name, Object) {
        let policy = TracingPolicy::from_file(object).unwrap();
        let metadata = serde_json::from_value(object["metadata"].clone()).unwrap();
        let known = Object::of(&metadata, &object["spec"]);
        (policy.name.clone(), Object { entry: Entry::Read(policy.into()), ..known })
    }

    /// An object that cannot be read.
    pub(crate) fn unreadable(name: &str, tier: &str) -> (Name, Entry) {
        let labels = Labels::from([("tier".to_owned(), tier.to_owned())]);
        let error = "spec.lsmhooks: is no list".to_owned();
        (Name { namespace: None, name: name.to_owned() }, Entry::Unreadable { labels, error })
    }

    /// A snapshot after a list of TracingPolicies; the other kind is not installed.
    pub(crate) fn listed(objects: impl IntoIterator<Item = (Name, Entry)>) -> Snapshot {
        with_expectations(objects.into_iter().map(|(name, entry)| (name, entry.into())))
    }

    /// As [`listed`], with expectations.
    pub(crate) fn with_expectations(objects: impl IntoIterator<Item = (Name, Object)>) -> Snapshot {
        let (reader, writer) = channel();
        writer.listed(0, objects.into_iter().collect::<BTreeMap<_, _>>());
        writer.absent(1);
        Snapshot::clone(&reader.snapshot())
    }

    /// A snapshot in which the only object is of that kind and is too large to be kept.
    pub(crate) fn without_room(kind: usize) -> Snapshot {
        let (name, entry) = entry("large", "enforce", &["file_open"], &Value::Null);
        let object = Object { bytes: MAX_KEPT_BYTES + 1, ..Object::from(entry) };
        let (reader, writer) = channel();
        writer.listed(0, Kept::default());
        writer.listed(1, Kept::default());
        writer.set(kind, name, object);
        writer.publish();
        Snapshot::clone(&reader.snapshot())
    }

    /// A snapshot in which only that error is known.
    pub(crate) fn failed(error: ReadError) -> Snapshot {
        let (reader, writer) = channel();
        writer.failed(0, error);
        writer.absent(1);
        Snapshot::clone(&reader.snapshot())
    }

    #[test]
    fn listed_objects_stay_while_the_kind_cannot_be_read() {
        let (reader, writer) = channel();
        assert_eq!(reader.snapshot().unlisted().unwrap(), "tracingpolicies are not listed yet");
        assert!(
            writer.listed(0, BTreeMap::from([entry("p", "enforce", &["file_open"], &Value::Null)]))
        );
        assert!(writer.absent(1));
        assert!(writer.failed(0, ReadError::Forbidden(KINDS[0].1)));
        let snapshot = reader.snapshot();
        assert_eq!((snapshot.objects().count(), snapshot.unlisted()), (1, None));
        assert!(
            snapshot
                .error()
                .unwrap()
                .to_string()
                .contains("resources: [tracingpolicies], verbs: [get, list, watch]")
        );
        assert!(writer.listed(0, BTreeMap::<Name, Entry>::new()));
        assert_eq!(reader.snapshot().error(), None);
    }

    #[tokio::test]
    async fn only_a_change_is_reported_as_a_change() {
        let (reader, writer) = channel();
        assert!(writer.absent(0) && writer.listed(1, BTreeMap::<Name, Entry>::new()));
        reader.settled().await;
        let (name, object) = entry("p", "enforce", &["file_open"], &Value::Null);
        writer.set(1, name.clone(), object.clone());
        assert!(writer.has_changes() && reader.snapshot().objects().count() == 0);
        assert!(writer.publish() && reader.snapshot().objects().count() == 1);
        writer.set(1, name.clone(), object);
        assert!(!writer.has_changes() && !writer.publish());
        assert!(!writer.absent(0));
        writer.remove(1, &name);
        assert!(writer.publish());
        writer.remove(1, &name);
        assert!(!writer.publish() && !reader.snapshot().is_absent());
    }

    #[test]
    fn changes_are_published_together_and_with_all_else() {
        let policy = |name| entry(name, "enforce", &["file_open"], &Value::Null);
        let (reader, writer) = channel();
        writer.listed(0, BTreeMap::from([policy("goes")]));
        let before = reader.snapshot();
        let (name, object) = policy("comes");
        writer.set(0, name, object);
        writer.remove(0, &policy("goes").0);
        assert!(Arc::ptr_eq(&before, &reader.snapshot()));
        assert!(writer.failed(0, ReadError::Forbidden(KINDS[0].1)));
        let snapshot = reader.snapshot();
        let names: Vec<String> = snapshot.objects().map(|(name, _)| name.to_string()).collect();
        assert_eq!((names, before.objects().count()), (vec!["comes".to_owned()], 1));
        assert!(!writer.has_changes());
    }

    #[test]
    fn objects_that_a_new_list_lacks_are_forgotten() {
        let policy = |name| entry(name, "enforce", &["file_open"], &Value::Null);
        let (reader, writer) = channel();
        writer.listed(0, BTreeMap::from([policy("stays"), policy("goes")]));
        writer.failed(0, ReadError::Forbidden(KINDS[0].1));
        assert!(writer.listed(0, BTreeMap::from([policy("stays")])));
        let snapshot = reader.snapshot();
        let names: Vec<String> = snapshot.objects().map(|(name, _)| name.to_string()).collect();
        assert_eq!(names, ["stays"]);
        assert!(writer.absent(0));
        assert_eq!(reader.snapshot().objects().count(), 0);
    }
}

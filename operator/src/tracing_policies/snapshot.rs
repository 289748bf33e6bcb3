//! What is known of Tetragon's policies, of both kinds.
//!
//! In: what [`crate::tracing_policies::watch`] lists and sees. Out: a [`Snapshot`], shared and never changed under its reader.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use lsm_ready_crds::selection::Labels;
use lsm_ready_tetragon::tracing_policy::{GROUP, KINDS, Name, TracingPolicy};
use tokio::sync::watch;

use super::expectation::Wish;

/// Both kinds, in the order of [`KINDS`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Snapshot {
    kinds: [Kind; KINDS.len()],
}

/// One kind.
#[derive(Clone, Debug, Default, PartialEq)]
struct Kind {
    state: State,
    trouble: Option<Trouble>,
    objects: BTreeMap<Name, Object>,
}

/// How far one kind is known.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum State {
    /// Not at all.
    #[default]
    Pending,
    /// There is no such CRD, so there are no objects.
    Absent,
    /// The objects were listed.
    Listed,
}

/// Why the newest is not known.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Trouble {
    /// The operator may not list or watch it.
    Forbidden(&'static str),
    /// The API server's error.
    Unread(&'static str, String),
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Forbidden(plural) => write!(
                f,
                "the operator may not read {plural}: its ClusterRole lsm-ready-operator lacks the rule {{apiGroups: \
                 [{GROUP}], resources: [{plural}], verbs: [get, list, watch]}}"
            ),
            Self::Unread(plural, error) => write!(f, "{plural}.{GROUP} cannot be read: {error}"),
        }
    }
}

/// One object.
#[derive(Clone, Debug, PartialEq)]
pub enum Entry {
    /// It was understood.
    Read(Arc<TracingPolicy>),
    /// It was not.
    Unreadable {
        /// Its labels.
        labels: Labels,
        /// The field, and what is wrong with it.
        error: String,
    },
}

/// One object, with what it asks agents for.
#[derive(Clone, Debug, PartialEq)]
pub struct Object {
    /// What the reader made of it.
    pub entry: Entry,
    /// What it asks agents for.
    pub wish: Wish,
}

impl From<Entry> for Object {
    /// An object of which no more is known.
    fn from(entry: Entry) -> Self {
        let has_lsm_hooks =
            matches!(&entry, Entry::Read(policy) if !policy.required_hooks.is_empty());
        Self { entry, wish: Wish::unread(has_lsm_hooks) }
    }
}

impl Entry {
    /// Its labels.
    pub fn labels(&self) -> &Labels {
        match self {
            Self::Read(policy) => &policy.labels,
            Self::Unreadable { labels, .. } => labels,
        }
    }
}

impl Snapshot {
    /// Every object, with its name.
    pub fn objects(&self) -> impl Iterator<Item = (&Name, &Entry)> {
        self.with_wishes().map(|(name, object)| (name, &object.entry))
    }

    /// Every object, with its name and with what it asks agents for.
    pub fn with_wishes(&self) -> impl Iterator<Item = (&Name, &Object)> {
        self.kinds.iter().flat_map(|kind| &kind.objects)
    }

    /// The plurals of the kinds whose CRD is not installed.
    pub fn not_installed(&self) -> impl Iterator<Item = &'static str> {
        let absent = self.kinds.iter().zip(KINDS).filter(|(kind, _)| kind.state == State::Absent);
        absent.map(|(_, (_, plural))| plural)
    }

    /// Why it is not known what there is, for those kinds that were never listed.
    pub fn unread(&self) -> Option<String> {
        let pending = self.kinds.iter().zip(KINDS).find(|(kind, _)| kind.state == State::Pending);
        pending.map(|(kind, (_, plural))| {
            kind.trouble
                .as_ref()
                .map_or_else(|| format!("{plural} are not listed yet"), Trouble::to_string)
        })
    }

    /// Why the newest is not known.
    pub fn trouble(&self) -> Option<&Trouble> {
        self.kinds.iter().find_map(|kind| kind.trouble.as_ref())
    }

    /// Neither CRD is installed.
    pub fn is_absent(&self) -> bool {
        self.kinds.iter().all(|kind| kind.state == State::Absent)
    }

    /// Each kind was listed, is absent, or cannot be read, which is said.
    fn is_settled(&self) -> bool {
        self.kinds.iter().all(|kind| kind.state != State::Pending || kind.trouble.is_some())
    }
}

/// The reading side.
#[derive(Clone, Debug)]
pub struct Known(watch::Receiver<Arc<Snapshot>>);

/// The writing side.
#[derive(Clone, Debug)]
pub struct Writer(watch::Sender<Arc<Snapshot>>);

/// Nothing is known yet.
pub fn known() -> (Known, Writer) {
    let (writer, reader) = watch::channel(Arc::default());
    (Known(reader), Writer(writer))
}

impl Known {
    /// What is known now.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.0.borrow().clone()
    }

    /// Until each kind was looked at once, however that ended; also where nobody writes any more.
    pub async fn settled(&self) {
        let mut reader = self.0.clone();
        let _ = reader.wait_for(|snapshot| snapshot.is_settled()).await;
    }
}

/// Each says whether that changed anything. `kind` is an index into [`KINDS`].
impl Writer {
    /// There is no such CRD.
    pub(crate) fn absent(&self, kind: usize) -> bool {
        self.change(kind, |kind| *kind = Kind { state: State::Absent, ..Kind::default() })
    }

    /// These are all.
    pub(crate) fn listed(&self, kind: usize, objects: BTreeMap<Name, impl Into<Object>>) -> bool {
        let objects = objects.into_iter().map(|(name, object)| (name, object.into())).collect();
        self.change(kind, |kind| *kind = Kind { state: State::Listed, trouble: None, objects })
    }

    /// One was added or changed.
    pub(crate) fn set(&self, kind: usize, name: Name, object: impl Into<Object>) -> bool {
        self.change(kind, |kind| drop(kind.objects.insert(name, object.into())))
    }

    /// One is gone.
    pub(crate) fn remove(&self, kind: usize, name: &Name) -> bool {
        self.change(kind, |kind| drop(kind.objects.remove(name)))
    }

    /// It could not be read; what was known stays.
    pub(crate) fn troubled(&self, kind: usize, trouble: Trouble) -> bool {
        self.change(kind, |kind| kind.trouble = Some(trouble))
    }

    fn change(&self, kind: usize, change: impl FnOnce(&mut Kind)) -> bool {
        self.0.send_if_modified(|snapshot| {
            let mut changed = Snapshot::clone(snapshot);
            if let Some(kind) = changed.kinds.get_mut(kind) {
                change(kind);
            }
            let differs = changed != **snapshot;
            if differs {
                *snapshot = Arc::new(changed);
            }
            differs
        })
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// A policy with that tier that asks for these hooks; its name and entry.
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

    /// A policy with that tier and spec; its name and entry.
    pub(crate) fn policy(name: &str, tier: &str, spec: &Value) -> (Name, Entry) {
        let metadata = json!({"name": name, "labels": {"tier": tier}});
        let policy =
            TracingPolicy::from_cluster(&serde_json::from_value(metadata).unwrap(), spec).unwrap();
        (policy.name.clone(), Entry::Read(Arc::new(policy)))
    }

    /// The object, as it is kept.
    pub(crate) fn object(object: &Value) -> (Name, Object) {
        let policy = TracingPolicy::from_file(object).unwrap();
        let metadata = serde_json::from_value(object["metadata"].clone()).unwrap();
        let wish = Wish::of(&metadata, &object["spec"]);
        (policy.name.clone(), Object { entry: Entry::Read(policy.into()), wish })
    }

    /// One that was not understood.
    pub(crate) fn unreadable(name: &str, tier: &str) -> (Name, Entry) {
        let labels = Labels::from([("tier".to_owned(), tier.to_owned())]);
        let error = "spec.lsmhooks: is no list".to_owned();
        (Name { namespace: None, name: name.to_owned() }, Entry::Unreadable { labels, error })
    }

    /// TracingPolicies alone, as after a list.
    pub(crate) fn listed(objects: impl IntoIterator<Item = (Name, Entry)>) -> Snapshot {
        with_wishes(objects.into_iter().map(|(name, entry)| (name, entry.into())))
    }

    /// The same of objects whose wishes are known.
    pub(crate) fn with_wishes(objects: impl IntoIterator<Item = (Name, Object)>) -> Snapshot {
        let (known, writer) = known();
        writer.listed(0, objects.into_iter().collect());
        writer.absent(1);
        Snapshot::clone(&known.snapshot())
    }

    /// As before anything is known but that trouble.
    pub(crate) fn troubled(trouble: Trouble) -> Snapshot {
        let (known, writer) = known();
        writer.troubled(0, trouble);
        writer.absent(1);
        Snapshot::clone(&known.snapshot())
    }

    #[test]
    fn what_was_listed_stays_while_it_cannot_be_read() {
        let (known, writer) = known();
        assert_eq!(known.snapshot().unread().unwrap(), "tracingpolicies are not listed yet");
        assert!(
            writer.listed(0, BTreeMap::from([entry("p", "enforce", &["file_open"], &Value::Null)]))
        );
        assert!(writer.absent(1));
        assert!(writer.troubled(0, Trouble::Forbidden(KINDS[0].1)));
        let snapshot = known.snapshot();
        assert_eq!((snapshot.objects().count(), snapshot.unread()), (1, None));
        assert!(
            snapshot
                .trouble()
                .unwrap()
                .to_string()
                .contains("resources: [tracingpolicies], verbs: [get, list, watch]")
        );
        assert!(writer.listed(0, BTreeMap::<Name, Entry>::new()));
        assert_eq!(known.snapshot().trouble(), None);
    }

    #[tokio::test]
    async fn what_changes_nothing_is_told_to_nobody() {
        let (known, writer) = known();
        assert!(writer.absent(0) && writer.listed(1, BTreeMap::<Name, Entry>::new()));
        known.settled().await;
        let (name, object) = entry("p", "enforce", &["file_open"], &Value::Null);
        assert!(writer.set(1, name.clone(), object.clone()));
        assert!(!writer.set(1, name.clone(), object));
        assert!(!writer.absent(0));
        assert!(writer.remove(1, &name) && !writer.remove(1, &name));
        assert!(!known.snapshot().is_absent());
    }
}

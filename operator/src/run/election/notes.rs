//! What the Lease says besides who leads: whether the circuit breaker is open, and whether a person
//! releases it. So both need neither an LsmPolicy nor a right, a watch or a write of their own: the
//! leader renews the Lease anyway, and sees it then.
//!
//! In: the Lease as it was seen, and what the breaker says. Out: annotations of the next renewal.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::ObjectReference;
use kube::ResourceExt;
use kube::api::DynamicObject;
use lsm_ready_crds::names::{BREAKER_ANNOTATION, BREAKER_OPEN_ANNOTATION, BREAKER_RELEASE};
use parking_lot::Mutex;
use tokio::sync::watch;

use super::LEASE;

const SINCE: &str = "since ";

/// What the breaker says.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub enum Says {
    /// Nothing yet: what an earlier leader said stays.
    #[default]
    Nothing,
    Closed,
    Open {
        /// Not where it is open for the nodes of a probe version only.
        since: Option<Timestamp>,
        /// What is held and why, for people.
        message: String,
    },
}

/// A clone shares the state. By default there is no Lease.
#[derive(Clone, Debug, Default)]
pub struct Notes(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    says: Mutex<Says>,
    seen: Mutex<Seen>,
    is_released: watch::Sender<bool>,
}

/// The Lease as it was last seen.
#[derive(Debug, Default)]
struct Seen {
    namespace: String,
    uid: String,
    is_open: bool,
    open_since: Option<Timestamp>,
}

impl Notes {
    /// Takes in the Lease. None: there is none.
    pub(super) fn saw(&self, lease: Option<&DynamicObject>) {
        let annotation = |key| lease.and_then(|lease| lease.annotations().get(key));
        let open = annotation(BREAKER_OPEN_ANNOTATION);
        *self.0.seen.lock() = Seen {
            namespace: lease.and_then(ResourceExt::namespace).unwrap_or_default(),
            uid: lease.and_then(ResourceExt::uid).unwrap_or_default(),
            is_open: open.is_some(),
            open_since: open.and_then(|open| read_since(open)),
        };
        let asks = annotation(BREAKER_ANNOTATION).is_some_and(|value| value == BREAKER_RELEASE);
        self.0.is_released.send_if_modified(|is_released| {
            let was = std::mem::replace(is_released, asks);
            was != asks
        });
    }

    /// Puts into the Lease what the breaker says.
    pub(super) fn write(&self, lease: &mut DynamicObject) {
        let annotations = &mut lease.metadata.annotations;
        match &*self.0.says.lock() {
            Says::Nothing => {}
            Says::Closed => {
                annotations.as_mut().map(|present| present.remove(BREAKER_OPEN_ANNOTATION));
            }
            Says::Open { since, message } => {
                let since = since.map(|since| format!("{SINCE}{since}: ")).unwrap_or_default();
                annotations
                    .get_or_insert_with(BTreeMap::new)
                    .insert(BREAKER_OPEN_ANNOTATION.to_owned(), format!("{since}{message}"));
            }
        }
    }

    /// What the next renewal says.
    pub fn say(&self, says: Says) {
        *self.0.says.lock() = says;
    }

    /// Whether a person releases held changes.
    pub fn is_released(&self) -> bool {
        *self.0.is_released.borrow()
    }

    /// Tells of each change of [`Self::is_released`].
    pub fn releases(&self) -> watch::Receiver<bool> {
        self.0.is_released.subscribe()
    }

    /// Whether the Lease says that the breaker is open.
    pub fn is_open(&self) -> bool {
        self.0.seen.lock().is_open
    }

    /// Since when the breaker is open, as the Lease says.
    pub fn open_since(&self) -> Option<Timestamp> {
        self.0.seen.lock().open_since
    }

    /// The Lease, for an Event about it. None where there is none.
    pub fn lease(&self) -> Option<ObjectReference> {
        let seen = self.0.seen.lock();
        (!seen.uid.is_empty()).then(|| ObjectReference {
            api_version: Some("coordination.k8s.io/v1".to_owned()),
            kind: Some("Lease".to_owned()),
            namespace: Some(seen.namespace.clone()),
            name: Some(LEASE.to_owned()),
            uid: Some(seen.uid.clone()),
            ..ObjectReference::default()
        })
    }
}

fn read_since(open: &str) -> Option<Timestamp> {
    open.strip_prefix(SINCE)?.split_once(": ")?.0.parse().ok()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn lease(annotations: &Value) -> DynamicObject {
        let metadata = json!({"name": LEASE, "namespace": "ns", "uid": "u",
            "annotations": annotations});
        serde_json::from_value(json!({ "metadata": metadata })).unwrap()
    }

    fn annotations(notes: &Notes, present: &Value) -> Value {
        let mut lease = lease(present);
        notes.write(&mut lease);
        json!(lease.metadata.annotations.unwrap_or_default())
    }

    #[test]
    fn what_one_leader_says_the_next_one_reads_and_keeps_until_it_knows() {
        let (notes, next) = (Notes::default(), Notes::default());
        let since: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        notes.say(Says::Open { since: Some(since), message: "7 nodes: why".to_owned() });
        let open = annotations(&notes, &json!({"a": "b"}));
        assert_eq!(open["lsmready.io/breaker-open"], "since 2026-01-01T00:00:00Z: 7 nodes: why");
        next.saw(Some(&lease(&open)));
        assert!(next.is_open() && !notes.is_open());
        assert_eq!(next.open_since(), Some(since));
        assert_eq!(annotations(&next, &open), open, "it says nothing yet");
        next.say(Says::Closed);
        assert_eq!(annotations(&next, &open), json!({"a": "b"}), "others' annotations stay");
    }

    #[test]
    fn only_the_word_release_releases_and_only_while_it_is_there() {
        let notes = Notes::default();
        let mut releases = notes.releases();
        for (annotations, expected) in [
            (json!({}), false),
            (json!({"lsmready.io/breaker": "realease"}), false),
            (json!({"lsmready.io/breaker": "release"}), true),
            (json!({"lsmready.io/breaker": "release", "a": "b"}), true),
            (json!({"lsmready.io/breaker": "hold"}), false),
        ] {
            let before = notes.is_released();
            notes.saw(Some(&lease(&annotations)));
            assert_eq!(notes.is_released(), expected, "{annotations}");
            assert_eq!(releases.has_changed().unwrap(), before != expected, "{annotations}");
            releases.mark_unchanged();
        }
        notes.saw(Some(&lease(&json!({"lsmready.io/breaker": "release"}))));
        notes.saw(None);
        assert!(!notes.is_released() && notes.lease().is_none(), "the Lease is gone");
    }

    #[test]
    fn a_time_that_cannot_be_read_is_none() {
        for open in ["", "since ", "since noon: x", "7 nodes", "2026-01-01T00:00:00Z: x"] {
            assert_eq!(read_since(open), None, "{open}");
        }
    }
}

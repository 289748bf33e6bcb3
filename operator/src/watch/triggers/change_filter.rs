//! Lets only those changes pass that a controller reads: a kubelet's heartbeat changes a Node every
//! few seconds, and no controller reads it.

use std::collections::HashMap;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};

use kube::ResourceExt;
use parking_lot::Mutex;

/// The relevant part of each object as it was last seen, as hashes, by UID.
#[derive(Default)]
pub(super) struct ChangeFilter(Mutex<HashMap<String, Seen>>);

#[derive(Clone, Copy)]
struct Seen {
    relevant: u64,
    for_all_nodes: u64,
}

/// What differs from the last time.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Change {
    pub relevant: bool,
    /// What every Node may follow.
    pub for_all_nodes: bool,
}

impl ChangeFilter {
    /// Remembers the relevant part of an object. Returns whether it differs from the last time.
    pub(super) fn changed(&self, object: &impl ResourceExt, relevant: &impl Hash) -> bool {
        self.change(object, relevant, &()).relevant
    }

    /// Remembers the relevant part of an object, and what of it every Node may follow. Returns what
    /// differs from the last time.
    pub(super) fn change(
        &self,
        object: &impl ResourceExt,
        relevant: &impl Hash,
        for_all_nodes: &impl Hash,
    ) -> Change {
        let seen = Seen { relevant: hash(relevant), for_all_nodes: hash(for_all_nodes) };
        let before = self.0.lock().insert(object.uid().unwrap_or_default(), seen);
        Change {
            relevant: before.is_none_or(|before| before.relevant != seen.relevant),
            for_all_nodes: before.is_none_or(|before| before.for_all_nodes != seen.for_all_nodes),
        }
    }

    pub(super) fn forget(&self, object: &impl ResourceExt) {
        self.0.lock().remove(&object.uid().unwrap_or_default());
    }

    /// Forgets every object. A fresh list begins, and shows which objects there are.
    pub(super) fn clear(&self) {
        self.0.lock().clear();
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.lock().len()
    }
}

fn hash(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

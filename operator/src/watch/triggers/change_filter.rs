//! Lets only those changes pass that a controller reads: a kubelet's heartbeat changes a Node every
//! few seconds, and no controller reads it.

use std::collections::HashMap;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};

use kube::ResourceExt;
use parking_lot::Mutex;

/// The relevant part of each object as it was last seen, as a hash, by UID.
#[derive(Default)]
pub(super) struct ChangeFilter(Mutex<HashMap<String, u64>>);

impl ChangeFilter {
    /// Remembers the relevant part of an object. Returns whether it differs from the last time.
    pub(super) fn changed(&self, object: &impl ResourceExt, relevant: &impl Hash) -> bool {
        let mut hasher = DefaultHasher::new();
        relevant.hash(&mut hasher);
        let hash = hasher.finish();
        self.0.lock().insert(object.uid().unwrap_or_default(), hash) != Some(hash)
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

//! Nodes whose taint was permitted, and is not written yet.
//!
//! The taint of a new or changed policy goes on by tenths, and not at once to a node that was ready
//! until now. Labels and condition are written before the taint. Where the write of the taint fails,
//! the node shows already that it is not ready, and would have to wait for its turn. This remembers
//! that it does not.

use std::collections::HashSet;

use parking_lot::Mutex;

/// By the UID of the Node.
#[derive(Debug, Default)]
pub struct OwedTaints(Mutex<HashSet<String>>);

impl OwedTaints {
    pub fn has(&self, uid: &str) -> bool {
        self.0.lock().contains(uid)
    }

    pub fn insert(&self, uid: &str) {
        self.0.lock().insert(uid.to_owned());
    }

    /// The taint is written, or not wanted any more.
    pub fn remove(&self, uid: &str) {
        self.0.lock().remove(uid);
    }

    /// Keeps the Nodes that exist.
    pub fn retain(&self, exists: impl Fn(&str) -> bool) {
        self.0.lock().retain(|uid| exists(uid));
    }
}

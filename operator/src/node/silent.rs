//! The nodes whose probe is silent, counted for the metrics.

use std::collections::HashSet;

use parking_lot::Mutex;

/// The UIDs of Nodes whose probe has not renewed its report in time.
#[derive(Debug, Default)]
pub struct SilentNodes(Mutex<HashSet<String>>);

impl SilentNodes {
    /// Notes whether a Node's probe is silent. Returns how many are.
    pub fn note(&self, uid: &str, is_silent: bool) -> usize {
        let mut silent = self.0.lock();
        if is_silent {
            silent.insert(uid.to_owned());
        } else {
            silent.remove(uid);
        }
        silent.len()
    }

    /// Keeps the Nodes that exist. Returns how many are silent.
    pub fn retain(&self, exists: impl Fn(&str) -> bool) -> usize {
        let mut silent = self.0.lock();
        silent.retain(|uid| exists(uid));
        silent.len()
    }
}

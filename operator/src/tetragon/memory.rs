//! What has to be remembered of each DaemonSet between reconciles: what became of our writes. None of it decides what
//! is ours, so a restart that forgets it takes nothing away and leaves nothing behind.

use lsm_ready_crds::ConditionReason;
use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;

use super::contest::Contest;
use super::gate::Gate;
use super::rollout::look::Look;
use super::rollout::unready::Caused;
use super::stale::Stale;
use super::step::Write;

/// What is remembered, by a DaemonSet's UID.
#[derive(Debug, Default)]
pub struct Memory(Mutex<HashMap<String, Remembered>>);

/// What is remembered of one DaemonSet.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Remembered {
    /// The fight over our mount.
    pub contest: Contest,
    /// Why the newest write failed, until one succeeds or none is wanted any more.
    pub failure: Option<Failure>,
    /// The resourceVersion after our newest write: an older object in the store does not show it yet.
    pub written: Option<String>,
    /// The label stayed when everything of ours was given back: somebody else has set it.
    pub label_is_theirs: bool,
    /// The gate, where it closed before something that should be written.
    pub gate: Gate,
    /// The newest look at the agents' pods, while a rollout goes on.
    pub look: Option<Look>,
    /// What was done about stale agents.
    pub stale: Stale,
    /// The restart that we caused, until it is over.
    pub caused: Option<Caused>,
    /// Which agent could not be created with our mount, and why, while the mount that was taken back is not added again.
    pub taken_back: Option<String>,
}

/// A write that failed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Failure {
    /// The condition's reason.
    pub reason: ConditionReason,
    /// What happened and what to do about it.
    pub message: String,
    /// It stays so until somebody changes something. Otherwise the next try may succeed.
    pub lasting: bool,
    /// What was to be written.
    pub write: Write,
    /// The generation of the DaemonSet that it was to be written to.
    pub generation: Option<i64>,
    /// When it was tried.
    pub tried: Timestamp,
}

impl Memory {
    /// What is remembered of that DaemonSet.
    pub fn recall(&self, uid: &str) -> Remembered {
        self.lock().get(uid).cloned().unwrap_or_default()
    }

    /// Remembers it; says whether it is new.
    pub fn remember(&self, uid: &str, remembered: Remembered) -> bool {
        let mut all = self.lock();
        if remembered == Remembered::default() {
            return all.remove(uid).is_some();
        }
        all.insert(uid.to_owned(), remembered.clone()) != Some(remembered)
    }

    /// Forgets the DaemonSets that are gone.
    pub fn forget_all_but(&self, living: impl FnOnce() -> HashSet<String>) {
        let mut all = self.lock();
        if !all.is_empty() {
            let living = living();
            all.retain(|uid, _| living.contains(uid));
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Remembered>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_what_is_new_and_forgets_the_dead() {
        let memory = Memory::default();
        let written = || Remembered { written: Some("7".into()), ..Remembered::default() };
        assert!(!memory.remember("a", Remembered::default()));
        assert!(memory.remember("a", written()));
        assert!(!memory.remember("a", written()));
        memory.forget_all_but(|| HashSet::from(["b".to_owned()]));
        assert_eq!(memory.recall("a"), Remembered::default());
    }
}

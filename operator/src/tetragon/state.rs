//! What the controller remembers of each DaemonSet between reconciles: the results of its writes,
//! and what it saw of the agents.
//!
//! The state does not decide what is ours (the DaemonSet's label does), so a restart of the
//! operator, which forgets it, neither removes nor leaves behind a mount.

use std::collections::HashMap;

use k8s_openapi::api::apps::v1::DaemonSet;
use kube::ResourceExt;
use lsm_ready_crds::ConditionReason;
use parking_lot::{Mutex, MutexGuard};
use tokio::time::Instant;

use super::gate::Gate;
use super::revert_backoff::RevertBackoff;
use super::rollout::downtime::Disruption;
use super::rollout::pods::PodSurvey;
use super::rollout::progress::Progress;
use super::stale::Stale;
use super::write::{Error, Write};
use crate::watch::key::DaemonSetKey;

/// The state of every DaemonSet that has one.
#[derive(Debug, Default)]
pub struct Memory(Mutex<HashMap<DaemonSetKey, Remembered>>);

/// The state of one DaemonSet, and the UID of the DaemonSet that it is about.
#[derive(Debug, Eq, PartialEq)]
struct Remembered {
    uid: Option<String>,
    state: DaemonSetState,
}

/// What is remembered of one DaemonSet.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct DaemonSetState {
    /// The reverts of our mount, and the pause that follows from them.
    pub reverts: RevertBackoff,
    /// Why the newest write failed. None when it succeeded, or when nothing is to be written any
    /// more.
    pub failure: Option<Failure>,
    /// The resourceVersion after our newest write. An object with an older one does not show that
    /// write yet.
    pub written: Option<String>,
    /// Our label stayed when everything of ours was removed: another manager sets it.
    pub label_is_theirs: bool,
    /// The gate, where it was closed when something should have been written.
    pub gate: Gate,
    /// The newest survey of the agents' pods, while a rollout goes on.
    pub survey: Option<PodSurvey>,
    /// What was done about stale agents.
    pub stale: Stale,
    /// The restart of agents that we caused, until it is over.
    pub disruption: Option<Disruption>,
    /// Which agent could not be created with our mount, and why, as long as the mount that was
    /// taken back is not added again.
    pub taken_back: Option<String>,
}

/// A write that failed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Failure {
    /// The condition's reason.
    pub reason: ConditionReason,
    /// What happened and what to do about it.
    pub message: String,
    /// The write fails until somebody changes something. Otherwise the next try may succeed.
    pub lasting: bool,
    /// The write that failed.
    pub write: Write,
    /// The generation that the DaemonSet had.
    pub generation: Option<i64>,
    /// When it was tried.
    pub tried: Instant,
}

/// A write to a DaemonSet, as it was tried.
#[derive(Clone, Copy, Debug)]
pub struct Attempt<'a> {
    /// The write.
    pub write: &'a Write,
    /// The DaemonSet before the write.
    pub daemon_set: &'a DaemonSet,
    /// When it was tried.
    pub at: Instant,
}

impl Attempt<'_> {
    /// The write fails until somebody changes something.
    pub fn refused(self, reason: ConditionReason, message: &str) -> Failure {
        Failure {
            reason,
            message: message.to_owned(),
            lasting: true,
            write: self.write.clone(),
            generation: self.daemon_set.metadata.generation,
            tried: self.at,
        }
    }

    /// The next try may succeed.
    pub fn failed(self, error: &Error) -> Failure {
        let message = format!("{error}; lsm-ready tries again");
        Failure { lasting: false, ..self.refused(ConditionReason::ApplyFailed, &message) }
    }
}

impl Memory {
    /// The state of that DaemonSet. A DaemonSet made anew under an old name has none.
    pub fn recall(&self, daemon_set: &DaemonSet) -> DaemonSetState {
        let all = self.lock();
        let remembered = all.get(&DaemonSetKey::of(daemon_set));
        let own = remembered.filter(|remembered| remembered.uid == daemon_set.uid());
        own.map(|remembered| remembered.state.clone()).unwrap_or_default()
    }

    /// Remembers the state. Returns whether it differs from the one before.
    pub fn remember(&self, daemon_set: &DaemonSet, state: DaemonSetState) -> bool {
        let key = DaemonSetKey::of(daemon_set);
        let mut all = self.lock();
        if state == DaemonSetState::default() {
            return all.remove(&key).is_some();
        }
        let new = Remembered { uid: daemon_set.uid(), state };
        if all.get(&key) == Some(&new) {
            return false;
        }
        all.insert(key, new);
        true
    }

    /// Forgets every DaemonSet that does not exist.
    pub fn retain(&self, exists: impl Fn(&DaemonSetKey) -> bool) {
        self.lock().retain(|key, _| exists(key));
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<DaemonSetKey, Remembered>> {
        self.0.lock()
    }
}

impl DaemonSetState {
    /// The agent that our mount holds up, in that rollout.
    pub fn blame(&self, rollout: &Progress) -> Option<&str> {
        self.survey.as_ref()?.blame(rollout)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn daemon_set(name: &str, uid: &str) -> DaemonSet {
        serde_json::from_value(json!({"metadata": {"namespace": "a", "name": name, "uid": uid}}))
            .unwrap()
    }

    fn written() -> DaemonSetState {
        DaemonSetState { written: Some("7".into()), ..DaemonSetState::default() }
    }

    #[test]
    fn only_a_changed_state_is_news() {
        let (memory, own) = (Memory::default(), daemon_set("tetragon", "1"));
        assert!(!memory.remember(&own, DaemonSetState::default()));
        assert!(memory.remember(&own, written()));
        assert!(!memory.remember(&own, written()));
        assert_eq!(memory.recall(&own), written());
        assert!(memory.remember(&own, DaemonSetState::default()));
        assert!(!memory.remember(&own, DaemonSetState::default()));
    }

    #[test]
    fn a_daemon_set_made_anew_has_no_state() {
        let memory = Memory::default();
        memory.remember(&daemon_set("tetragon", "1"), written());
        assert_eq!(memory.recall(&daemon_set("tetragon", "2")), DaemonSetState::default());
    }

    #[test]
    fn a_daemon_set_that_is_gone_is_forgotten() {
        let memory = Memory::default();
        let (gone, there) = (daemon_set("gone", "1"), daemon_set("there", "2"));
        memory.remember(&gone, written());
        memory.remember(&there, written());
        memory.retain(|key| key.name == "there");
        assert_eq!(memory.recall(&gone), DaemonSetState::default());
        assert_eq!(memory.recall(&there), written());
        assert_eq!(memory.lock().len(), 1);
    }
}

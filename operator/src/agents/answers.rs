//! What the agents have answered, in memory only: after a restart of the operator they are asked
//! again.
//!
//! Agents with equal answers share one copy, so the size depends on the number of different
//! answers. Agents that no policy wants asked any more are forgotten.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::time::Instant;

use super::polling::{self, Due, LoadErrors, PATIENCE, Poll, PollState, Reply, Trigger};
use super::target::Target;
use crate::tetragon_client::Answer;
use crate::watch::key::DaemonSetKey;

/// The answers of all agents.
#[derive(Debug, Default)]
pub struct Answers(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    agents: BTreeMap<Target, PollState>,
    shared: HashSet<Arc<Answer>>,
    rollouts: HashMap<DaemonSetKey, Rollout>,
}

/// The last change of a DaemonSet's counts.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Rollout {
    counts: String,
    since: Instant,
}

/// The last reply of one agent.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct LastReply {
    pub reply: Reply,
    /// The agent was asked after the last change, and its reply will not change by itself.
    pub is_final: bool,
    /// The agent has answered less than twice since the operator started.
    pub is_first: bool,
}

/// What a poll changes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Changes {
    /// A condition may change.
    pub condition: bool,
    /// The agent's load errors began or ended.
    pub load_errors: bool,
}

impl Answers {
    /// The last reply of that agent in the boot of the trigger.
    pub fn last_reply(&self, target: &Target, trigger: &Trigger) -> Option<LastReply> {
        let inner = self.0.lock();
        let state =
            inner.agents.get(target).filter(|state| state.trigger.boot_id == trigger.boot_id)?;
        Some(LastReply {
            reply: state.reply.clone(),
            is_final: state.is_final && state.trigger == *trigger,
            is_first: state.reply.is_ok() && state.answers < 2,
        })
    }

    /// Since when the agent of that DaemonSet on that node reports policies in an error state, in
    /// that boot. `None` if its newest answer reports none, or if it was not asked.
    pub fn load_errors(
        &self,
        daemon_set: &DaemonSetKey,
        node: &str,
        boot_id: &str,
    ) -> Option<LoadErrors> {
        let inner = self.0.lock();
        let from_first = inner.agents.range(Target::first_of(node, daemon_set)..);
        let mut of_node = from_first
            .take_while(|(target, _)| target.node == node && target.daemon_set == *daemon_set);
        of_node
            .find_map(|(_, state)| state.load_errors.filter(|_| state.trigger.boot_id == boot_id))
    }

    /// See [`polling::due`].
    pub fn due(&self, target: &Target, trigger: &Trigger, now: Instant) -> Option<Due> {
        polling::due(self.0.lock().agents.get(target), trigger, now)
    }

    /// Remembers a poll.
    pub fn record(&self, target: &Target, poll: &Poll) -> Changes {
        let mut inner = self.0.lock();
        let before = inner.agents.get(target);
        let mut state = PollState::after(before, poll);
        let had_load_errors = before.is_some_and(|before| before.load_errors.is_some());
        let changes = Changes {
            condition: state.is_news(before),
            load_errors: state.load_errors.is_some() != had_load_errors,
        };
        if let Ok(reply) = &mut state.reply {
            match inner.shared.get(&reply.answer) {
                Some(shared) => reply.answer = shared.clone(),
                None => drop(inner.shared.insert(reply.answer.clone())),
            }
        }
        inner.agents.insert(target.clone(), state);
        changes
    }

    /// Forgets the agents that are not wanted any more, their DaemonSets, and unused answers.
    pub fn retain(&self, is_wanted: impl Fn(&Target) -> bool) {
        let mut inner = self.0.lock();
        let Inner { agents, shared, rollouts } = &mut *inner;
        agents.retain(|target, _| is_wanted(target));
        // The set itself holds one reference.
        shared.retain(|answer| Arc::strong_count(answer) > 1);
        let used: HashSet<&DaemonSetKey> = agents.keys().map(|target| &target.daemon_set).collect();
        rollouts.retain(|key, _| used.contains(key));
    }

    /// Notes the counts of a DaemonSet's agents. A change means that agents start or stop.
    pub fn note_rollout(&self, key: &DaemonSetKey, counts: String, now: Instant) {
        let mut inner = self.0.lock();
        if inner.rollouts.get(key).is_none_or(|before| before.counts != counts) {
            inner.rollouts.insert(key.clone(), Rollout { counts, since: now });
        }
    }

    /// Whether agents of that DaemonSet may have started within the last minute.
    pub fn may_have_started(&self, key: &DaemonSetKey, now: Instant) -> bool {
        let inner = self.0.lock();
        inner.rollouts.get(key).is_none_or(|rollout| now.duration_since(rollout.since) < PATIENCE)
    }

    #[cfg(test)]
    pub(super) fn sizes(&self) -> Sizes {
        let inner = self.0.lock();
        Sizes {
            agents: inner.agents.len(),
            different_answers: inner.shared.len(),
            rollouts: inner.rollouts.len(),
        }
    }
}

/// How much is remembered.
#[cfg(test)]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Sizes {
    pub agents: usize,
    pub different_answers: usize,
    pub rollouts: usize,
}

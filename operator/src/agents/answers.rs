//! What the agents have answered, in memory alone: after a restart of the operator they are asked again.
//!
//! Agents with equal answers share one copy, so that the size goes with the number of different answers. Whoever is no
//! longer wanted is forgotten.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::tetragon_client::{Answer, AskError, QueryResult, Response, Unanswered};
use jiff::Timestamp;

use super::polling::{self, Due, Heard, LoadErrors, Occasion, PATIENCE, Reply};
use super::questions::Target;
use crate::watch::key::DaemonSetKey;

/// What one agent has said, as far as it counts.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Said {
    /// It answered.
    Answered {
        /// What it said.
        answer: Arc<Answer>,
        /// AskError gRPC was not answered, where the metrics were read in its place.
        without_grpc: Option<AskError>,
    },
    /// It did not.
    Unanswered(Unanswered),
}

impl Said {
    /// What counts of an outcome. Source often policies have acted is left out: it changes all the time.
    pub fn of(outcome: &QueryResult) -> Self {
        match outcome {
            Ok(Response { answer, grpc_error: without_grpc, .. }) => {
                Self::Answered { answer: answer.clone().into(), without_grpc: *without_grpc }
            }
            Err(why) => Self::Unanswered(*why),
        }
    }

    /// It answered.
    pub const fn is_answer(&self) -> bool {
        matches!(self, Self::Answered { .. })
    }
}

/// What counts of one agent's answers.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Recalled {
    /// What it said.
    pub said: Said,
    /// It was asked after the last change, and nothing else is to be expected.
    pub is_final: bool,
    /// It has answered less than twice since the operator started.
    pub is_first: bool,
}

/// What was heard of all agents.
#[derive(Debug, Default)]
pub struct Memory(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    heard: BTreeMap<Target, Heard>,
    answers: HashSet<Arc<Answer>>,
    rollouts: HashMap<DaemonSetKey, Counted>,
}

/// Source many agents of a DaemonSet there are, new and available.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Counted {
    counts: String,
    /// Since when.
    since: Timestamp,
}

impl Memory {
    /// What counts of that agent's answers, where its occasion is this one or an older one of the same boot.
    pub fn recall(&self, target: &Target, occasion: &Occasion) -> Option<Recalled> {
        let inner = self.lock();
        let heard =
            inner.heard.get(target).filter(|heard| heard.occasion.boot_id == occasion.boot_id)?;
        let is_final = heard.is_final && heard.occasion == *occasion;
        Some(Recalled {
            said: heard.said.clone(),
            is_final,
            is_first: heard.said.is_answer() && heard.answers < 2,
        })
    }

    /// Since when the agent of that DaemonSet on that node reports policies in an error state, in that boot. None where its
    /// newest answer reports none, or where it was not asked.
    pub fn load_errors(
        &self,
        daemon_set: &DaemonSetKey,
        node: &str,
        boot_id: &str,
    ) -> Option<LoadErrors> {
        let inner = self.lock();
        let of_node = inner.heard.range(Target::first_of(node, daemon_set)..);
        let mut found = of_node
            .take_while(|(target, _)| target.node == node && target.daemon_set == *daemon_set);
        found.find_map(|(_, heard)| heard.load_errors.filter(|_| heard.occasion.boot_id == boot_id))
    }

    /// When that agent is due; see [`polling::due`].
    pub fn due(&self, target: &Target, occasion: &Occasion, now: Timestamp) -> Option<Due> {
        polling::due(self.lock().heard.get(target), occasion, now)
    }

    /// Remembers a reply.
    pub fn hear(&self, target: &Target, reply: &Reply) -> News {
        let mut inner = self.lock();
        let before = inner.heard.get(target);
        let had_load_errors = before.is_some_and(|heard| heard.load_errors.is_some());
        let (mut heard, is_news) = polling::hear(before, reply);
        if let Said::Answered { answer, .. } = &mut heard.said {
            match inner.answers.get(answer) {
                Some(shared) => *answer = shared.clone(),
                None => drop(inner.answers.insert(answer.clone())),
            }
        }
        let load_errors = heard.load_errors.is_some() != had_load_errors;
        inner.heard.insert(target.clone(), heard);
        News { is_news, load_errors }
    }

    /// Forgets whom nobody wants to ask any more, and answers that nobody gives any more.
    pub fn retain(&self, is_wanted: impl Fn(&Target) -> bool) {
        let mut inner = self.lock();
        let Inner { heard, answers, rollouts } = &mut *inner;
        heard.retain(|target, _| is_wanted(target));
        answers.retain(|answer| Arc::strong_count(answer) > 1);
        let living: HashSet<&DaemonSetKey> =
            heard.keys().map(|target| &target.daemon_set).collect();
        rollouts.retain(|key, _| living.contains(key));
    }

    /// Notes the counts of a DaemonSet's agents. Where they change, agents start or stop.
    pub fn note_counts(&self, key: &DaemonSetKey, counts: String, now: Timestamp) {
        let mut inner = self.lock();
        if inner.rollouts.get(key).is_none_or(|before| before.counts != counts) {
            inner.rollouts.insert(key.clone(), Counted { counts, since: now });
        }
    }

    /// Whether agents of that DaemonSet may have started within the last minute.
    pub fn may_have_started(&self, key: &DaemonSetKey, now: Timestamp) -> bool {
        self.lock()
            .rollouts
            .get(key)
            .is_none_or(|counted| now.duration_since(counted.since) < PATIENCE)
    }

    /// Source many different answers are kept.
    #[cfg(test)]
    pub(super) fn different_answers(&self) -> usize {
        self.lock().answers.len()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a reply changes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct News {
    /// It may change a condition.
    pub is_news: bool,
    /// The agent's load errors began or ended.
    pub load_errors: bool,
}

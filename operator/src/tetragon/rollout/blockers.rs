//! What holds up the agents of a DaemonSet: the pods' problems by kind, counted, with the first
//! three of each.
//!
//! In: the agents, and the rollout, which names the present pod template. Out: a summary whose size
//! does not grow with the cluster, and phrases for the condition.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use lsm_ready_crds::first_n;

use super::agents::{Agent, Problem, ProblemKind};
use super::progress::Progress;

/// The problems of a DaemonSet's agents, by kind.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Blockers(BTreeMap<ProblemKind, Group>);

/// The agents with one kind of problem.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Group {
    /// The number of agents.
    pub count: usize,
    /// The first problems, by node.
    pub sample: Vec<Problem>,
}

impl Blockers {
    /// The problems of the agents of the present pod template, and of pods of any template that
    /// should be gone. An agent of an older template that is not available is replaced at once,
    /// whatever its problem.
    pub fn of(rollout: &Progress, agents: &[Agent], now: Timestamp) -> Self {
        let present = PresentTemplate::of(rollout, agents);
        let mut blockers = Self::default();
        for agent in agents.iter().filter(|agent| agent.gone_by.is_some() || present.made(agent)) {
            if let Some(problem) = agent.problem(now) {
                blockers.0.entry(problem.kind).or_default().add(problem);
            }
        }
        blockers
    }

    /// The agents with that kind of problem.
    pub fn group(&self, kind: ProblemKind) -> Option<&Group> {
        self.0.get(&kind)
    }

    /// The worst kind of problem that does not end without help.
    pub fn worst(&self) -> Option<(ProblemKind, &Group)> {
        self.0
            .iter()
            .map(|(kind, group)| (*kind, group))
            .find(|(kind, _)| *kind != ProblemKind::Unavailable)
    }
}

impl Group {
    fn add(&mut self, problem: Problem) {
        self.count += 1;
        first_n::insert(&mut self.sample, problem, |a, b| (&a.node, &a.pod) < (&b.node, &b.pod));
    }

    /// `on n1 (pod tetragon-x): …; on n2 …; and 4 more`
    pub fn words(&self) -> String {
        let mut words: Vec<String> = self.sample.iter().map(Problem::words).collect();
        let more = self.count - self.sample.len();
        if more > 0 {
            words.push(format!("and {more} more"));
        }
        words.join("; ")
    }
}

/// Recognises the pods that were made from the DaemonSet's present pod template.
pub(super) struct PresentTemplate {
    generation: Option<String>,
    revisions: BTreeSet<String>,
    matches_all: bool,
}

impl PresentTemplate {
    /// A rollback takes up an older revision again, and the pods of that revision keep their older
    /// generation. So a pod is of the present template when its generation is, or when its revision
    /// is that of such a pod.
    pub(super) fn of(rollout: &Progress, agents: &[Agent]) -> Self {
        let generation = rollout.template.clone();
        let made = agents.iter().filter(|agent| agent.template == generation);
        let revisions: BTreeSet<String> = made.filter_map(|agent| agent.revision.clone()).collect();
        // The DaemonSet controller counts updated pods, but no pod has the present generation: a
        // rollback of which the revision is not known. Every pod counts then.
        let is_updated = rollout.counts.is_some_and(|counts| counts.updated > 0);
        let is_rollback = revisions.is_empty() && is_updated;
        Self { matches_all: generation.is_none() || is_rollback, generation, revisions }
    }

    pub(super) fn made(&self, agent: &Agent) -> bool {
        let is_of_revision =
            || agent.revision.as_ref().is_some_and(|revision| self.revisions.contains(revision));
        self.matches_all || agent.template == self.generation || is_of_revision()
    }
}

//! What holds up the agents of a DaemonSet, by kind: the pods' troubles, counted, with the first three of each.
//!
//! In: the agents, and the DaemonSet for which template is the present one. Out: a summary whose size does not grow with
//! the cluster, and sentences for the condition.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::DaemonSet;
use kube::ResourceExt;
use lsm_ready_crds::first_n;

use super::agents::{Agent, Kind, Trouble};

/// Where the API server counts the template generations of a DaemonSet.
pub const TEMPLATE_ANNOTATION: &str = "deprecated.daemonset.template.generation";

/// What holds agents up.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Held(BTreeMap<Kind, Group>);

/// The agents with one kind of trouble.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Group {
    /// How many they are.
    pub count: usize,
    /// The first of them, by node.
    pub sample: Vec<Trouble>,
}

impl Held {
    /// What holds up the agents of the present template, and pods of any template that should be gone. An agent of an
    /// older template that is not available is replaced at once, whatever ails it.
    pub fn of(daemon_set: &DaemonSet, agents: &[Agent], now: Timestamp) -> Self {
        let present = Present::of(daemon_set, agents);
        let mut held = Self::default();
        for agent in agents.iter().filter(|agent| agent.gone_by.is_some() || present.made(agent)) {
            if let Some(trouble) = agent.trouble(now) {
                held.0.entry(trouble.kind).or_default().add(trouble);
            }
        }
        held
    }

    /// The agents with that kind of trouble.
    pub fn group(&self, kind: Kind) -> Option<&Group> {
        self.0.get(&kind)
    }

    /// The worst kind of those that nobody but a person ends.
    pub fn worst(&self) -> Option<(Kind, &Group)> {
        self.0
            .iter()
            .map(|(kind, group)| (*kind, group))
            .find(|(kind, _)| *kind != Kind::Unavailable)
    }
}

impl Group {
    fn add(&mut self, trouble: Trouble) {
        self.count += 1;
        first_n::insert(&mut self.sample, trouble, |a, b| (&a.node, &a.pod) < (&b.node, &b.pod));
    }

    /// `on n1 (pod tetragon-x): …; on n2 …; and 4 more`
    pub fn words(&self) -> String {
        let mut words: Vec<String> = self.sample.iter().map(Trouble::words).collect();
        let more = self.count - self.sample.len();
        if more > 0 {
            words.push(format!("and {more} more"));
        }
        words.join("; ")
    }
}

impl Trouble {
    /// `on n1 (pod tetragon-x, container tetragon): …`
    pub fn words(&self) -> String {
        let node = if self.node.is_empty() {
            "on no node".to_owned()
        } else {
            format!("on {}", self.node)
        };
        let container =
            self.container.as_ref().map(|name| format!(", container {name}")).unwrap_or_default();
        format!("{node} (pod {}{container}): {}", self.pod, self.said)
    }
}

/// How the pods of the present template are told.
pub(super) struct Present {
    template: Option<String>,
    revisions: BTreeSet<String>,
    all: bool,
}

impl Present {
    /// A rollback takes up an older revision again, whose pods keep the older generation: so a pod is of the present
    /// template when its generation is, or its revision is that of such a pod. Where no pod has the present generation
    /// and the DaemonSet controller counts updated ones all the same, it is such a rollback, and none is left out.
    pub(super) fn of(daemon_set: &DaemonSet, agents: &[Agent]) -> Self {
        let template = template(daemon_set);
        let made = agents.iter().filter(|agent| agent.template == template);
        let revisions: BTreeSet<String> = made.filter_map(|agent| agent.revision.clone()).collect();
        let updated = daemon_set.status.as_ref().and_then(|status| status.updated_number_scheduled);
        let all = template.is_none() || revisions.is_empty() && updated.unwrap_or_default() > 0;
        Self { template, revisions, all }
    }

    pub(super) fn made(&self, agent: &Agent) -> bool {
        let is_of_revision =
            || agent.revision.as_ref().is_some_and(|revision| self.revisions.contains(revision));
        self.all || agent.template == self.template || is_of_revision()
    }
}

/// The DaemonSet's present template generation.
pub fn template(daemon_set: &DaemonSet) -> Option<String> {
    daemon_set.annotations().get(TEMPLATE_ANNOTATION).cloned()
}

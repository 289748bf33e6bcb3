//! The condition `TracingPoliciesEnforced`, from what the agents of one `LsmPolicy`'s nodes say. Pure.
//!
//! In: for each selected node with an agent, whether it is proved ready, which TracingPolicies are for it, and what its
//! agent has said. Out: the condition. It does not depend on the order of the nodes, and its size does not depend on
//! their number. Nodes with equal answers are judged once.
//!
//! True is said only where each agent was asked after the last change and answered twice, and every policy that is for
//! its node is enabled and enforces there.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use crate::tetragon_client::{Answer, AskError, PolicyName, Unanswered};
use lsm_ready_crds::State;

use super::answers::{Recalled, Said};
use super::catalogue::Catalogue;
use super::comparison::{Finding, Found, Scope};
use super::node_names::Names;
use super::summary::{Kind, Summary};
use crate::tracing_policies::expectation::Place;

/// What the answers are judged by.
#[derive(Debug)]
pub struct Terms<'a> {
    /// The policies in the cluster.
    pub catalogue: &'a Catalogue<'a>,
    /// Which of them the `LsmPolicy` is about, in the catalogue's order.
    pub judged: Vec<bool>,
    /// They were chosen by `spec.require.tracingPolicies`.
    pub chosen: bool,
    /// See [`Scope::has_modes`].
    pub has_modes: bool,
}

/// The answers of the agents of one policy's nodes.
#[derive(Debug)]
pub struct Judgement<'a> {
    terms: Terms<'a>,
    groups: HashMap<Key, Group>,
    summary: Summary,
}

/// Nodes with equal keys are judged alike.
#[derive(Debug, Eq, Hash, PartialEq)]
struct Key {
    places: Vec<Place>,
    /// The address of the answer, which agents with equal answers share.
    answer: usize,
    is_proved: bool,
    is_final: bool,
}

#[derive(Debug)]
struct Group {
    answer: Arc<Answer>,
    nodes: Names,
}

/// One selected node with an agent.
#[derive(Debug)]
pub struct NodeView<'a> {
    /// Its name.
    pub name: &'a str,
    /// Whether it is proved ready.
    pub verdict: State,
    /// Where the catalogue's policies are, as seen from it.
    pub places: Vec<Place>,
    /// What its agent has said in this boot.
    pub said: Option<Recalled>,
}

impl<'a> Judgement<'a> {
    /// No node is counted yet.
    pub fn by(terms: Terms<'a>) -> Self {
        Self { terms, groups: HashMap::new(), summary: Summary::default() }
    }

    /// StateCounts a node whose agent cannot be asked.
    pub fn cannot_ask(&mut self, node: &str, why: AskError) {
        self.summary.nodes += 1;
        let why = Unanswered { grpc: None, metrics: Some(why) };
        self.summary.silent.entry(why).or_default().add(node);
    }

    /// StateCounts one node.
    pub fn add(&mut self, node: NodeView<'_>) {
        self.summary.nodes += 1;
        let Some(said) = node.said else {
            self.summary.pending += 1;
            return self.summary.asking.add(node.name);
        };
        self.summary.pending += usize::from(said.is_first);
        let (answer, without_grpc) = match said.said {
            Said::Unanswered(why) => {
                let silent = if said.is_final {
                    &mut self.summary.silent
                } else {
                    &mut self.summary.starting
                };
                return silent.entry(why).or_default().add(node.name);
            }
            Said::Answered { answer, without_grpc } => (answer, without_grpc),
        };
        self.summary.without_grpc = self.summary.without_grpc.max(without_grpc);
        let key = Key {
            places: node.places,
            answer: Arc::as_ptr(&answer).addr(),
            is_proved: node.verdict == State::Ready,
            is_final: said.is_final,
        };
        let group = || Group { answer, nodes: Names::default() };
        self.groups.entry(key).or_insert_with(group).nodes.add(node.name);
    }

    /// What all of that comes to.
    pub fn summary(self) -> Summary {
        let Terms { catalogue, judged, chosen, has_modes } = &self.terms;
        let scope = Scope { catalogue, judged, chosen: *chosen, has_modes: *has_modes };
        let mut summary = self.summary;
        for (key, group) in &self.groups {
            summarise(&mut summary, scope, key, &group.answer, &group.nodes);
        }
        summary
    }
}

/// Adds what nodes with that key and answer come to.
fn summarise(summary: &mut Summary, scope: Scope<'_>, key: &Key, answer: &Answer, nodes: &Names) {
    let findings = scope.findings(&key.places, answer);
    let mut is_fine = true;
    for finding in &findings {
        match Kind::of(finding.found, key.is_proved, key.is_final) {
            Some(kind) => {
                is_fine = false;
                summary.found(kind, finding, nodes);
            }
            None => fine(summary, finding),
        }
    }
    if is_fine && !key.is_final {
        summary.asking.merge(nodes);
    }
    for name in others(scope, answer) {
        summary.other(name);
    }
}

fn fine(summary: &mut Summary, finding: &Finding<'_>) {
    let policies = match finding.found {
        Found::Denying => &mut summary.denying,
        _ => &mut summary.observing,
    };
    policies.extend(finding.policy.cloned());
}

/// The policies that the agent has and the cluster has not.
fn others<'a>(scope: Scope<'a>, answer: &'a Answer) -> BTreeSet<&'a PolicyName> {
    let named = answer.policies.keys().chain(answer.named.iter().flatten());
    let unknown = named.filter(|name| !scope.catalogue.has(name));
    unknown.chain(answer.local.keys().map(|local| &local.policy)).collect()
}

#[cfg(test)]
mod tests;

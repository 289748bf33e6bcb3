//! Groups the nodes of one `LsmPolicy` by the answers of their agents. Pure.
//!
//! In: for each selected node with an agent, its verdict, which TracingPolicies are for it, and the
//! last reply of its agent. Out: a [`Summary`]. It does not depend on the order of the nodes, and
//! its size does not depend on their number. Nodes with equal answers are compared once.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use lsm_ready_crds::State;

use super::answers::LastReply;
use super::comparison::{Comparison, PolicyEffect};
use super::effect::Effect;
use super::node_names::NodeNames;
use super::summary::Summary;
use crate::tetragon_client::{Answer, AskError, PolicyName, Unanswered};
use crate::tracing_policies::expectation::Placement;

/// The replies of the agents of one policy's nodes.
#[derive(Debug)]
pub struct AnswerGroups<'a> {
    comparison: Comparison<'a>,
    groups: HashMap<GroupKey, Group>,
    summary: Summary,
}

/// Nodes with equal keys give equal results.
#[derive(Debug, Eq, Hash, PartialEq)]
struct GroupKey {
    placements: Vec<Placement>,
    /// The memory address of the answer. Agents with equal answers share one copy.
    answer: usize,
    is_ready: bool,
    is_final: bool,
}

#[derive(Debug)]
struct Group {
    answer: Arc<Answer>,
    nodes: NodeNames,
}

/// One selected node with an agent.
#[derive(Debug)]
pub struct NodeReply<'a> {
    pub node: &'a str,
    pub verdict: State,
    /// Which TracingPolicies are for the node, in the order of the catalogue.
    pub placements: Vec<Placement>,
    /// `None` if the agent was not asked in this boot.
    pub last: Option<LastReply>,
}

impl<'a> AnswerGroups<'a> {
    pub fn new(comparison: Comparison<'a>) -> Self {
        Self { comparison, groups: HashMap::new(), summary: Summary::default() }
    }

    /// Adds a node whose agent cannot be asked.
    pub fn add_unreachable(&mut self, node: &str, error: AskError) {
        self.summary.nodes += 1;
        let unanswered = Unanswered { grpc: None, metrics: Some(error) };
        self.summary.silent.entry(unanswered).or_default().add(node);
    }

    pub fn add(&mut self, node: NodeReply<'_>) {
        self.summary.nodes += 1;
        let Some(last) = node.last else {
            self.summary.pending += 1;
            return self.summary.unconfirmed.add(node.node);
        };
        self.summary.pending += usize::from(last.is_first);
        let shared = match last.reply {
            Ok(shared) => shared,
            Err(unanswered) => {
                let summary = &mut self.summary;
                let silent =
                    if last.is_final { &mut summary.silent } else { &mut summary.starting };
                return silent.entry(unanswered).or_default().add(node.node);
            }
        };
        self.summary.grpc_error = self.summary.grpc_error.max(shared.grpc_error);
        let key = GroupKey {
            placements: node.placements,
            answer: Arc::as_ptr(&shared.answer).addr(),
            is_ready: node.verdict == State::Ready,
            is_final: last.is_final,
        };
        let group = || Group { answer: shared.answer, nodes: NodeNames::default() };
        self.groups.entry(key).or_insert_with(group).nodes.add(node.node);
    }

    /// The result over all nodes.
    pub fn summary(self) -> Summary {
        let mut summary = self.summary;
        for (key, group) in &self.groups {
            add_group(&mut summary, &self.comparison, key, group);
        }
        summary
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.groups.len()
    }
}

fn add_group(summary: &mut Summary, comparison: &Comparison<'_>, key: &GroupKey, group: &Group) {
    let Group { answer, nodes } = group;
    let mut has_problem = false;
    for found in comparison.effects(&key.placements, answer) {
        let PolicyEffect { effect, policy, status } = found;
        match effect {
            Effect::Denies => summary.denying.extend(policy.cloned()),
            Effect::Observes => summary.observing.extend(policy.cloned()),
            Effect::Problem(problem) => {
                has_problem = true;
                let problem = problem.on_node(key.is_ready, key.is_final);
                summary.add_problem(problem, policy, status, nodes);
            }
        }
    }
    if !has_problem && !key.is_final {
        summary.unconfirmed.merge(nodes);
    }
    for name in not_in_cluster(comparison, answer) {
        summary.add_other(name);
    }
}

/// The policies that the agent has and the cluster does not have.
fn not_in_cluster<'s>(comparison: &Comparison<'_>, answer: &'s Answer) -> BTreeSet<&'s PolicyName> {
    let listed = answer.policies.keys().chain(answer.named.iter().flatten());
    let unknown = listed.filter(|name| !comparison.catalogue.has(name));
    unknown.chain(answer.local.keys().map(|local| &local.policy)).collect()
}

//! Which agents are asked: those on the selected nodes of each policy with `spec.tetragon.agents`.

use std::collections::BTreeMap;

use kube::ResourceExt;
use lsm_ready_crds::selection::Selection;

use super::catalogue::Catalogue;
use super::policy_agents::PolicyAgents;
use super::polling::Trigger;
use super::target::Target;
use crate::context::Context;
use crate::tracing_policies::expectation::Placement;

/// What is asked of one agent.
#[derive(Debug, Eq, PartialEq)]
pub struct Question {
    pub trigger: Trigger,
    /// Which TracingPolicies are for the node, in the order of the catalogue.
    pub placements: Vec<Placement>,
    /// The `LsmPolicies` that need the answer.
    pub policies: Vec<String>,
}

/// The questions to all agents. An agent that several policies need has one question.
pub fn questions(catalogue: &Catalogue<'_>, ctx: &Context) -> BTreeMap<Target, Question> {
    let mut questions = BTreeMap::new();
    for policy in ctx.stores.policies.state() {
        let Some(PolicyAgents { reachable: Ok(agents), .. }) = PolicyAgents::of(&policy, ctx)
        else {
            continue;
        };
        let Ok(selection) = Selection::of(&policy.spec) else {
            continue;
        };
        for node in ctx.stores.selected(&selection) {
            let Some(Ok(target)) = agents.target(&node) else {
                continue;
            };
            let question = questions.entry(target).or_insert_with(|| {
                let placements = catalogue.placements(node.labels());
                let trigger = agents.trigger(&node, catalogue.digest(&placements), ctx);
                Question { trigger, placements, policies: Vec::new() }
            });
            question.policies.push(policy.name_any());
        }
    }
    questions
}

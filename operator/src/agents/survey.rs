//! Surveys the agents of one policy's nodes, and makes the condition of their replies.

use k8s_openapi::api::core::v1::Node;
use kube::ResourceExt;
use kube::core::{Selector, SelectorExt};
use lsm_ready_crds::conditions::{Finding, TRACING_POLICIES_ENFORCED, find};
use lsm_ready_crds::selection::{InvalidSpec, tracing_policies};
use lsm_ready_crds::text::truncate;
use lsm_ready_crds::{ConditionReason, LsmPolicy, State};

use super::catalogue::Catalogue;
use super::comparison::Comparison;
use super::condition::condition;
use super::endpoints::Unreachable;
use super::groups::{AnswerGroups, NodeReply};
use super::policy_agents::PolicyAgents;
use super::summary::Circumstances;
use crate::context::Context;
use crate::tracing_policies::snapshot::{ReadError, Snapshot};

/// Maximum length of an API server's error in the message, in characters.
const MAX_ERROR: usize = 500;

/// The agents of one policy, and their replies so far.
pub struct AgentSurvey<'a> {
    agents: PolicyAgents,
    snapshot: &'a Snapshot,
    catalogue: &'a Catalogue<'a>,
    not_selected: usize,
    groups: AnswerGroups<'a>,
}

impl<'a> AgentSurvey<'a> {
    /// Starts a survey; `None` for a policy without `spec.tetragon.agents`.
    pub fn start(
        policy: &LsmPolicy,
        snapshot: &'a Snapshot,
        catalogue: &'a Catalogue<'a>,
        ctx: &Context,
    ) -> Result<Option<Self>, InvalidSpec> {
        let Some(agents) = PolicyAgents::of(policy, ctx) else {
            return Ok(None);
        };
        let selector = tracing_policies(&policy.spec)?;
        let matches =
            |labels| selector.as_ref().is_none_or(|selector: &Selector| selector.matches(labels));
        let is_in_question: Vec<bool> =
            catalogue.policies().iter().map(|policy| matches(policy.labels)).collect();
        let not_selected = is_in_question.iter().filter(|in_question| !**in_question).count();
        let groups = AnswerGroups::new(Comparison {
            catalogue,
            is_in_question,
            are_selected: selector.is_some(),
            has_modes: agents.have_modes(),
        });
        Ok(Some(Self { agents, snapshot, catalogue, not_selected, groups }))
    }

    /// Adds the last reply of the agent of a selected Node.
    pub fn add(&mut self, node: &Node, verdict: State, ctx: &Context) {
        let Ok(agents) = &self.agents.reachable else {
            return;
        };
        let name = node.name_any();
        match agents.target(node) {
            // The DaemonSet runs no agent there.
            None => {}
            Some(Err(error)) => self.groups.add_unreachable(&name, error),
            Some(Ok(target)) => {
                let placements = self.catalogue.placements(node.labels());
                let trigger = agents.trigger(node, self.catalogue.digest(&placements), ctx);
                let last = ctx.agents.last_reply(&target, &trigger);
                self.groups.add(NodeReply { node: &name, verdict, placements, last });
            }
        }
    }

    /// The condition.
    pub fn finding(self, policy: &LsmPolicy) -> Finding {
        let PolicyAgents { key, container, reachable } = self.agents;
        let unavailable = match reachable {
            Ok(agents) => agents.unavailable(),
            Err(error) => {
                let (reason, message) = (reason(&error), error.to_string());
                return Finding::new(TRACING_POLICIES_ENFORCED, State::Unknown, reason, message);
            }
        };
        let circumstances = Circumstances {
            daemon_set: key,
            container,
            unavailable,
            unread: unread(self.snapshot),
            not_installed: self.snapshot.not_installed().collect(),
            not_selected: self.not_selected,
            before: condition_in_status(policy),
        };
        condition(&self.groups.summary(), &circumstances)
    }
}

fn reason(error: &Unreachable) -> ConditionReason {
    match error {
        Unreachable::Never => ConditionReason::NotAsked,
        Unreachable::NoDaemonSet(_) => ConditionReason::DaemonSetNotFound,
        Unreachable::NoAgent(refusal) => refusal.reason(),
        Unreachable::TlsFiles(_) => ConditionReason::TlsFiles,
        Unreachable::NoHostNetwork | Unreachable::NodeLocal { .. } => ConditionReason::NotAskable,
    }
}

/// Reason and message, if the TracingPolicies in the cluster are unknown.
fn unread(snapshot: &Snapshot) -> Option<(ConditionReason, String)> {
    if let Some(error @ ReadError::Forbidden(_)) = snapshot.error() {
        return Some((ConditionReason::TracingPoliciesForbidden, error.to_string()));
    }
    let error = snapshot.error().map(ReadError::to_string);
    let error = error.or_else(|| snapshot.unlisted()).or_else(|| snapshot.left_out(true))?;
    Some((ConditionReason::TracingPoliciesUnread, truncate(&error, MAX_ERROR)))
}

/// The condition in the policy's status, if it is of the present spec.
fn condition_in_status(policy: &LsmPolicy) -> Option<Finding> {
    let condition = find(&policy.status.as_ref()?.conditions, TRACING_POLICIES_ENFORCED)?;
    let state = match condition.status.as_str() {
        "True" => State::Ready,
        "False" => State::NotReady,
        _ => State::Unknown,
    };
    let is_of_this_spec = condition.observed_generation == policy.metadata.generation;
    let reason = ConditionReason::from_code(&condition.reason)?;
    is_of_this_spec
        .then(|| Finding::new(TRACING_POLICIES_ENFORCED, state, reason, &condition.message))
}

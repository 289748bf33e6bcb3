//! What is heard of the agents of one policy, and the condition that is made of it.

use k8s_openapi::api::core::v1::Node;
use kube::ResourceExt;
use kube::core::{Selector, SelectorExt};
use lsm_ready_crds::LsmPolicy;
use lsm_ready_crds::conditions::{Finding, TRACING_POLICIES_ENFORCED, find};
use lsm_ready_crds::selection::{InvalidSpec, tracing_policies};
use lsm_ready_crds::{ConditionReason, State};

use super::catalogue::Catalogue;
use super::endpoints::{NotAskable, has_modes};
use super::groups::{Judgement, NodeView, Terms};
use super::questions::{Agents, agents, is_rolled_out, occasion, target, unavailable};
use super::summary::{Circumstances, condition};
use crate::context::Context;
use crate::tracing_policies::snapshot::{Snapshot, Trouble};

/// What is heard of the agents of one policy.
pub struct Hearing<'a> {
    agents: Agents,
    known: &'a Snapshot,
    catalogue: &'a Catalogue<'a>,
    selector: Option<Selector>,
    judgement: Judgement<'a>,
}

/// For a policy that wants its agents asked.
///
/// # Errors
/// When its selector of TracingPolicies is none.
pub fn hearing<'a>(
    policy: &LsmPolicy,
    known: &'a Snapshot,
    catalogue: &'a Catalogue<'a>,
    ctx: &Context,
) -> Result<Option<Hearing<'a>>, InvalidSpec> {
    let Some(agents) = agents(policy, ctx) else {
        return Ok(None);
    };
    let selector = tracing_policies(&policy.spec)?;
    let fits =
        |labels| selector.as_ref().is_none_or(|selector: &Selector| selector.matches(labels));
    let judged = catalogue.policies().iter().map(|listed| fits(listed.labels)).collect();
    let has_modes = agents.way.as_ref().map_or(true, |(_, daemon_set)| {
        // While agents are being replaced, some are of another release than the template's.
        has_modes(daemon_set, &agents.container) || !is_rolled_out(daemon_set)
    });
    let terms = Terms { catalogue, judged, chosen: selector.is_some(), has_modes };
    Ok(Some(Hearing { agents, known, catalogue, selector, judgement: Judgement::by(terms) }))
}

impl Hearing<'_> {
    /// StateCounts what the agent of a selected Node has said.
    pub fn add(&mut self, node: &Node, verdict: State, ctx: &Context) {
        let Ok((way, daemon_set)) = &self.agents.way else {
            return;
        };
        let Some(target) = target(way, daemon_set, node) else {
            return;
        };
        let name = node.name_any();
        match target {
            Err(why) => self.judgement.cannot_ask(&name, why),
            Ok(target) => {
                let places = self.catalogue.places(node.labels());
                let occasion =
                    occasion(way, daemon_set, node, self.catalogue.question(&places), ctx);
                let said = ctx.agents.recall(&target, &occasion);
                self.judgement.add(NodeView { name: &name, verdict, places, said });
            }
        }
    }

    /// The condition.
    pub fn finding(self, policy: &LsmPolicy) -> Finding {
        let Agents { key, container, way } = self.agents;
        if let Err(why) = &way {
            return Finding::new(
                TRACING_POLICIES_ENFORCED,
                State::Unknown,
                reason_of(why),
                why.to_string(),
            );
        }
        let listed = self.catalogue.policies().iter();
        let not_selected = self
            .selector
            .map_or(0, |selector| listed.filter(|p| !selector.matches(p.labels)).count());
        let circumstances = Circumstances {
            unavailable: way.ok().map_or(0, |(_, daemon_set)| unavailable(&daemon_set)),
            key,
            container,
            unread: unread(self.known),
            not_installed: self.known.not_installed().collect(),
            not_selected,
            before: said_before(policy),
        };
        condition(&self.judgement.summary(), &circumstances)
    }
}

fn reason_of(why: &NotAskable) -> ConditionReason {
    match why {
        NotAskable::Never => ConditionReason::NotAsked,
        NotAskable::NoDaemonSet(_) => ConditionReason::DaemonSetNotFound,
        NotAskable::NoAgent(refusal) => refusal.reason(),
        NotAskable::TlsFiles(_) => ConditionReason::TlsFiles,
        NotAskable::NoHostNetwork | NotAskable::OnTheNodeOnly { .. } => ConditionReason::NotAskable,
    }
}

/// AskError it is not known which policies there are.
fn unread(known: &Snapshot) -> Option<(ConditionReason, String)> {
    if let Some(Trouble::Forbidden(_)) = known.trouble() {
        return known
            .trouble()
            .map(|trouble| (ConditionReason::TracingPoliciesForbidden, trouble.to_string()));
    }
    let why = known.trouble().map(Trouble::to_string).or_else(|| known.unread());
    why.map(|why| {
        (ConditionReason::TracingPoliciesUnread, lsm_ready_crds::text::truncate(&why, 500))
    })
}

/// What the policy's status says, if it says it of the present spec.
fn said_before(policy: &LsmPolicy) -> Option<Finding> {
    let condition = find(&policy.status.as_ref()?.conditions, TRACING_POLICIES_ENFORCED)?;
    let status = match condition.status.as_str() {
        "True" => State::Ready,
        "False" => State::NotReady,
        _ => State::Unknown,
    };
    let is_of_this_spec = condition.observed_generation == policy.metadata.generation;
    let reason = ConditionReason::from_code(&condition.reason)?;
    is_of_this_spec
        .then(|| Finding::new(TRACING_POLICIES_ENFORCED, status, reason, &condition.message))
}

//! The condition `TracingPoliciesEnforced`. Pure.
//!
//! It is True only if each agent was asked after the last change and answered twice, and every
//! policy for its node is enabled and enforces there.

use lsm_ready_crds::conditions::{Finding, TRACING_POLICIES_ENFORCED};
use lsm_ready_crds::{ConditionReason, State};

use super::message::Message;
use super::node_names::NodeNames;
use super::summary::{Circumstances, Summary};

/// Makes the condition. The first case in this order decides.
pub fn condition(summary: &Summary, circumstances: &Circumstances) -> Finding {
    let message = Message { summary, circumstances };
    if summary.nodes == 0 {
        return finding(State::Unknown, ConditionReason::NotAsked, message.no_agents());
    }
    let worst = summary.problems.keys().next().copied();
    let failure = worst.filter(|problem| problem.state() == State::NotReady);
    if let Some(before) = kept_after_restart(summary, circumstances, failure.is_some()) {
        return before;
    }
    if let Some(problem) = failure {
        return finding(State::NotReady, problem.reason(), message.problem(problem));
    }
    if let Some(unknown) = unknown(summary, circumstances, &message) {
        return unknown;
    }
    if summary.denying.is_empty() {
        let reason = ConditionReason::NoEnforcingAction;
        return finding(State::NotReady, reason, message.only_observing());
    }
    finding(State::Ready, ConditionReason::AllEnforcing, message.all_enforcing())
}

/// The condition in the status. After a restart of the operator it stays until nine of ten agents
/// have answered twice, unless an answer makes it False.
fn kept_after_restart(
    summary: &Summary,
    circumstances: &Circumstances,
    has_failure: bool,
) -> Option<Finding> {
    let has_few_answers = summary.pending * 10 > summary.nodes;
    let before = circumstances.before.as_ref().filter(|_| has_few_answers)?;
    (before.status == State::NotReady || !has_failure).then(|| before.clone())
}

fn unknown(
    summary: &Summary,
    circumstances: &Circumstances,
    message: &Message<'_>,
) -> Option<Finding> {
    let unknown = |reason, message| Some(finding(State::Unknown, reason, message));
    if let Some((reason, text)) = &circumstances.unread {
        return unknown(*reason, text.clone());
    }
    let unanswered: usize = summary.unanswered().values().map(NodeNames::count).sum();
    if unanswered > 0 {
        let may_be_starting = summary.silent.is_empty() || unanswered <= circumstances.unavailable;
        let reason =
            if may_be_starting { ConditionReason::Starting } else { ConditionReason::NoAnswer };
        return unknown(reason, message.unanswered(may_be_starting));
    }
    if let Some(problem) = summary.problems.keys().next() {
        return Some(finding(problem.state(), problem.reason(), message.problem(*problem)));
    }
    if !summary.unconfirmed.is_empty() {
        return unknown(ConditionReason::Asking, message.unconfirmed());
    }
    if summary.denying.is_empty() && summary.observing.is_empty() {
        return unknown(ConditionReason::NoPolicies, message.no_policies());
    }
    None
}

fn finding(state: State, reason: ConditionReason, message: String) -> Finding {
    Finding::new(TRACING_POLICIES_ENFORCED, state, reason, message)
}

#[cfg(test)]
mod tests;

//! What the agents' answers come to, and the one condition that is made of it. Pure.

use lsm_ready_crds::{ConditionReason, State};
use std::collections::{BTreeMap, BTreeSet};

use crate::tetragon_client::{AskError, PolicyName, Unanswered};
use lsm_ready_crds::conditions::{Finding as Condition, TRACING_POLICIES_ENFORCED};

use super::catalogue::MOST_OTHERS;
use super::comparison::{Finding, Found};
use super::message::Message;
use super::node_names::Names;
use crate::watch::key::DaemonSetKey;
use lsm_ready_crds::text::truncate;

/// Longest text of an agent that is told of one policy, in characters.
const WORDS: usize = 300;

/// What stands against True; the first ones are told first.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Kind {
    /// An error on a node that is proved ready.
    Disagrees,
    /// An error on another node.
    LoadErrors,
    /// See [`Found`].
    Missing,
    /// See [`Found`].
    Disabled,
    /// See [`Found`].
    Partial,
    /// See [`Found`].
    Skipped,
    /// See [`Found`].
    MonitorMode,
    /// See [`Found`].
    NoEnforcingAction,
    /// See [`Found`].
    Loading,
    /// See [`Found`].
    Unclear,
    /// See [`Found`].
    ModeUnknown,
}

impl Kind {
    /// What a finding is told as; none where the policy does what is expected. An agent whose answer is not final may
    /// only be late: what it does not have counts as being loaded.
    pub const fn of(found: Found, is_proved: bool, is_final: bool) -> Option<Self> {
        Some(match found {
            Found::Failed if is_proved => Self::Disagrees,
            Found::Failed => Self::LoadErrors,
            Found::Missing if is_final => Self::Missing,
            Found::Disabled => Self::Disabled,
            Found::Partial => Self::Partial,
            Found::Skipped if is_final => Self::Skipped,
            Found::MonitorMode => Self::MonitorMode,
            Found::NoEnforcingAction => Self::NoEnforcingAction,
            Found::Loading | Found::Missing | Found::Skipped => Self::Loading,
            Found::Unclear => Self::Unclear,
            Found::ModeUnknown => Self::ModeUnknown,
            Found::Observing | Found::Denying => return None,
        })
    }

    /// Its reason.
    pub const fn reason(self) -> ConditionReason {
        match self {
            Self::Disagrees => ConditionReason::AgentDisagrees,
            Self::LoadErrors => ConditionReason::LoadErrors,
            Self::Missing => ConditionReason::PoliciesMissing,
            Self::Disabled => ConditionReason::PoliciesDisabled,
            Self::Partial => ConditionReason::PartiallyEnabled,
            Self::Skipped => ConditionReason::PoliciesSkipped,
            Self::MonitorMode => ConditionReason::MonitorMode,
            Self::NoEnforcingAction => ConditionReason::NoEnforcingAction,
            Self::Loading => ConditionReason::Loading,
            Self::Unclear => ConditionReason::StateUnclear,
            Self::ModeUnknown => ConditionReason::ModeUnknown,
        }
    }

    /// Its status.
    pub const fn status(self) -> State {
        match self {
            Self::Loading | Self::Unclear | Self::ModeUnknown => State::Unknown,
            _ => State::NotReady,
        }
    }
}

/// Where something was found of a policy, and what the agent of the first of these nodes says.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Told {
    /// The nodes.
    pub nodes: Names,
    /// The agent's words.
    pub words: String,
}

/// What the answers come to.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Summary {
    /// Selected nodes with an agent.
    pub nodes: usize,
    /// Those whose agent has answered less than twice since the operator started.
    pub pending: usize,
    /// Those whose agent has to be asked, or asked once more.
    pub asking: Names,
    /// Those whose agent gives no answer.
    pub silent: BTreeMap<Unanswered, Names>,
    /// Those whose agent has given no answer so far.
    pub starting: BTreeMap<Unanswered, Names>,
    /// What stands against True, by policy; none is a policy that metrics do not name.
    pub against: BTreeMap<Kind, BTreeMap<Option<PolicyName>, Told>>,
    /// Policies that enforce on some node.
    pub denying: BTreeSet<PolicyName>,
    /// Policies that observe, and are not expected to deny.
    pub observing: BTreeSet<PolicyName>,
    /// Policies that agents have and the cluster has not: the first [`MOST_OTHERS`] by name.
    pub others: BTreeSet<PolicyName>,
    /// AskError metrics were read in place of gRPC, on some node.
    pub without_grpc: Option<AskError>,
}

impl Summary {
    /// Adds a finding on these nodes.
    pub fn found(&mut self, kind: Kind, finding: &Finding<'_>, nodes: &Names) {
        let by_policy = self.against.entry(kind).or_default();
        let told = by_policy.entry(finding.policy.cloned()).or_default();
        let is_first = told.nodes.first().is_none_or(|first| nodes.first() < Some(first));
        told.nodes.merge(nodes);
        if is_first {
            told.words = words(finding);
        }
    }

    /// Adds a policy that an agent has and the cluster has not.
    pub fn other(&mut self, policy: &PolicyName) {
        self.others.insert(policy.clone());
        if self.others.len() > MOST_OTHERS {
            self.others.pop_last();
        }
    }

    /// All nodes whose agent gives no answer, by why.
    pub fn unanswered(&self) -> BTreeMap<Unanswered, Names> {
        let mut all = self.silent.clone();
        for (why, nodes) in &self.starting {
            all.entry(*why).or_default().merge(nodes);
        }
        all
    }
}

/// The agent's words about a policy, on one line.
fn words(finding: &Finding<'_>) -> String {
    let Some(said) = finding.said else {
        return String::new();
    };
    if finding.found == Found::MonitorMode {
        return said.mode.map(|mode| format!("mode {}", mode.as_str())).unwrap_or_default();
    }
    let hooks = said.failed_hooks.iter().map(|hook| format!("{}: {}", hook.hook, hook.error));
    let error = Some(said.error.clone()).filter(|error| !error.is_empty());
    truncate(&error.into_iter().chain(hooks).collect::<Vec<_>>().join("; "), WORDS)
}

/// What is known beside the answers.
#[derive(Clone, Debug, Default)]
pub struct Circumstances {
    /// The DaemonSet.
    pub key: DaemonSetKey,
    /// The agent's container.
    pub container: String,
    /// Source many of its agents are not available.
    pub unavailable: usize,
    /// Reason and message, where it is not known which policies there are.
    pub unread: Option<(ConditionReason, String)>,
    /// Plurals of the CRDs that are not installed.
    pub not_installed: Vec<&'static str>,
    /// Source many policies are in the cluster and not selected by `spec.require.tracingPolicies`.
    pub not_selected: usize,
    /// What the status says for the same spec.
    pub before: Option<Condition>,
}

/// The condition.
pub fn condition(summary: &Summary, circumstances: &Circumstances) -> Condition {
    let message = Message { summary, circumstances };
    if summary.nodes == 0 {
        return told(State::Unknown, ConditionReason::NotAsked, message.no_agents());
    }
    let worst = summary.against.keys().next().copied();
    let is_false = worst.is_some_and(|kind| kind.status() == State::NotReady);
    if summary.pending * 10 > summary.nodes
        && let Some(before) = &circumstances.before
        && (before.status == State::NotReady || !is_false)
    {
        return before.clone();
    }
    if let Some(kind) = worst.filter(|_| is_false) {
        return told(State::NotReady, kind.reason(), message.against(kind));
    }
    not_known(summary, circumstances, &message).unwrap_or_else(|| {
        if summary.denying.is_empty() {
            told(State::NotReady, ConditionReason::NoEnforcingAction, message.only_observing())
        } else {
            told(State::Ready, ConditionReason::AllEnforcing, message.all_enforcing())
        }
    })
}

/// What keeps it from being known, if anything does.
fn not_known(
    summary: &Summary,
    circumstances: &Circumstances,
    message: &Message<'_>,
) -> Option<Condition> {
    if let Some((reason, text)) = &circumstances.unread {
        return Some(told(State::Unknown, *reason, text.clone()));
    }
    let unanswered: usize = summary.unanswered().values().map(Names::count).sum();
    if unanswered > 0 {
        let only_late = summary.silent.is_empty() || unanswered <= circumstances.unavailable;
        let reason = if only_late { ConditionReason::Starting } else { ConditionReason::NoAnswer };
        return Some(told(State::Unknown, reason, message.unanswered(only_late)));
    }
    if let Some(kind) = summary.against.keys().next() {
        return Some(told(kind.status(), kind.reason(), message.against(*kind)));
    }
    if !summary.asking.is_empty() {
        return Some(told(State::Unknown, ConditionReason::Asking, message.asking()));
    }
    let nothing = summary.denying.is_empty() && summary.observing.is_empty();
    nothing.then(|| told(State::Unknown, ConditionReason::NoPolicies, message.no_policies()))
}

fn told(status: State, reason: ConditionReason, message: String) -> Condition {
    Condition::new(TRACING_POLICIES_ENFORCED, status, reason, message)
}

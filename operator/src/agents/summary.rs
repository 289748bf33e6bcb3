//! What the replies of all agents of one `LsmPolicy` amount to. The condition and its message are
//! made of this.

use std::collections::{BTreeMap, BTreeSet};

use lsm_ready_crds::ConditionReason;
use lsm_ready_crds::conditions::Finding;
use lsm_ready_crds::text::truncate;

use super::catalogue::MAX_OTHERS;
use super::effect::Problem;
use super::node_names::NodeNames;
use crate::tetragon_client::{AskError, PolicyName, PolicyStatus, Unanswered};
use crate::watch::key::DaemonSetKey;

/// Maximum length of an agent's text about one policy, in characters.
const MAX_AGENT_TEXT: usize = 300;

/// What the replies amount to.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Summary {
    /// Number of selected nodes with an agent.
    pub nodes: usize,
    /// Number of nodes whose agent has answered less than twice since the operator started.
    pub pending: usize,
    /// Nodes without a problem whose agent must be asked, or asked again.
    pub unconfirmed: NodeNames,
    /// Nodes whose agent does not answer.
    pub silent: BTreeMap<Unanswered, NodeNames>,
    /// Nodes whose agent has not answered yet, and may still do so.
    pub starting: BTreeMap<Unanswered, NodeNames>,
    /// Problems by policy. The key `None` is a policy that the metrics do not name.
    pub problems: BTreeMap<Problem, BTreeMap<Option<PolicyName>, Occurrences>>,
    /// Policies that enforce on some node.
    pub denying: BTreeSet<PolicyName>,
    /// Policies that observe, and are not expected to deny.
    pub observing: BTreeSet<PolicyName>,
    /// Policies that agents have and the cluster does not have: the first [`MAX_OTHERS`] by name.
    pub others: BTreeSet<PolicyName>,
    /// An error of gRPC on a node whose metrics were read instead.
    pub grpc_error: Option<AskError>,
}

/// The nodes on which a policy has a problem.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Occurrences {
    pub nodes: NodeNames,
    /// The text of the agent on the first of these nodes.
    pub agent_text: String,
}

impl Summary {
    pub fn add_problem(
        &mut self,
        problem: Problem,
        policy: Option<&PolicyName>,
        status: Option<&PolicyStatus>,
        nodes: &NodeNames,
    ) {
        let by_policy = self.problems.entry(problem).or_default();
        let occurrences = by_policy.entry(policy.cloned()).or_default();
        let first = occurrences.nodes.first();
        let is_first = first.is_none_or(|first| nodes.first() < Some(first));
        occurrences.nodes.merge(nodes);
        if is_first {
            occurrences.agent_text = agent_text(problem, status);
        }
    }

    /// Adds a policy that an agent has and the cluster does not have.
    pub fn add_other(&mut self, policy: &PolicyName) {
        self.others.insert(policy.clone());
        if self.others.len() > MAX_OTHERS {
            self.others.pop_last();
        }
    }

    /// All nodes whose agent did not answer, by error.
    pub fn unanswered(&self) -> BTreeMap<Unanswered, NodeNames> {
        let mut all = self.silent.clone();
        for (errors, nodes) in &self.starting {
            all.entry(*errors).or_default().merge(nodes);
        }
        all
    }
}

/// The agent's text about a policy, in one line.
fn agent_text(problem: Problem, status: Option<&PolicyStatus>) -> String {
    let Some(status) = status else {
        return String::new();
    };
    if problem == Problem::MonitorMode {
        return status.mode.map(|mode| format!("mode {}", mode.as_str())).unwrap_or_default();
    }
    let hooks = status.failed_hooks.iter().map(|hook| format!("{}: {}", hook.hook, hook.error));
    let error = Some(status.error.clone()).filter(|error| !error.is_empty());
    let texts: Vec<String> = error.into_iter().chain(hooks).collect();
    truncate(&texts.join("; "), MAX_AGENT_TEXT)
}

/// What the condition needs beside the summary.
#[derive(Clone, Debug, Default)]
pub struct Circumstances {
    pub daemon_set: DaemonSetKey,
    /// Name of the agent's container.
    pub container: String,
    /// How many agents of the DaemonSet are not available.
    pub unavailable: usize,
    /// Reason and message, if the TracingPolicies in the cluster are unknown.
    pub unread: Option<(ConditionReason, String)>,
    /// Plurals of Tetragon's CRDs that are not installed.
    pub not_installed: Vec<&'static str>,
    /// How many TracingPolicies `spec.require.tracingPolicies` does not select.
    pub not_selected: usize,
    /// The condition in the status, if it is of the same spec.
    pub before: Option<Finding>,
}

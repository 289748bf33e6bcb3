//! What the agents' answers mean beside the canary's evidence: the condition `TracingPoliciesLoaded`.
//!
//! In: for each node whose agent is asked, whether it is proved ready and what its agent has said. Out: the condition,
//! of a size that does not depend on the number of nodes, the same in whatever order they come. Pure.
//!
//! An agent that has a policy in an error state on a node that is proved ready is a contradiction: the kernel can, and the
//! agent says that it cannot. On a node that is not ready the error is what was to be expected.

use std::collections::BTreeMap;

use lsm_ready_agents::{Answer, How, NoAnswer, Outcome, State as PolicyState, Why};
use lsm_ready_crds::conditions::{Finding, Status, TRACING_POLICIES_LOADED};
use lsm_ready_crds::sample::{self, SAMPLE};
use lsm_ready_crds::verdict::State;

use super::reason;
use crate::key::DaemonSetKey;

/// The answers of the agents of one policy's nodes.
#[derive(Clone, Debug, Default)]
pub struct Judgement {
    nodes: usize,
    pending: usize,
    has_policies: bool,
    contradicted: Failures,
    expected: Failures,
    disabled: Names,
    under_way: Names,
    unclear: Names,
    no_answer: BTreeMap<NoAnswer, Names>,
}

impl Judgement {
    /// Counts one node; `None` where its agent has not been asked in this boot.
    pub fn add(&mut self, node: &str, verdict: State, outcome: Option<&Outcome>) {
        self.nodes += 1;
        match outcome {
            None => self.pending += 1,
            Some(Outcome::NoAnswer(why)) => self.no_answer.entry(*why).or_default().add(node),
            Some(Outcome::Answered { answer, without_grpc, .. }) => self.answered(node, verdict, answer, *without_grpc),
        }
    }

    fn answered(&mut self, node: &str, verdict: State, answer: &Answer, without_grpc: Option<Why>) {
        let of = |state| answer.counts.of(state);
        let failed = answer.counts.errors();
        self.has_policies |= answer.counts.total() > 0;
        let counted = [
            (of(PolicyState::Disabled), &mut self.disabled),
            (answer.counts.in_progress(), &mut self.under_way),
            (of(PolicyState::Unclear) + of(PolicyState::PartiallyEnabled), &mut self.unclear),
        ];
        for (count, names) in counted {
            if count > 0 {
                names.add(node);
            }
        }
        if failed > 0 {
            let failures = if verdict == State::Ready { &mut self.contradicted } else { &mut self.expected };
            failures.add(node, answer, without_grpc);
        }
    }

    /// The condition. `before` is what the policy's status says of it for the same spec: it stands for as long as more than
    /// a tenth of the agents have yet to be asked, as after a restart of the operator.
    #[must_use]
    pub fn finding(&self, key: &DaemonSetKey, container: &str, before: Option<Finding>) -> Finding {
        if self.pending * 10 > self.nodes {
            let message = "the agents are being asked for the first time; this ends by itself";
            return before.unwrap_or_else(|| found(Status::Unknown, reason::ASKING, message));
        }
        self.told(key, container)
    }

    /// Of several things the first in this order is told.
    fn told(&self, key: &DaemonSetKey, container: &str) -> Finding {
        let list = format!("`kubectl -n {} exec POD -c {container} -- tetra tracingpolicy list`", key.namespace);
        if self.nodes == 0 {
            let message = format!("no node that this policy selects is one for an agent of DaemonSet {key}");
            return found(Status::Unknown, reason::NOT_ASKED, message);
        }
        if !self.contradicted.nodes.is_empty() {
            let message = self.contradicted.message("proved ready", &list);
            let advice = self.contradicted.restart(key);
            return found(Status::False, reason::AGENT_DISAGREES, message + &advice);
        }
        if !self.expected.nodes.is_empty() {
            let message = self.expected.message("not proved ready, which explains it (status.reasons)", &list);
            return found(Status::False, reason::LOAD_ERRORS, message);
        }
        if !self.disabled.is_empty() {
            let message = format!("somebody has disabled policies on {}: {list} shows them", self.disabled);
            return found(Status::False, reason::DISABLED, message);
        }
        if let Some((why, nodes)) = self.no_answer.iter().max_by_key(|(why, nodes)| (nodes.count, **why)) {
            return found(Status::Unknown, reason::NO_ANSWER, self.unanswered(*why, nodes));
        }
        if !self.under_way.is_empty() {
            let message = format!("policies are loading or unloading on {}", self.under_way);
            return found(Status::Unknown, reason::LOADING, message);
        }
        if !self.unclear.is_empty() {
            let message =
                format!("states of policies on {} mean nothing to this version: {list} shows them", self.unclear);
            return found(Status::Unknown, reason::UNCLEAR, message);
        }
        if !self.has_policies {
            let message = "no agent has a TracingPolicy, so there is nothing that it could enforce";
            return found(Status::Unknown, reason::NO_POLICIES, message);
        }
        let agents = self.nodes - self.pending;
        found(Status::True, reason::ALL_LOADED, format!("all of {agents} agents have all of their policies enabled"))
    }

    fn unanswered(&self, why: NoAnswer, nodes: &Names) -> String {
        let all: usize = self.no_answer.values().map(|nodes| nodes.count).sum();
        let others = match all - nodes.count {
            0 => String::new(),
            others => format!("; {others} others for other reasons"),
        };
        format!("{all} of {} agents gave no answer: on {nodes} {why}{others}; {}", self.nodes, way_out(why))
    }
}

fn found(status: Status, reason: &str, message: impl Into<String>) -> Finding {
    Finding::new(TRACING_POLICIES_LOADED, status, reason, message)
}

/// What to do where the metrics, or gRPC alone, are not answered.
fn way_out(why: NoAnswer) -> &'static str {
    match why.metrics.or(why.grpc) {
        Some(Why::NoAddress) => "look at the Node's status.addresses",
        Some(Why::Refused) if why.metrics.is_none() => {
            "Tetragon answers gRPC on the node alone unless told otherwise: say ask: Metrics, or see docs/install.md"
        }
        Some(Why::Refused) => {
            "look whether agents run there, and serve metrics (tetragon.prometheus.enabled in Tetragon's chart)"
        }
        Some(Why::Unreachable | Why::TimedOut) => {
            "look whether a NetworkPolicy or firewall keeps the operator from that port of the nodes"
        }
        _ => "look whether that port is Tetragon's, and at the agent's log",
    }
}

/// A policy in an error state.
#[derive(Clone, Debug)]
struct Failure {
    policy: String,
    state: PolicyState,
    error: String,
}

fn failures(answer: &Answer) -> impl Iterator<Item = Failure> {
    let failed = answer.policies.iter().filter(|(_, policy)| policy.state.is_error()).take(SAMPLE);
    failed.map(|(name, policy)| Failure { policy: name.to_string(), state: policy.state, error: policy.error.clone() })
}

/// Policies in an error state.
#[derive(Clone, Debug, Default)]
struct Failures {
    nodes: Names,
    by_policy: BTreeMap<String, (Names, Failure)>,
    /// Nodes whose agent names none, and why gRPC did not.
    unnamed: Names,
    without_grpc: Option<Why>,
}

impl Failures {
    fn add(&mut self, node: &str, answer: &Answer, without_grpc: Option<Why>) {
        self.nodes.add(node);
        if answer.how == How::Metrics {
            self.unnamed.add(node);
            self.without_grpc = self.without_grpc.max(without_grpc);
        }
        for failure in &failures(answer).collect::<Vec<_>>() {
            let entry = self.by_policy.entry(failure.policy.clone());
            let (nodes, told) = entry.or_insert_with(|| (Names::default(), failure.clone()));
            // The first node's words, whatever the order in which nodes are counted.
            nodes.add(node);
            if nodes.first[0] == node {
                told.clone_from(failure);
            }
        }
    }

    /// Which policies, where, and in the agents' words.
    fn message(&self, these_nodes: &str, list: &str) -> String {
        let mut policies: Vec<_> = self.by_policy.values().collect();
        policies.sort_by(|(a, x), (b, y)| b.count.cmp(&a.count).then_with(|| x.policy.cmp(&y.policy)));
        let mut parts: Vec<String> =
            policies.iter().take(SAMPLE).map(|(nodes, failure)| told(nodes, failure)).collect();
        if policies.len() > SAMPLE {
            parts.push(format!("{} further policies", policies.len() - SAMPLE));
        }
        if !self.unnamed.is_empty() {
            let grpc = self.without_grpc.map_or_else(String::new, |why| format!(" (gRPC: {why})"));
            let unnamed = &self.unnamed;
            parts
                .push(format!("policies in an error state on {unnamed}, which metrics do not name{grpc}: {list} does"));
        }
        let nodes = self.nodes.count;
        format!("agents have policies in an error state on {nodes} nodes that are {these_nodes}: {}", parts.join("; "))
    }

    /// The most common contradiction has a known cause.
    fn restart(&self, key: &DaemonSetKey) -> String {
        let speaks_of_lsm = |(_, failure): &(Names, Failure)| failure.error.to_lowercase().contains("lsm");
        if !self.by_policy.values().any(speaks_of_lsm) && self.unnamed.is_empty() {
            return String::new();
        }
        format!(
            ". An agent looks for LSM support once, when it starts (before v1.4.0 in /sys/kernel/security, which must be \
             mounted for it), and keeps what it found: when SecurityfsMounted is True, restart it with `kubectl -n {} rollout \
             restart daemonset/{}`, or let spec.tetragon.restartStaleAgents do it",
            key.namespace, key.name
        )
    }
}

fn told(nodes: &Names, Failure { policy, state, error }: &Failure) -> String {
    let state = PolicyState::as_str(*state);
    match error.as_str() {
        "" => format!("{policy} is {state} on {nodes}, without a word why"),
        error => format!("{policy} is {state} on {nodes}: {error:?}"),
    }
}

/// How many nodes, and the first of them by name.
#[derive(Clone, Debug, Default)]
struct Names {
    count: usize,
    first: Vec<String>,
}

impl Names {
    fn add(&mut self, node: &str) {
        self.count += 1;
        sample::add(&mut self.first, node.to_owned(), |a, b| a < b);
    }

    fn is_empty(&self) -> bool {
        self.count == 0
    }
}

impl std::fmt::Display for Names {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names = self.first.join(", ");
        match self.count {
            1 => write!(f, "{names}"),
            count if count <= SAMPLE => write!(f, "{count} nodes ({names})"),
            count => write!(f, "{count} nodes ({names}, …)"),
        }
    }
}

#[cfg(test)]
mod tests;

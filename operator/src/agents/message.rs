//! The messages of `TracingPoliciesEnforced`: the state, the cause, and what to do. Pure.
//!
//! A message names at most three policies, and three nodes for each, so its size does not depend on
//! the size of the cluster.

use std::cmp::Reverse;
use std::fmt::Display;

use lsm_ready_crds::first_n::MAX_ITEMS;

use super::effect::Problem;
use super::node_names::NodeNames;
use super::summary::{Circumstances, Occurrences, Summary};
use crate::tetragon_client::{AskError, PolicyName, Unanswered};

const ADD_ENFORCING_ACTION: &str = "Add an action that denies to their selectors: Sigkill, or \
    Override with an argError other than 0 on a hook whose return value the kernel uses. If they \
    are only to observe, select the policies that must deny with spec.require.tracingPolicies";

/// The input of all messages.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    pub summary: &'a Summary,
    pub circumstances: &'a Circumstances,
}

impl Message<'_> {
    /// No selected node has an agent.
    pub fn no_agents(&self) -> String {
        let daemon_set = &self.circumstances.daemon_set;
        format!(
            "DaemonSet {daemon_set} runs no agent on the nodes that this policy selects. Compare \
             its nodeSelector and affinity with spec.nodeSelector of the policy"
        )
    }

    /// The policies with that problem, and the other problems in short.
    pub fn problem(&self, problem: Problem) -> String {
        let Some(policies) = self.summary.problems.get(&problem) else {
            return String::new();
        };
        let mut policies: Vec<_> = policies.iter().collect();
        policies.sort_by_key(|(name, found)| (Reverse(found.nodes.count()), name.as_ref()));
        let named: Vec<String> = policies
            .iter()
            .take(MAX_ITEMS)
            .map(|(name, found)| self.policy(problem, name.as_ref(), found))
            .collect();
        let more = match policies.len().saturating_sub(MAX_ITEMS) {
            0 => String::new(),
            more => format!("; and {}", count(more, "more policy", "more policies")),
        };
        format!(
            "{}: {}{more}. {}{}{}",
            headline(problem),
            named.join("; "),
            self.advice(problem),
            self.other_problems(problem),
            self.not_judged()
        )
    }

    fn policy(&self, problem: Problem, name: Option<&PolicyName>, found: &Occurrences) -> String {
        let Occurrences { nodes, agent_text } = found;
        let Some(name) = name else {
            let grpc = self.summary.grpc_error.map(|error| format!(" (gRPC: {error})"));
            return format!(
                "a policy that the metrics do not name{} on {nodes}",
                grpc.unwrap_or_default()
            );
        };
        match (problem, agent_text.as_str()) {
            (Problem::AgentDisagrees | Problem::LoadErrors, "") => {
                format!("{name} on {nodes}, without an error text")
            }
            (_, "") => format!("{name} on {nodes}"),
            (_, text) => format!("{name} on {nodes}: {text:?}"),
        }
    }

    fn other_problems(&self, problem: Problem) -> String {
        let others = self.summary.problems.iter().filter(|(other, _)| **other != problem);
        let others: Vec<String> = others
            .map(|(other, policies)| {
                let nodes = policies.values().map(|found| found.nodes.count()).max();
                let policies = count(policies.len(), "policy", "policies");
                let nodes = count(nodes.unwrap_or_default(), "node", "nodes");
                format!("{} ({policies}, up to {nodes})", other.reason())
            })
            .collect();
        if others.is_empty() { String::new() } else { format!(". Also: {}", others.join(", ")) }
    }

    /// The cause, if it is known, and what to do.
    fn advice(&self, problem: Problem) -> String {
        let (restart, list) = (self.restart_command(), self.list_command());
        match problem {
            Problem::AgentDisagrees => self.advice_after_error(),
            Problem::LoadErrors => {
                "status.reasons says why these nodes are not ready and what to change".to_owned()
            }
            Problem::Missing => format!(
                "Cause: somebody ran `tetra tracingpolicy delete`, or the agents lost the \
                 policies. Restart these agents, for example with {restart}"
            ),
            Problem::Disabled => format!(
                "Cause: somebody ran `tetra tracingpolicy disable`. Run `{} tetra tracingpolicy \
                 enable NAME` on these nodes",
                self.exec_command()
            ),
            Problem::PartiallyEnabled => {
                format!(
                    "Cause: the kernels of these nodes do not take all hooks. {list} names them"
                )
            }
            Problem::Skipped => format!(
                "Their spec.nodeSelector matches the labels of these nodes, and the agents \
                 disagree. Read the agents' log, and restart them with {restart}"
            ),
            Problem::MonitorMode => format!(
                "Remove the option policy-mode: monitor from their spec, or run `{} tetra \
                 tracingpolicy set-mode NAME enforce` if somebody set the mode by hand. In mode \
                 monitor_only, add an action that denies to the selectors themselves: the actions \
                 of macros do not count",
                self.exec_command()
            ),
            Problem::NoEnforcingAction => ADD_ENFORCING_ACTION.to_owned(),
            Problem::Loading => {
                "Wait: the agents are asked again within a minute. If this stays, read the agents' \
                 log"
                .to_owned()
            }
            Problem::StateUnclear => format!("{list} shows their state"),
            Problem::ModeUnknown => self.advice_for_unknown_mode(),
        }
    }

    /// The most common error has a known cause: the agent started without securityfs.
    fn advice_after_error(&self) -> String {
        let (restart, list) = (self.restart_command(), self.list_command());
        let mut policies =
            self.summary.problems.get(&Problem::AgentDisagrees).into_iter().flatten();
        let is_about_lsm = policies
            .any(|(name, found)| name.is_none() || found.agent_text.to_lowercase().contains("lsm"));
        if !is_about_lsm {
            return format!("Correct these policies. {list} shows the whole text");
        }
        format!(
            "An agent checks for LSM BPF only when it starts. If SecurityfsMounted is True, \
             restart these agents with {restart}, or set spec.tetragon.restartStaleAgents: true. \
             {list} shows the whole text"
        )
    }

    fn advice_for_unknown_mode(&self) -> String {
        let grpc = match self.summary.grpc_error {
            Some(error) => format!("gRPC was tried: {error}"),
            None => "set spec.tetragon.agents.ask: Auto or Grpc".to_owned(),
        };
        format!(
            "They are enabled, but metrics do not show whether they deny or only monitor. gRPC \
             shows it ({grpc}; docs/install.md says how to open gRPC safely). {} shows it by hand",
            self.list_command()
        )
    }

    /// Some agents do not answer. The most frequent error is named.
    pub fn unanswered(&self, may_be_starting: bool) -> String {
        let (all, nodes) = (self.summary.unanswered(), self.summary.nodes);
        let total: usize = all.values().map(NodeNames::count).sum();
        let Some((errors, names)) =
            all.iter().max_by_key(|(errors, names)| (names.count(), **errors))
        else {
            return String::new();
        };
        let others = match total - names.count() {
            0 => String::new(),
            others => format!("; {others} more with other errors"),
        };
        let what = if may_be_starting { "have not answered yet" } else { "did not answer" };
        let advice = match (may_be_starting, self.circumstances.unavailable) {
            (true, 0) => {
                "Wait a minute: agents answer about 20 seconds after they start".to_owned()
            }
            (true, unavailable) => format!(
                "{unavailable} agents of DaemonSet {} are not available. TetragonRolledOut says \
                 why; agents answer about 20 seconds after they start",
                self.circumstances.daemon_set
            ),
            (false, _) => advice_without_answer(*errors).to_owned(),
        };
        format!(
            "{total} of {nodes} agents {what}. On {names}: {errors}{others}. {advice}{}",
            self.missing_crds()
        )
    }

    fn missing_crds(&self) -> String {
        let crds = &self.circumstances.not_installed;
        if crds.is_empty() {
            return String::new();
        }
        let crds: Vec<String> = crds.iter().map(|plural| format!("{plural}.cilium.io")).collect();
        format!(
            ". Agents wait at their start until both CRDs of Tetragon are installed. Missing: {}",
            crds.join(", ")
        )
    }

    /// Agents must be asked, or asked again.
    pub fn unconfirmed(&self) -> String {
        let (agents, nodes) = (&self.summary.unconfirmed, self.summary.nodes);
        format!(
            "{} of {nodes} agents have not answered twice since the agent, its node or the \
             policies changed: {agents}. They are asked again within a minute",
            agents.count()
        )
    }

    /// No policy is for these nodes.
    pub fn no_policies(&self) -> String {
        let cause = match self.circumstances.not_selected {
            0 => "no TracingPolicy in the cluster is for these nodes. Apply one".to_owned(),
            more => format!(
                "spec.require.tracingPolicies selects no TracingPolicy for these nodes and leaves \
                 out {more}. Compare it with `kubectl get tracingpolicies,\
                 tracingpoliciesnamespaced -A --show-labels`"
            ),
        };
        format!("there is nothing to enforce: {cause}{}{}", self.missing_crds(), self.others())
    }

    /// The policies are enabled, and none of them denies.
    pub fn only_observing(&self) -> String {
        let some = first_of(self.summary.observing.iter());
        format!(
            "nothing is enforced: {some} are enabled and have no action that denies. \
             {ADD_ENFORCING_ACTION}{}",
            self.others()
        )
    }

    /// The condition is True.
    pub fn all_enforcing(&self) -> String {
        let nodes = count(self.summary.nodes, "node", "nodes");
        let policies = match self.summary.denying.len() {
            1 => "1 policy is enabled and enforced on all of its nodes".to_owned(),
            many => format!("{many} policies are enabled and enforced on all of their nodes"),
        };
        format!("{policies}; {nodes} with an agent{}", self.not_judged())
    }

    /// Policies that are not judged.
    fn not_judged(&self) -> String {
        let observing = &self.summary.observing;
        let observing = if observing.is_empty() {
            String::new()
        } else {
            format!(". Only observing, not judged: {}", first_of(observing.iter()))
        };
        let not_selected = match self.circumstances.not_selected {
            0 => String::new(),
            more => format!(
                ". Not selected by spec.require.tracingPolicies, not judged: {}",
                count(more, "policy", "policies")
            ),
        };
        format!("{observing}{not_selected}{}", self.others())
    }

    /// Policies that agents have and the cluster does not have.
    fn others(&self) -> String {
        let others = &self.summary.others;
        if others.is_empty() {
            return String::new();
        }
        format!(
            ". In agents but not in the cluster (from files on the node, or added with tetra), not \
             judged: {}",
            first_of(others.iter())
        )
    }

    fn restart_command(&self) -> String {
        let key = &self.circumstances.daemon_set;
        format!("`kubectl -n {} rollout restart daemonset/{}`", key.namespace, key.name)
    }

    fn exec_command(&self) -> String {
        let Circumstances { daemon_set, container, .. } = self.circumstances;
        format!("kubectl -n {} exec POD -c {container} --", daemon_set.namespace)
    }

    fn list_command(&self) -> String {
        format!("`{} tetra tracingpolicy list`", self.exec_command())
    }
}

const fn headline(problem: Problem) -> &'static str {
    match problem {
        Problem::AgentDisagrees => "agents report errors of policies on nodes that are ready",
        Problem::LoadErrors => "agents report errors of policies on nodes that are not ready",
        Problem::Missing => "agents lack policies that are for their nodes",
        Problem::Disabled => "policies are disabled in agents",
        Problem::PartiallyEnabled => "hooks of policies are not attached",
        Problem::Skipped => "agents skip policies that are for their nodes",
        Problem::MonitorMode => "policies are in monitor mode and deny nothing",
        Problem::NoEnforcingAction => "policies have no action that denies",
        Problem::Loading => "agents have not finished loading or unloading policies",
        Problem::StateUnclear => "the state of policies is unknown",
        Problem::ModeUnknown => "the mode of policies is unknown",
    }
}

/// What to do if the last endpoint that was tried gives no answer.
fn advice_without_answer(errors: Unanswered) -> &'static str {
    match errors.metrics.or(errors.grpc) {
        Some(AskError::NoAddress) => {
            "Check status.addresses of these Nodes: an InternalIP is required"
        }
        Some(AskError::Refused) if errors.metrics.is_none() => {
            "By default Tetragon serves gRPC on its own node only: set ask: Metrics, or see \
             docs/install.md"
        }
        Some(AskError::Refused) => {
            "Check whether agents run there and serve metrics (tetragon.prometheus.enabled in \
             Tetragon's chart)"
        }
        Some(AskError::Unreachable | AskError::TimedOut) => {
            "Check whether a NetworkPolicy or a firewall blocks the operator from these ports of \
             the nodes"
        }
        Some(
            AskError::NoTls
            | AskError::TlsRequired
            | AskError::CertificateNotTrusted
            | AskError::CertificateExpired
            | AskError::CertificateName
            | AskError::CertificateInvalid
            | AskError::ClientCertificateRequired
            | AskError::ClientCertificateRefused
            | AskError::TlsFailed,
        ) => "docs/install.md shows gRPC over TLS step by step; ask: Metrics works without TLS",
        Some(
            AskError::Closed
            | AskError::OtherProtocol
            | AskError::TooLarge
            | AskError::Status(_)
            | AskError::Http(_)
            | AskError::NoGauge,
        )
        | None => "Check whether these ports are Tetragon's, and read the agents' log",
    }
}

fn count(number: usize, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

/// The first three items, and how many more there are.
fn first_of<T: Display>(items: impl Iterator<Item = T>) -> String {
    let items: Vec<String> = items.map(|item| item.to_string()).collect();
    let first = items.iter().take(MAX_ITEMS).cloned().collect::<Vec<_>>().join(", ");
    match items.len().saturating_sub(MAX_ITEMS) {
        0 => first,
        more => format!("{first} and {more} more"),
    }
}

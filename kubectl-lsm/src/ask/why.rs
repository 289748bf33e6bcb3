//! `why`: all about one node.

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use lsm_ready_crds::conditions::TRACING_POLICIES_ENFORCED;
use lsm_ready_crds::text::printable;
use lsm_ready_crds::{ExitCode, State};
use serde::Serialize;

use crate::fleet::{
    AgentRow, CheckRow, ConditionRow, Fleet, HookProfileRow, NodePolicyRow, NodeRow, VerdictRow,
    word,
};
use crate::output::table::{Cell, table, width};
use crate::output::tone::Tone;
use crate::output::{COLUMNS, age, labelled, wrapped};

/// The name of this form of JSON.
pub const SCHEMA: &str = "lsmready.io/why/v1";

/// Maximum length of a text of a pod, in characters.
const MAX_TEXT_CHARS: usize = 1024;

/// All about one node.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Why {
    /// [`SCHEMA`].
    pub schema: &'static str,
    pub node: NodeRow,
    /// What the hooks of the node's kernel accept.
    pub hook_profile: Option<HookProfileRow>,
    /// Tetragon's pods on the node.
    pub agents: Vec<AgentPod>,
    pub notes: Vec<String>,
}

/// An agent of Tetragon on the node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AgentPod {
    pub namespace: String,
    pub name: String,
    pub daemon_set: String,
    /// For example `Running`, or why a container waits, for example `CrashLoopBackOff`.
    pub state: String,
    pub is_ready: bool,
    pub restarts: i32,
    /// What the policies say about all agents of the DaemonSet.
    pub conditions: Vec<ConditionRow>,
}

/// All about the only node of that fleet. `None` where it has none.
pub fn why(fleet: Fleet, pods: &[Pod]) -> Option<Why> {
    let node = fleet.nodes.into_iter().next()?;
    let hook_profile =
        node.hook_profile.as_ref().and_then(|digest| fleet.hook_profiles.get(digest)).cloned();
    let agents = pods.iter().filter_map(|pod| agent(pod, &fleet.agents)).collect();
    Some(Why { schema: SCHEMA, node, hook_profile, agents, notes: fleet.notes })
}

fn agent(pod: &Pod, agents: &[AgentRow]) -> Option<AgentPod> {
    let owner = pod.owner_references().iter().find(|owner| owner.kind == "DaemonSet")?;
    let namespace = pod.namespace().unwrap_or_default();
    let of = agents.iter().find(|of| of.name == owner.name && of.namespace == namespace)?;
    let status = pod.status.clone().unwrap_or_default();
    let containers = status.container_statuses.unwrap_or_default();
    let waiting = containers
        .iter()
        .find_map(|container| container.state.as_ref()?.waiting.as_ref()?.reason.clone());
    let state = waiting.or(status.phase).unwrap_or_else(|| "Unknown".to_owned());
    Some(AgentPod {
        namespace,
        name: pod.name_any(),
        daemon_set: owner.name.clone(),
        state: printable(&state, MAX_TEXT_CHARS),
        is_ready: !containers.is_empty() && containers.iter().all(|container| container.ready),
        restarts: containers.iter().map(|container| container.restart_count).max().unwrap_or(0),
        conditions: of.conditions.clone(),
    })
}

impl Why {
    /// The exit code.
    pub fn code(&self) -> ExitCode {
        self.node.verdict.state.into()
    }

    /// For people.
    pub fn text(&self) -> String {
        let parts = [
            self.verdict(),
            self.system(),
            self.evidence(),
            self.policies(),
            self.shown(),
            self.agents(),
            self.notes.iter().map(|note| labelled("Note: ", note)).collect(),
        ];
        parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("\n")
    }

    fn verdict(&self) -> String {
        let verdict = &self.node.verdict;
        let state = Tone::from(verdict.state).paint(verdict.state.words());
        let mut text = format!("Node {}: {state} ({})\n", self.node.name, verdict.reason);
        text += &wrapped("  ", &verdict.message);
        if !verdict.fix.is_empty() {
            text += &labelled("Fix: ", &verdict.fix);
        }
        text
    }

    fn system(&self) -> String {
        let node = &self.node;
        let mut text = labelled("Kernel    ", &format!("{}, {}", node.kernel, node.os_image));
        text += &labelled("Boot      ", &node.boot_id);
        text += &labelled("Report    ", &self.report());
        if !node.lsms.is_empty() {
            text += &labelled("LSMs      ", &node.lsms.join(", "));
        }
        if let Some(lockdown) = &node.lockdown {
            text += &labelled("Lockdown  ", lockdown);
        }
        if let Some(profile) = &self.hook_profile {
            let HookProfileRow { attachable, sleepable, refused, .. } = profile;
            let said = format!(
                "{} accept programs, {} of them sleepable ones; {} accept none",
                attachable.len(),
                sleepable.len(),
                refused.len()
            );
            text += &labelled("Hooks     ", &said);
        }
        text
    }

    fn report(&self) -> String {
        let node = &self.node;
        if node.probe_version.is_empty() {
            return "none".to_owned();
        }
        let age =
            node.age_seconds.map_or_else(|| "of unknown age".to_owned(), |of| age(of) + " old");
        let silent = if node.is_silent { "; the probe is silent" } else { "" };
        format!("{age}, by probe {}{silent}", node.probe_version)
    }

    /// The rungs and the checks.
    fn evidence(&self) -> String {
        let row = |check: &CheckRow| {
            let said = if check.detail.is_empty() { &check.reason } else { &check.detail };
            [
                Cell::from(check.name.as_str()),
                Cell::toned(check.outcome.check_outcome(), Tone::from(check.outcome)),
                said.as_str().into(),
            ]
        };
        let rungs: Vec<[Cell; 3]> = self.node.rungs.iter().map(row).collect();
        let checks: Vec<[Cell; 3]> = self.node.checks.iter().map(row).collect();
        let mut text = String::new();
        for (heading, rows) in [("EVIDENCE", &rungs), ("CHECK", &checks)] {
            if !rows.is_empty() {
                text.push_str(if text.is_empty() { "" } else { "\n" });
                text += &table([heading, "OUTCOME", "FOUND"], rows, Some(COLUMNS));
            }
        }
        text + &self.failing()
    }

    /// What was found by the checks that did not pass, in full, and their fixes.
    fn failing(&self) -> String {
        let failing = self.node.checks.iter().filter(|check| check.outcome != State::Ready);
        failing
            .map(|check| {
                let name = format!("{}: ", check.name);
                let indent = " ".repeat(width(&name));
                let cut = width(&check.detail) > COLUMNS / 2;
                let found = if cut { labelled(&name, &check.detail) } else { String::new() };
                let before = if cut { indent + "Fix: " } else { name + "Fix: " };
                let fix = Some(&check.fix).filter(|fix| !fix.is_empty());
                found + &fix.map_or_else(String::new, |fix| labelled(&before, fix))
            })
            .collect()
    }

    /// Who wants what of the node.
    fn policies(&self) -> String {
        if self.node.policies.is_empty() {
            return "No policy selects this node.\n".to_owned();
        }
        let rows: Vec<[Cell; 4]> = self.node.policies.iter().map(|row| self.policy(row)).collect();
        let mut text = table(["POLICY", "VERDICT", "LABEL", "REASON"], &rows, Some(COLUMNS));
        for NodePolicyRow { policy, verdict, has_tracing_policies } in &self.node.policies {
            // What was said above is not said again.
            if verdict.state != State::Ready && *verdict != self.node.verdict {
                text += &labelled(&format!("{policy}: "), &verdict.message);
                if !verdict.fix.is_empty() {
                    text += &labelled("  Fix: ", &verdict.fix);
                }
            }
            if *has_tracing_policies {
                let said = "it also requires what its TracingPolicies require; the label has the \
                            operator's answer";
                text += &labelled(&format!("{policy}: "), said);
            }
        }
        text
    }

    fn policy(&self, row: &NodePolicyRow) -> [Cell; 4] {
        let label = self.node.shown.policies.get(&row.policy).map_or("-", String::as_str);
        [
            row.policy.as_str().into(),
            Cell::toned(word(row.verdict.state), row.verdict.state),
            label.into(),
            row.verdict.reason.as_str().into(),
        ]
    }

    /// What the Node shows, and why it differs from the verdict.
    fn shown(&self) -> String {
        let shown = &self.node.shown;
        let bpf = shown.bpf.as_deref().unwrap_or("-");
        let mut text = labelled("Label     ", &format!("bpf={bpf}"));
        if !shown.taints.is_empty() {
            text += &labelled("Taints    ", &shown.taints.join(", "));
        }
        if let Some(condition) = &shown.condition {
            let ConditionRow { status, reason, message, .. } = condition;
            let message = self.without_verdict(message);
            text += &labelled("Condition ", &format!("{status} {reason}: {message}"));
        }
        let wanted = match self.node.verdict.state {
            State::Ready => "true",
            State::NotReady => "false",
            State::Unknown => "unknown",
        };
        if shown.bpf.as_deref() != Some(wanted) {
            let said = "the Node does not show this verdict: the operator is not there, has not \
                        got to it yet, or holds changes (kubectl lsm-ready status)";
            text += &labelled("Note: ", said);
        }
        text
    }

    /// A message of the operator, without what the first lines say already.
    fn without_verdict(&self, message: &str) -> String {
        let VerdictRow { message: said, fix, .. } = &self.node.verdict;
        if said.is_empty() {
            return message.to_owned();
        }
        message.replace(&format!("{said}. Fix: {fix}"), "as above").replace(said, "as above")
    }

    fn agents(&self) -> String {
        let rows: Vec<[Cell; 4]> = self
            .agents
            .iter()
            .map(|agent| {
                let tone = if agent.is_ready { Tone::Good } else { Tone::Bad };
                [
                    format!("{}/{}", agent.namespace, agent.name).into(),
                    Cell::toned(if agent.is_ready { "ready" } else { "not ready" }, tone),
                    agent.state.as_str().into(),
                    agent.restarts.to_string().into(),
                ]
            })
            .collect();
        if rows.is_empty() {
            return String::new();
        }
        let mut text = table(["AGENT", "READY", "STATE", "RESTARTS"], &rows, Some(COLUMNS));
        let conditions = self.agents.iter().flat_map(|agent| &agent.conditions);
        for condition in conditions.filter(|found| found.type_ == TRACING_POLICIES_ENFORCED) {
            text += &labelled("Agents say: ", &condition.message);
        }
        text
    }
}

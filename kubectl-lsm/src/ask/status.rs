//! `status`: the fleet at a glance.

use std::collections::BTreeMap;

use jiff::Timestamp;
use lsm_ready_crds::conditions::{CHANGES_HELD, READY, SECURITYFS_MOUNTED};
use lsm_ready_crds::{ExitCode, State};
use serde::Serialize;

use super::counts;
use crate::fleet::{
    AgentRow, ConditionRow, Context, Counts, Fleet, OperatorRow, PolicyRow, ProbeRow,
    SILENT_AFTER_MINUTES, word,
};
use crate::output::table::{Cell, table};
use crate::output::tone::Tone;
use crate::output::{COLUMNS, labelled, wrapped};

/// The name of this form of JSON.
pub const SCHEMA: &str = "lsmready.io/status/v1";

/// Stands for operator or probe.
const NOT_FOUND: &str = "not found; name its namespace with -n";

/// Names that an example of nodes has.
const SAMPLE: usize = 3;

/// The fleet at a glance.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// [`SCHEMA`].
    pub schema: &'static str,
    pub context: Context,
    pub taken_at: Timestamp,
    pub operator: Option<OperatorRow>,
    pub probe: Option<ProbeRow>,
    pub nodes: Counts,
    /// Nodes whose probe does not renew its report.
    pub silent: usize,
    /// Why nodes are not ready or unknown, the most frequent first.
    pub reasons: Vec<ReasonOfNodes>,
    pub policies: Vec<PolicyRow>,
    pub agents: Vec<AgentRow>,
    pub notes: Vec<String>,
}

/// A reason and the nodes that have it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ReasonOfNodes {
    /// `ready`, `not-ready` or `unknown`.
    pub state: &'static str,
    /// A code of docs/reasons.md.
    pub reason: String,
    pub count: usize,
    /// The first three by name.
    pub sample: Vec<String>,
}

/// The status of that fleet.
pub fn status(fleet: Fleet) -> Status {
    Status {
        schema: SCHEMA,
        nodes: counts(fleet.nodes.iter().map(|node| node.verdict.state)),
        silent: fleet.nodes.iter().filter(|node| node.is_silent).count(),
        reasons: reasons(&fleet),
        context: fleet.context,
        taken_at: fleet.taken_at,
        operator: fleet.operator,
        probe: fleet.probe,
        policies: fleet.policies,
        agents: fleet.agents,
        notes: fleet.notes,
    }
}

fn reasons(fleet: &Fleet) -> Vec<ReasonOfNodes> {
    let mut found: BTreeMap<(&'static str, &str), ReasonOfNodes> = BTreeMap::new();
    for node in fleet.nodes.iter().filter(|node| node.verdict.state != State::Ready) {
        let (state, reason) = (word(node.verdict.state), node.verdict.reason.as_str());
        let of = found.entry((state, reason)).or_insert_with(|| ReasonOfNodes {
            state,
            reason: reason.to_owned(),
            count: 0,
            sample: Vec::new(),
        });
        of.count += 1;
        if of.sample.len() < SAMPLE {
            of.sample.push(node.name.clone());
        }
    }
    let mut reasons: Vec<ReasonOfNodes> = found.into_values().collect();
    reasons.sort_by_key(|of| std::cmp::Reverse(of.count));
    reasons
}

impl Status {
    /// The exit code. A policy counts by its condition Ready.
    pub fn code(&self) -> ExitCode {
        let ready = self.policies.iter().map(|policy| {
            policy.condition(READY).map_or("Unknown", |condition| condition.status.as_str())
        });
        let policies = ready.fold(ExitCode::Holds, |worst, status| match (worst, status) {
            (_, "False") | (ExitCode::DoesNotHold, _) => ExitCode::DoesNotHold,
            (worst, "True") => worst,
            _ => ExitCode::CannotBeJudged,
        });
        match (self.nodes.code(), policies) {
            (ExitCode::DoesNotHold, _) | (_, ExitCode::DoesNotHold) => ExitCode::DoesNotHold,
            (ExitCode::Holds, ExitCode::Holds) => ExitCode::Holds,
            _ => ExitCode::CannotBeJudged,
        }
    }

    /// For people.
    pub fn text(&self) -> String {
        let Context { name, server } = &self.context;
        let mut text = labelled("Cluster   ", &format!("{name} {server}"));
        text += &labelled("Operator  ", &self.operator_line());
        text += &labelled("Probe     ", &self.probe_line());
        text += &labelled("Nodes     ", &self.nodes.phrase());
        if self.silent > 0 {
            let said = format!(
                "the probes of {} nodes have not reported for {SILENT_AFTER_MINUTES} minutes; \
                 their verdicts stay as they were",
                self.silent
            );
            text += &wrapped("          ", &said);
        }
        for part in [self.reasons_table(), self.policies_table(), self.agents_table()] {
            if !part.is_empty() {
                text = text + "\n" + &part;
            }
        }
        text + &self.hints()
    }

    fn operator_line(&self) -> String {
        let Some(found) = &self.operator else { return NOT_FOUND.to_owned() };
        let OperatorRow { namespace, name, image, replicas_wanted, replicas_available } = found;
        let available = format!("{replicas_available} of {replicas_wanted} available");
        format!("{available}, {namespace}/{name}, {image}")
    }

    fn probe_line(&self) -> String {
        let Some(found) = &self.probe else { return NOT_FOUND.to_owned() };
        let ProbeRow { namespace, name, image, pods_wanted, pods_ready } = found;
        format!("{pods_ready} of {pods_wanted} pods ready, {namespace}/{name}, {image}")
    }

    fn reasons_table(&self) -> String {
        if self.reasons.is_empty() {
            return String::new();
        }
        let rows: Vec<[Cell; 4]> = self
            .reasons
            .iter()
            .map(|of| {
                let tone = if of.state == "unknown" { Tone::Doubtful } else { Tone::Bad };
                let more = if of.count > of.sample.len() { ", …" } else { "" };
                [
                    Cell::from(of.reason.as_str()),
                    Cell::toned(of.state, tone),
                    of.count.to_string().into(),
                    (of.sample.join(", ") + more).into(),
                ]
            })
            .collect();
        table(["REASON", "STATE", "NODES", "SAMPLE"], &rows, Some(COLUMNS))
    }

    fn policies_table(&self) -> String {
        if self.policies.is_empty() {
            return "No LsmPolicies.\n".to_owned();
        }
        let rows: Vec<[Cell; 5]> = self.policies.iter().map(policy_row).collect();
        table(["POLICY", "READY", "NODES", "TETRAGON", "REASON"], &rows, Some(COLUMNS))
    }

    fn agents_table(&self) -> String {
        if self.agents.is_empty() {
            return String::new();
        }
        let rows: Vec<[Cell; 4]> = self.agents.iter().map(agent_row).collect();
        table(["TETRAGON", "RELEASE", "PODS", "SECURITYFS"], &rows, Some(COLUMNS))
    }

    /// What is held, what could not be read, and the next command.
    fn hints(&self) -> String {
        let mut text = String::new();
        for policy in &self.policies {
            if let Some(held) = policy.condition(CHANGES_HELD).filter(|held| held.status == "True")
            {
                text += &wrapped("", &format!("Policy {}: {}", policy.name, held.message));
            }
        }
        for note in &self.notes {
            text += &labelled("Note: ", note);
        }
        if let Some(name) = self.reasons.first().and_then(|of| of.sample.first()) {
            text += &wrapped("", &format!("Next: kubectl lsm-ready why {name}"));
        }
        if text.is_empty() { text } else { "\n".to_owned() + &text }
    }
}

fn policy_row(policy: &PolicyRow) -> [Cell; 5] {
    let none = ("Unknown", "NotYetJudged");
    let ready = policy.condition(READY);
    let (status, reason) =
        ready.map_or(none, |ready| (ready.status.as_str(), ready.reason.as_str()));
    let mount = policy.condition(SECURITYFS_MOUNTED).map_or("-", |found| found.reason.as_str());
    [
        Cell::from(policy.name.as_str()),
        Cell::toned(status, Tone::of_status(status)),
        format!("{}/{}", policy.counts.ready, policy.counts.selected).into(),
        mount.into(),
        reason.into(),
    ]
}

fn agent_row(agent: &AgentRow) -> [Cell; 4] {
    let mounted = agent.conditions.iter().find(|found| found.type_ == SECURITYFS_MOUNTED);
    let mounted = mounted.map_or_else(
        || Cell::from(if agent.policies.is_empty() { "no policy names it" } else { "unknown" }),
        |found: &ConditionRow| Cell::toned(&*found.reason, Tone::of_status(&found.status)),
    );
    let pods = if agent.is_missing {
        Cell::toned("not found", Tone::Bad)
    } else {
        format!("{}/{}", agent.pods_ready, agent.pods_wanted).into()
    };
    [
        format!("{}/{}", agent.namespace, agent.name).into(),
        agent.version.as_deref().unwrap_or("unknown").into(),
        pods,
        mounted,
    ]
}

impl PolicyRow {
    /// The condition with that type.
    pub fn condition(&self, type_: &str) -> Option<&ConditionRow> {
        self.conditions.iter().find(|condition| condition.type_ == type_)
    }
}

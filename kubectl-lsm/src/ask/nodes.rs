//! `nodes`: which nodes can do what, without a policy.

use std::collections::BTreeMap;

use lsm_ready_crds::policy::Require;
use lsm_ready_crds::text::nearest;
use lsm_ready_crds::{ExitCode, Reason, State};
use serde::Serialize;

use super::counts;
use crate::cli::ListFormat;
use crate::fleet::{Counts, Fleet, HookProfileRow, NodeRow, Objects, RequireRow, judged_by, word};
use crate::output::table::{Cell, table};
use crate::output::tone::Tone;
use crate::output::{COLUMNS, age, labelled};
use crate::render;

/// The name of this form of JSON.
pub const SCHEMA: &str = "lsmready.io/nodes/v1";

/// Which of the selected nodes are shown.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    pub reasons: Vec<String>,
    pub states: Vec<State>,
}

/// The nodes, with their verdicts on a requirement.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeList {
    /// [`SCHEMA`].
    pub schema: &'static str,
    pub require: RequireRow,
    /// All selected nodes, also those that are not shown.
    pub counts: Counts,
    pub hook_profiles: BTreeMap<String, HookProfileRow>,
    /// The nodes that are shown, by name.
    pub nodes: Vec<NodeRow>,
    pub notes: Vec<String>,
}

/// A reason that no node has and that is not known.
#[derive(Debug, Eq, PartialEq, thiserror::Error)]
#[error("unknown reason {name:?}: `kubectl lsm-ready explain` lists all{}", did_you_mean(.near))]
pub struct UnknownReason {
    name: String,
    near: Vec<String>,
}

fn did_you_mean(near: &[String]) -> String {
    if near.is_empty() { String::new() } else { format!("; did you mean {}?", near.join(" or ")) }
}

/// The nodes of these objects that the filter lets through.
pub fn list(
    objects: &Objects,
    require: &Require,
    filter: &Filter,
) -> Result<NodeList, UnknownReason> {
    let Fleet { nodes, hook_profiles, notes, .. } = judged_by(objects, require);
    for name in &filter.reasons {
        let is_found = nodes.iter().any(|node| node.verdict.reason == *name);
        if !is_found && Reason::from_code(name).is_none() {
            let codes = Reason::ALL.iter().map(|reason| reason.code());
            let near = nearest(name, codes).into_iter().map(str::to_owned).collect();
            return Err(UnknownReason { name: name.clone(), near });
        }
    }
    let counts = counts(nodes.iter().map(|node| node.verdict.state));
    let shown = nodes.into_iter().filter(|node| filter.lets_through(node)).collect();
    let require = require.into();
    Ok(NodeList { schema: SCHEMA, require, counts, hook_profiles, nodes: shown, notes })
}

impl Filter {
    fn lets_through(&self, node: &NodeRow) -> bool {
        let verdict = &node.verdict;
        (self.reasons.is_empty() || self.reasons.contains(&verdict.reason))
            && (self.states.is_empty() || self.states.contains(&verdict.state))
    }
}

impl NodeList {
    /// The exit code, for all selected nodes.
    pub fn code(&self) -> ExitCode {
        self.counts.code()
    }

    /// The list in that format.
    pub fn print(&self, format: ListFormat) -> String {
        match format {
            ListFormat::Json => render::json(self),
            ListFormat::Yaml => render::yaml(self),
            ListFormat::Name => {
                self.nodes.iter().map(|node| format!("node/{}\n", node.name)).collect()
            }
            ListFormat::Table => self.narrow() + &self.footer(),
            ListFormat::Wide => self.wide() + &self.footer(),
        }
    }

    fn narrow(&self) -> String {
        let rows: Vec<[Cell; 5]> = self
            .nodes
            .iter()
            .map(|node| {
                let [name, state, evidence, reason] = columns(node);
                [name, state, evidence, reason, node.kernel.as_str().into()]
            })
            .collect();
        table(["NAME", "STATE", "EVIDENCE", "REASON", "KERNEL"], &rows, Some(COLUMNS))
    }

    fn wide(&self) -> String {
        let optional = |text: &Option<String>| Cell::from(text.as_deref().unwrap_or("-"));
        let rows: Vec<[Cell; 11]> = self
            .nodes
            .iter()
            .map(|node| {
                let [name, state, evidence, reason] = columns(node);
                [
                    name,
                    state,
                    evidence,
                    reason,
                    node.kernel.as_str().into(),
                    node.os_image.as_str().into(),
                    optional(&node.labels.pool),
                    optional(&node.labels.zone),
                    optional(&node.labels.arch),
                    node.age_seconds.map_or_else(|| "-".to_owned(), age).into(),
                    node.lsms.join(",").into(),
                ]
            })
            .collect();
        let headings = [
            "NAME", "STATE", "EVIDENCE", "REASON", "KERNEL", "OS", "POOL", "ZONE", "ARCH", "AGE",
            "LSMS",
        ];
        table(headings, &rows, None)
    }

    fn footer(&self) -> String {
        let shown = self.nodes.len();
        let mut text = format!("\n{shown} shown of {}\n", self.counts.phrase());
        for note in &self.notes {
            text += &labelled("Note: ", note);
        }
        text
    }
}

fn columns(node: &NodeRow) -> [Cell; 4] {
    let verdict = &node.verdict;
    [
        node.name.as_str().into(),
        Cell::toned(word(verdict.state), Tone::from(verdict.state)),
        node.evidence.as_str().into(),
        verdict.reason.as_str().into(),
    ]
}

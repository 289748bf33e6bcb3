//! `drill`: which nodes a mitigation would protect.
//!
//! The verdict is the operator's. A node that is not ready is told apart further: a boot argument
//! is enough if it is the only thing that is missing, and if the kernel takes the programs.

use std::collections::BTreeMap;

use lsm_ready_crds::policy::Require;
use lsm_ready_crds::verdict::{Facts, Verdict, hooks};
use lsm_ready_crds::{ExitCode, Reason, State};
use serde::Serialize;

use super::{count, names};
use crate::cli::ListFormat;
use crate::fleet::{Judge, Objects, RequireRow, VerdictRow};
use crate::output::table::{Cell, table};
use crate::output::tone::Tone;
use crate::output::{COLUMNS, labelled, wrapped};
use crate::render;

/// The name of this form of JSON.
pub const SCHEMA: &str = "lsmready.io/drill/v1";

/// What a mitigation can do for a node.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize)]
pub enum Protection {
    /// The node takes the programs now, and they deny.
    Protected,
    /// It would after a boot with another argument.
    AfterBootArgument,
    /// Its kernel or platform does not take the programs.
    NotProtectable,
    /// It is not known.
    Unknown,
}

impl Protection {
    const ALL: [Self; 4] =
        [Self::Protected, Self::AfterBootArgument, Self::NotProtectable, Self::Unknown];

    const fn words(self) -> &'static str {
        match self {
            Self::Protected => "protected",
            Self::AfterBootArgument => "protected after a boot argument",
            Self::NotProtectable => "not protectable",
            Self::Unknown => "unknown",
        }
    }

    const fn tone(self) -> Tone {
        match self {
            Self::Protected => Tone::Good,
            Self::NotProtectable => Tone::Bad,
            Self::AfterBootArgument | Self::Unknown => Tone::Doubtful,
        }
    }
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Drill {
    /// [`SCHEMA`].
    pub schema: &'static str,
    pub require: RequireRow,
    pub counts: DrillCounts,
    /// The nodes by protection and reason.
    pub groups: Vec<Group>,
    pub notes: Vec<String>,
}

/// Numbers of nodes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DrillCounts {
    pub selected: usize,
    pub protected: usize,
    pub after_boot_argument: usize,
    pub not_protectable: usize,
    pub unknown: usize,
}

/// Nodes with one protection and one reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Group {
    pub protection: Protection,
    /// A code of docs/reasons.md.
    pub reason: String,
    /// What the reason means, in lsm-ready's own words.
    pub message: String,
    /// What to change, in lsm-ready's own words. `why` has the words of one node's probe.
    pub fix: String,
    /// By name.
    pub nodes: Vec<String>,
}

/// The answer for these objects.
pub fn drill(objects: &Objects, require: &Require) -> Drill {
    let mut judge = Judge::new(require);
    let mut groups: BTreeMap<(Protection, String), Group> = BTreeMap::new();
    for known in objects.known() {
        let verdict = judge.verdict(known.facts);
        let (protection, verdict) = protection(require, verdict, known.facts);
        // The text about a hook repeats its name, which a person typed.
        let VerdictRow { reason, message, fix, .. } = verdict.shared().into();
        let is_protected = protection == Protection::Protected;
        let group = groups.entry((protection, reason.clone())).or_insert_with(|| Group {
            protection,
            reason,
            message: if is_protected { String::new() } else { message },
            fix,
            nodes: Vec::new(),
        });
        group.nodes.push(known.name());
    }
    let mut groups: Vec<Group> = groups.into_values().collect();
    groups.sort_by_key(|group| (group.protection, std::cmp::Reverse(group.nodes.len())));
    let notes = objects.printed_notes();
    let counts = numbers(&groups);
    Drill { schema: SCHEMA, require: require.into(), counts, groups, notes }
}

/// What the verdict means for a mitigation. The verdict on the hooks takes its place where they
/// decide.
fn protection(require: &Require, verdict: Verdict, facts: Facts<'_>) -> (Protection, Verdict) {
    match verdict.state {
        State::Ready => return (Protection::Protected, verdict),
        State::Unknown => return (Protection::Unknown, verdict),
        State::NotReady => {}
    }
    let by_boot = Reason::from_code(&verdict.reason).is_some_and(Reason::is_of_boot_arguments);
    if !by_boot {
        return (Protection::NotProtectable, verdict);
    }
    match hooks(require, facts.profile) {
        None => (Protection::AfterBootArgument, verdict),
        Some(on_hooks) if on_hooks.state == State::Unknown => (Protection::Unknown, on_hooks),
        Some(on_hooks) => (Protection::NotProtectable, on_hooks),
    }
}

fn numbers(groups: &[Group]) -> DrillCounts {
    let mut counts = DrillCounts::default();
    for Group { protection, nodes, .. } in groups {
        counts.selected += nodes.len();
        *match protection {
            Protection::Protected => &mut counts.protected,
            Protection::AfterBootArgument => &mut counts.after_boot_argument,
            Protection::NotProtectable => &mut counts.not_protectable,
            Protection::Unknown => &mut counts.unknown,
        } += nodes.len();
    }
    counts
}

impl Drill {
    /// The exit code.
    pub fn code(&self) -> ExitCode {
        let DrillCounts { selected, after_boot_argument, not_protectable, unknown, .. } =
            self.counts;
        if after_boot_argument + not_protectable > 0 {
            ExitCode::DoesNotHold
        } else if unknown > 0 || selected == 0 {
            ExitCode::CannotBeJudged
        } else {
            ExitCode::Holds
        }
    }

    /// The answer in that format.
    pub fn print(&self, format: ListFormat) -> String {
        match format {
            ListFormat::Json => render::json(self),
            ListFormat::Yaml => render::yaml(self),
            ListFormat::Name => super::node_names(self.of(Protection::Protected)),
            ListFormat::Table => self.text(false),
            ListFormat::Wide => self.text(true),
        }
    }

    fn of(&self, protection: Protection) -> impl Iterator<Item = &str> {
        let groups = self.groups.iter().filter(move |group| group.protection == protection);
        groups.flat_map(|group| group.nodes.iter().map(String::as_str))
    }

    /// For people. `all` names every node.
    fn text(&self, all: bool) -> String {
        let rows: Vec<[Cell; 3]> = Protection::ALL
            .into_iter()
            .map(|protection| {
                let nodes: Vec<&str> = self.of(protection).collect();
                [
                    Cell::toned(protection.words(), protection.tone()),
                    nodes.len().to_string().into(),
                    if all { nodes.join(", ").into() } else { names(nodes.into_iter()).into() },
                ]
            })
            .collect();
        let mut text = wrapped("", &self.question()) + "\n";
        text += &table(["PROTECTION", "NODES", "NAMES"], &rows, (!all).then_some(COLUMNS));
        for group in self.groups.iter().filter(|of| of.protection != Protection::Protected) {
            text += &group.text(all);
        }
        if !self.notes.is_empty() {
            text.push('\n');
        }
        text.extend(self.notes.iter().map(|note| labelled("Note: ", note)));
        text
    }

    fn question(&self) -> String {
        let RequireRow { hooks, sleepable_hooks, lsms, kernel_reads, .. } = &self.require;
        let mut parts = Vec::new();
        for (what, names) in [("hook", hooks), ("sleepable hook", sleepable_hooks), ("LSM", lsms)] {
            match names.as_slice() {
                [] => {}
                [name] => parts.push(format!("{what} {name}")),
                names => parts.push(format!("{what}s {}", names.join(", "))),
            }
        }
        if *kernel_reads {
            parts.push("reads of kernel memory".to_owned());
        }
        let (asked, on) = (parts.join("; "), count(self.counts.selected, "node"));
        format!("A mitigation with programs on {asked}, on {on}:")
    }
}

impl Group {
    fn text(&self, all: bool) -> String {
        let nodes = self.nodes.iter().map(String::as_str);
        let named = if all { self.nodes.join(", ") } else { names(nodes) };
        let heading = format!("{} ({}): {named}", self.reason, self.protection.words());
        let mut text = "\n".to_owned() + &wrapped("", &heading) + &wrapped("  ", &self.message);
        if !self.fix.is_empty() {
            text += &labelled("  Fix: ", &self.fix);
        }
        let example = self.nodes.first().map_or("", String::as_str);
        text + &format!("  Details: kubectl lsm-ready why {example}\n")
    }
}

//! The questions about a fleet: `status`, `why`, `nodes` and `drill`.
//!
//! In: the fleet or its objects, and the question. Out: plain values for JSON, and text of at most
//! 80 columns. Pure.

pub mod drill;
pub mod nodes;
pub mod status;
pub mod why;

use lsm_ready_crds::{ExitCode, State};

use crate::fleet::Counts;

/// Names in a line, at most.
const MAX_NAMES: usize = 3;

/// The first names, and how many more there are.
fn names<'a>(names: impl ExactSizeIterator<Item = &'a str>) -> String {
    let more = names.len().saturating_sub(MAX_NAMES);
    let mut shown: Vec<String> = names.take(MAX_NAMES).map(str::to_owned).collect();
    if more > 0 {
        shown.push(format!("and {more} more"));
    }
    shown.join(", ")
}

/// One line for each node, as `kubectl get -o name` prints it.
fn node_names<'a>(names: impl Iterator<Item = &'a str>) -> String {
    names.flat_map(|name| ["node/", name, "\n"]).collect()
}

/// The numbers of nodes in each state.
fn counts(states: impl Iterator<Item = State>) -> Counts {
    let mut counts = Counts::default();
    for state in states {
        counts.selected += 1;
        *match state {
            State::Ready => &mut counts.ready,
            State::NotReady => &mut counts.not_ready,
            State::Unknown => &mut counts.unknown,
        } += 1;
    }
    counts
}

impl Counts {
    /// The exit code of a question about these nodes.
    fn code(self) -> ExitCode {
        match self {
            Self { not_ready: 1.., .. } => ExitCode::DoesNotHold,
            Self { unknown: 1.., .. } | Self { selected: ..=0, .. } => ExitCode::CannotBeJudged,
            Self { .. } => ExitCode::Holds,
        }
    }

    /// The numbers as a phrase.
    fn phrase(self) -> String {
        let Self { selected, ready, not_ready, unknown } = self;
        format!("{selected}: {ready} ready, {not_ready} not ready, {unknown} unknown")
    }
}

/// `1 node` or `2 nodes`.
fn count(number: usize, what: &str) -> String {
    if number == 1 { format!("1 {what}") } else { format!("{number} {what}s") }
}

#[cfg(test)]
mod tests;

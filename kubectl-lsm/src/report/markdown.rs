//! The fleet as Markdown, for an issue, a wiki or a summary of a pipeline.

use std::fmt::Write as _;

use lsm_ready_crds::State;
use lsm_ready_crds::reason::Reason;
use lsm_ready_crds::text::printable;

use super::markup::with_commas;
use super::summary::{Group, Summary, Tally, evidence, has_names};
use crate::fleet::{ConditionRow, Fleet};

/// Nodes in the table of those that are not ready. Pages that show Markdown have limits too.
const NODES: usize = 500;
/// Rows in a table by reason, kernel, pool or zone.
const GROUPS: usize = 50;
const MAX_CHARS: usize = 1024;

/// The fleet as Markdown of GitHub's kind, which has tables.
pub fn markdown(fleet: &Fleet) -> String {
    let summary = Summary::of(fleet);
    let mut page = String::from("# Which nodes can deny through LSM BPF?\n\n");
    let all = summary.all;
    let [ready, total] = [all.ready, all.total()].map(with_commas);
    // Writing to a String cannot fail.
    write!(page, "**{ready} of {total} nodes can deny.** ").unwrap_or_default();
    let [not_ready, unknown] = [all.not_ready, all.unknown].map(with_commas);
    let taken = fleet.taken_at.strftime("%Y-%m-%d %H:%M:%S UTC");
    let context = text(&fleet.context.name);
    let of = if context.is_empty() { String::new() } else { format!(", context {context}") };
    write!(page, "{not_ready} not ready, {unknown} unknown. Taken at {taken}{of}.\n\n")
        .unwrap_or_default();
    for note in &fleet.notes {
        write!(page, "> {}\n\n", text(note)).unwrap_or_default();
    }
    page + &reasons(&summary)
        + &groups("Kernel", &summary.kernels)
        + &groups("Pool", &summary.pools)
        + &groups("Zone", &summary.zones)
        + &nodes(&summary)
        + &policies(fleet)
        + &agents(fleet)
}

/// A text in which no letter has a meaning for Markdown, on one line.
///
/// CommonMark allows a backslash before each punctuation mark of ASCII. Before `:`, `@` and `.` it
/// also keeps GitHub from making links of addresses. Only `<` and `&` are written as entities, so
/// that a reader that knows no backslashes makes no HTML of them.
pub fn text(text: &str) -> String {
    let mut escaped = String::new();
    for letter in printable(text, MAX_CHARS).trim().chars() {
        match letter {
            '<' => escaped.push_str("&lt;"),
            '&' => escaped.push_str("&amp;"),
            // Marks that mean nothing inside of a line.
            ',' | '/' | '%' | ';' | '"' | '\'' | '?' => escaped.push(letter),
            // At the beginning of a line these would make a list, a rule or a heading.
            '-' | '=' if !escaped.is_empty() => escaped.push(letter),
            _ if letter.is_ascii_punctuation() => escaped.extend(['\\', letter]),
            _ => escaped.push(letter),
        }
    }
    escaped
}

/// A table. The cells are escaped.
fn table(title: &str, headings: &[&str], rows: &[Vec<String>]) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
    let headings: Vec<String> = headings.iter().map(|heading| (*heading).to_owned()).collect();
    let rule = "|---".repeat(headings.len()) + "|\n";
    let rows: String = rows.iter().map(|cells| line(cells)).collect();
    format!("## {title}\n\n{}{rule}{rows}\n", line(&headings))
}

fn reasons(summary: &Summary) -> String {
    let rows: Vec<Vec<String>> = summary.reasons.iter().take(GROUPS).map(reason).collect();
    table("Reasons", &["Reason", "State", "Nodes", "What to do"], &rows)
}

fn reason(group: &Group) -> Vec<String> {
    let states = Tally::STATES.into_iter().filter(|state| group.tally.of(*state) > 0);
    let states: Vec<&str> = states.map(State::words).collect();
    let remedy = Reason::from_code(group.name).map(Reason::remedy).unwrap_or_default();
    let count = with_commas(group.tally.total());
    vec![text(group.name), states.join(", "), count, text(remedy)]
}

fn groups(title: &str, groups: &[Group]) -> String {
    if !has_names(groups) {
        return String::new();
    }
    let row = |group: &Group| {
        let name = if group.name.is_empty() { "(not known)" } else { group.name };
        let Tally { ready, not_ready, unknown } = group.tally;
        let counts = [ready, not_ready, unknown].map(with_commas);
        [text(name)].into_iter().chain(counts).collect()
    };
    let rows: Vec<Vec<String>> = groups.iter().take(GROUPS).map(row).collect();
    let headings = [title, "Ready", "Not ready", "Unknown"];
    let more = groups.len().saturating_sub(GROUPS);
    let more = if more == 0 { String::new() } else { format!("{more} more.\n\n") };
    table(&format!("By {}", title.to_lowercase()), &headings, &rows) + &more
}

fn nodes(summary: &Summary) -> String {
    let others = summary.nodes.iter().filter(|node| node.verdict.state != State::Ready);
    let rows: Vec<Vec<String>> = others
        .take(NODES)
        .map(|node| {
            let [pool, zone] = [&node.labels.pool, &node.labels.zone]
                .map(|label| text(label.as_deref().unwrap_or_default()));
            let state = node.verdict.state.words().to_owned();
            let evidence = evidence(node).as_str().to_owned();
            let [name, reason, kernel] =
                [&node.name, &node.verdict.reason, &node.kernel].map(|cell| text(cell));
            vec![name, state, reason, evidence, kernel, pool, zone]
        })
        .collect();
    let more = (summary.all.not_ready + summary.all.unknown).saturating_sub(NODES);
    let more = if more == 0 { String::new() } else { format!("{} more.\n\n", with_commas(more)) };
    let headings = ["Node", "State", "Reason", "Evidence", "Kernel", "Pool", "Zone"];
    table("Nodes that are not ready", &headings, &rows) + &more
}

fn policies(fleet: &Fleet) -> String {
    let rows: Vec<Vec<String>> = fleet
        .policies
        .iter()
        .map(|policy| {
            let ready = policy.conditions.iter().find(|one| one.type_ == "Ready");
            let counts = format!("{}/{}", policy.counts.ready, policy.counts.selected);
            vec![text(&policy.name), counts, ready.map(condition).unwrap_or_default()]
        })
        .collect();
    table("Policies", &["Policy", "Ready nodes", "Ready"], &rows)
}

fn agents(fleet: &Fleet) -> String {
    let rows: Vec<Vec<String>> = fleet
        .agents
        .iter()
        .map(|agent| {
            let name = text(&format!("{}/{}", agent.namespace, agent.name));
            let version = text(agent.version.as_deref().unwrap_or("not known"));
            let pods = format!("{}/{}", agent.pods_ready, agent.pods_wanted);
            let conditions: Vec<String> = agent.conditions.iter().map(condition).collect();
            vec![name, version, pods, conditions.join("; ")]
        })
        .collect();
    table("Tetragon’s agents", &["DaemonSet", "Release", "Ready pods", "Conditions"], &rows)
}

fn condition(condition: &ConditionRow) -> String {
    let ConditionRow { type_, status, reason, message, .. } = condition;
    format!("{}={} {}: {}", text(type_), text(status), text(reason), text(message))
}

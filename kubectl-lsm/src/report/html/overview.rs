//! The parts of the page that show the fleet at a glance: one number, the reasons, and pictures by
//! kernel, pool and zone.

use lsm_ready_crds::State;
use lsm_ready_crds::reason::Reason;

use super::bar::bar;
use crate::fleet::{Fleet, NodeRow};
use crate::report::markup::Markup;
use crate::report::summary::{Group, Summary, Tally, has_names};

/// Groups in one picture. The smaller ones are one line.
const GROUPS: usize = 12;
/// Reasons that are listed. There are fewer, unless nodes make up codes.
const REASONS: usize = 60;

pub fn overview<'a>(part: &'a mut Markup, fleet: &Fleet, summary: &Summary) -> &'a mut Markup {
    for note in &fleet.notes {
        part.raw("<p class=\"note\">").text(note).raw("</p>\n");
    }
    silent(part, fleet);
    differing(part, fleet);
    let all = summary.all;
    if all.total() == 0 {
        return part.raw("<p class=\"card\">No Linux node was found.</p>");
    }
    part.raw("<div class=\"card overview\"><p class=\"answer\"><b>").number(all.ready);
    part.raw("</b> of ").number(all.total());
    part.raw(if all.total() == 1 { " node can deny.</p>\n" } else { " nodes can deny.</p>\n" });
    bar(part, all, all.total()).raw("\n<ul class=\"tiles\">\n");
    for state in Tally::STATES {
        tile(part, state, all);
    }
    part.raw("</ul></div>")
}

/// Tells about probes that do not renew their reports, because their nodes look as they did.
fn silent(part: &mut Markup, fleet: &Fleet) {
    let silent = fleet.nodes.iter().filter(|node| node.is_silent).count();
    if silent > 0 {
        part.raw("<p class=\"note\">").number(silent);
        part.raw(if silent == 1 { " probe is" } else { " probes are" });
        part.raw(" silent. The state of such a node is that of its last report.</p>\n");
    }
}

/// Tells about Nodes whose label is not what their report says.
fn differing(part: &mut Markup, fleet: &Fleet) {
    let differs = |node: &&NodeRow| {
        let label = match node.verdict.state {
            State::Ready => "true",
            State::NotReady => "false",
            State::Unknown => "unknown",
        };
        node.shown.bpf.as_deref().is_some_and(|shown| shown != label)
    };
    let differing = fleet.nodes.iter().filter(differs).count();
    if differing > 0 {
        part.raw("<p class=\"note\">").number(differing);
        part.raw(if differing == 1 { " Node has" } else { " Nodes have" });
        part.raw(" a label that differs from the report. The circuit breaker may hold changes, ");
        part.raw("or the operator does not run.</p>\n");
    }
}

fn tile(part: &mut Markup, state: State, all: Tally) {
    let count = all.of(state);
    part.raw("<li><a href=\"#state=").parameter(state.words()).raw("\"><b>").number(count);
    part.raw("</b><span class=\"state ").class(state).raw("\">").raw(state.words());
    part.raw("</span></a> <span class=\"quiet\">").per_mille(share(count, all.total()));
    part.raw("</span></li>\n");
}

/// Thousandths. What is there is never shown as 0, and what is missing never as 100%.
fn share(count: usize, total: usize) -> usize {
    let share = (count * 1000 + total / 2).checked_div(total).unwrap_or_default();
    if count == 0 || count == total { share } else { share.clamp(1, 999) }
}

pub fn reasons<'a>(part: &'a mut Markup, summary: &Summary) -> &'a mut Markup {
    if summary.reasons.is_empty() {
        return part.raw("<p class=\"card\">There is no node.</p>");
    }
    part.raw("<ul class=\"reasons\">\n");
    for group in summary.reasons.iter().take(REASONS) {
        reason(part, group, summary.all.total());
    }
    let others = summary.reasons.len().saturating_sub(REASONS);
    if others > 0 {
        part.raw("<li>").number(others).raw(" other reasons are in the table of nodes.</li>");
    }
    part.raw("</ul>")
}

fn reason(part: &mut Markup, group: &Group, total: usize) {
    part.raw("<li><div><a href=\"#reason=").parameter(group.name).raw("\"><b>");
    part.text(or(group.name, "no reason")).raw("</b></a>");
    for state in Tally::STATES {
        if group.tally.of(state) > 0 {
            part.raw(" <span class=\"state ").class(state).raw("\">").raw(state.words());
            part.raw("</span>");
        }
    }
    let count = group.tally.total();
    part.raw("</div><div class=\"count\">");
    bar(part, group.tally, total);
    part.raw("<span>").number(count).raw(if count == 1 { " node" } else { " nodes" });
    part.raw("</span></div><div class=\"text\">");
    explanation(part, group);
    part.raw("</div></li>\n");
}

/// What the reason means in general. The texts are our own: a fix that one node reports is shown
/// for that node only.
fn explanation(part: &mut Markup, group: &Group) {
    let Some(reason) = Reason::from_code(group.name) else {
        part.raw("<p>This version of the plugin does not know this reason.</p>");
        return;
    };
    part.raw("<p>").with_code(reason.meaning()).raw("</p>");
    if group.tally.ready == group.tally.total() {
        return;
    }
    part.raw("<details><summary>What to do</summary><p class=\"fix\">").with_code(reason.remedy());
    part.raw("</p><p class=\"quiet\">Nodes: ").text(&group.sample.join(", "));
    let others = group.tally.total() - group.sample.len();
    if others > 0 {
        part.raw(" and ").number(others).raw(" more");
    }
    part.raw(". The fix for one node is in the table below.</p></details>");
}

pub fn groups<'a>(part: &'a mut Markup, summary: &Summary) -> &'a mut Markup {
    picture(part, &Picture { title: "Kernel", filter: "#kernel=", groups: &summary.kernels });
    if has_names(&summary.pools) {
        picture(part, &Picture { title: "Pool", filter: "#pool=", groups: &summary.pools });
    }
    if has_names(&summary.zones) {
        picture(part, &Picture { title: "Zone", filter: "#zone=", groups: &summary.zones });
    }
    part
}

struct Picture<'a> {
    title: &'static str,
    /// The address that finds the nodes of a group, without its name.
    filter: &'static str,
    groups: &'a [Group<'a>],
}

fn picture<'a>(part: &'a mut Markup, picture: &Picture) -> &'a mut Markup {
    let Picture { title, filter, groups } = *picture;
    part.raw("<table><caption>").raw(title).raw("</caption><thead><tr><th scope=\"col\">Name</th>");
    part.raw("<th scope=\"col\"><span class=\"hidden\">Share</span></th>");
    part.raw("<th scope=\"col\">ready / all</th></tr></thead><tbody>\n");
    let (first, others) = groups.split_at(groups.len().min(GROUPS));
    for group in first {
        part.raw("<tr><th scope=\"row\"><a href=\"").raw(filter).parameter(group.name).raw("\">");
        part.text(or(group.name, "(not known)")).raw("</a></th>");
        numbers(part, group.tally);
    }
    if !others.is_empty() {
        let tally = others.iter().fold(Tally::default(), |sum, group| sum.plus(group.tally));
        part.raw("<tr><th scope=\"row\">").number(others.len()).raw(" others</th>");
        numbers(part, tally);
    }
    part.raw("</tbody></table>\n")
}

fn numbers(part: &mut Markup, tally: Tally) {
    part.raw("<td>");
    bar(part, tally, tally.total())
        .raw("</td><td class=\"number\">")
        .number(tally.ready)
        .raw(" / ");
    part.number(tally.total()).raw("</td></tr>\n");
}

fn or<'a>(text: &'a str, instead: &'a str) -> &'a str {
    if text.is_empty() { instead } else { text }
}

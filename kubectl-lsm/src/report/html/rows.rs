//! The first rows of the table of nodes. The page's script replaces them with rows that can be
//! opened, searched and sorted.

use lsm_ready_crds::Evidence;

use crate::fleet::NodeRow;
use crate::report::markup::Markup;
use crate::report::summary::evidence;

/// Nodes in the table of a reader without JavaScript.
const ROWS: usize = 300;

/// How many nodes the table has without JavaScript.
pub fn found(part: &mut Markup, nodes: usize) -> &mut Markup {
    if nodes > ROWS {
        part.text("The first ").number(ROWS).raw(" of ");
    }
    part.number(nodes).raw(if nodes == 1 { " node." } else { " nodes." })
}

pub fn rows<'a>(part: &'a mut Markup, nodes: &[&NodeRow]) -> &'a mut Markup {
    for node in nodes.iter().take(ROWS) {
        row(part, node);
    }
    part
}

fn row(part: &mut Markup, node: &NodeRow) {
    let state = node.verdict.state;
    part.raw("<tr><th scope=\"row\">").text(&node.name);
    part.raw("</th><td><span class=\"state ").class(state).raw("\">").raw(state.words());
    part.raw("</span><span class=\"also\">").text(&node.verdict.reason);
    part.raw("</span></td><td class=\"reason\">").text(&node.verdict.reason);
    part.raw("</td><td class=\"evidence\">");
    let evidence = evidence(node);
    steps(part, evidence);
    part.raw(evidence.as_str());
    part.raw("</td><td class=\"kernel\">").text(&node.kernel);
    part.raw("</td><td class=\"pool\">").text(node.labels.pool.as_deref().unwrap_or_default());
    part.raw("</td><td class=\"zone\">").text(node.labels.zone.as_deref().unwrap_or_default());
    part.raw("</td></tr>\n");
}

/// The rungs of the ladder as a small picture.
fn steps(part: &mut Markup, evidence: Evidence) {
    part.raw("<span class=\"steps\" aria-hidden=\"true\">");
    for rung in Evidence::RUNGS {
        part.raw(if rung <= evidence { "<i class=\"on\"></i>" } else { "<i></i>" });
    }
    part.raw("</span>");
}

//! The nodes as data for the page's script. Most nodes of a fleet have the same messages, fixes and
//! checks, so each of these is there once, and a node has its index.

use std::collections::HashMap;
use std::hash::Hash;

use lsm_ready_crds::State;
use lsm_ready_crds::text::printable;
use serde::Serialize;
use serde_json::{Value, json};

use crate::fleet::{CheckRow, NodePolicyRow, NodeRow, Shown, VerdictRow};
use crate::report::summary::evidence;

/// Longer texts are cut.
const MAX_CHARS: usize = 2048;
/// Bytes of all texts together. Honest fleets need a hundredth. It bounds the file where each node
/// reports other texts.
const MAX_BYTES: usize = 24 << 20;
const LEFT_OUT: &str = "(left out, because the texts of this fleet are too large for one page)";

/// The names of a node's values, in their order. The script finds values by these names.
const COLUMNS: [&str; 21] = [
    "name",
    "state",
    "evidence",
    "reason",
    "message",
    "fix",
    "kernel",
    "arch",
    "os",
    "pool",
    "zone",
    "instanceType",
    "lsms",
    "lockdown",
    "probe",
    "age",
    "silent",
    "rungs",
    "checks",
    "policies",
    "shown",
];

/// What the script reads.
#[derive(Serialize)]
struct Data {
    columns: [&'static str; 21],
    /// The first one is empty.
    texts: Vec<String>,
    /// Lists of checks: name, outcome, reason, detail and fix of each.
    checks: Vec<Vec<[usize; 5]>>,
    /// Lists of policies: name, state, reason, message and fix of each.
    policies: Vec<Vec<[usize; 5]>>,
    nodes: Vec<[Value; 21]>,
}

/// The nodes, in this order.
pub fn json(nodes: &[&NodeRow]) -> String {
    let mut tables = Tables::default();
    let nodes = nodes.iter().map(|node| tables.node(node)).collect();
    let Tables { texts, checks, policies, .. } = tables;
    let data = Data {
        columns: COLUMNS,
        texts: texts.list,
        checks: checks.list,
        policies: policies.list,
        nodes,
    };
    // Serialising cannot fail: each key is a text. Without data the page's script ends with an
    // error, and the page stays as it is without JavaScript.
    serde_json::to_string(&data).unwrap_or_default()
}

/// Values that are stored once.
struct Shared<T> {
    list: Vec<T>,
    index: HashMap<T, usize>,
}

impl<T> Default for Shared<T> {
    fn default() -> Self {
        Self { list: Vec::new(), index: HashMap::new() }
    }
}

impl<T: Clone + Eq + Hash> Shared<T> {
    /// The index of the value.
    fn add(&mut self, value: T) -> usize {
        let Self { list, index } = self;
        *index.entry(value).or_insert_with_key(|value| {
            list.push(value.clone());
            list.len() - 1
        })
    }
}

struct Tables {
    texts: Shared<String>,
    /// Bytes that texts may still have.
    room: usize,
    checks: Shared<Vec<[usize; 5]>>,
    policies: Shared<Vec<[usize; 5]>>,
}

impl Default for Tables {
    fn default() -> Self {
        let mut texts = Shared::default();
        texts.add(String::new());
        Self { texts, room: MAX_BYTES, checks: Shared::default(), policies: Shared::default() }
    }
}

impl Tables {
    fn text(&mut self, text: &str) -> usize {
        let text = printable(text, MAX_CHARS);
        if let Some(index) = self.texts.index.get(&text) {
            return *index;
        }
        let Some(room) = self.room.checked_sub(text.len()) else {
            return self.texts.add(LEFT_OUT.to_owned());
        };
        self.room = room;
        self.texts.add(text)
    }

    fn optional(&mut self, text: Option<&String>) -> usize {
        text.map_or(0, |text| self.text(text))
    }

    fn checks(&mut self, checks: &[CheckRow]) -> usize {
        let list = checks.iter().map(|check| {
            let CheckRow { name, outcome, reason, detail, fix } = check;
            let texts = [name, reason, detail, fix].map(|text| self.text(text));
            [texts[0], number(*outcome), texts[1], texts[2], texts[3]]
        });
        let list = list.collect();
        self.checks.add(list)
    }

    fn policies(&mut self, node: &NodeRow) -> usize {
        let list = node.policies.iter().map(|row| {
            let VerdictRow { state, reason, message, fix } = whole_verdict(row, &node.shown);
            let texts = [&row.policy, &reason, &message, &fix].map(|text| self.text(text));
            [texts[0], number(state), texts[1], texts[2], texts[3]]
        });
        let list = list.collect();
        self.policies.add(list)
    }

    /// The values of a node, in the order of [`COLUMNS`].
    fn node(&mut self, node: &NodeRow) -> [Value; 21] {
        let NodeRow { verdict, labels, .. } = node;
        [
            json!(printable(&node.name, MAX_CHARS)),
            json!(number(verdict.state)),
            json!(evidence(node) as u8),
            json!(self.text(&verdict.reason)),
            json!(self.text(&verdict.message)),
            json!(self.text(&verdict.fix)),
            json!(self.text(&node.kernel)),
            json!(self.optional(labels.arch.as_ref())),
            json!(self.text(&node.os_image)),
            json!(self.optional(labels.pool.as_ref())),
            json!(self.optional(labels.zone.as_ref())),
            json!(self.optional(labels.instance_type.as_ref())),
            json!(self.text(&node.lsms.join(", "))),
            json!(self.optional(node.lockdown.as_ref())),
            json!(self.text(&node.probe_version)),
            json!(node.age_seconds),
            json!(u8::from(node.is_silent)),
            json!(self.checks(&node.rungs)),
            json!(self.checks(&node.checks)),
            json!(self.policies(node)),
            json!(self.text(&shown(&node.shown))),
        ]
    }
}

/// What a policy says about a node. Where it also requires what TracingPolicies require, only the
/// operator knows all of it, and the Node's label has its answer: without one the node is not shown
/// as ready.
fn whole_verdict(row: &NodePolicyRow, shown: &Shown) -> VerdictRow {
    let mut verdict = row.verdict.clone();
    if row.has_tracing_policies {
        let label = shown.policies.get(&row.policy).map_or("", String::as_str);
        verdict.state = verdict.state.worst(match label {
            "ready" => State::Ready,
            "not-ready" => State::NotReady,
            _ => State::Unknown,
        });
        let label = if label.is_empty() { "not there" } else { label };
        verdict.message = format!(
            "{}. The policy also requires what its TracingPolicies require; the Node's label, \
             which includes that, is {label}",
            verdict.message
        );
    }
    verdict
}

/// The index of the state in the script's lists.
const fn number(state: State) -> usize {
    match state {
        State::Ready => 0,
        State::NotReady => 1,
        State::Unknown => 2,
    }
}

/// What the Node shows, in one line.
fn shown(shown: &Shown) -> String {
    let bpf = shown.bpf.iter().map(|value| format!("label bpf={value}"));
    let policies = &shown.policies;
    let policies = policies.iter().map(|(name, value)| format!("label policy.{name}={value}"));
    let taints = shown.taints.iter().map(|taint| format!("taint {taint}"));
    let condition = shown.condition.iter();
    let condition = condition.map(|one| format!("condition {}={}", one.type_, one.status));
    bpf.chain(policies).chain(taints).chain(condition).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_stored_once_and_an_empty_one_is_the_first() {
        let mut tables = Tables::default();
        assert_eq!(tables.text(""), 0);
        let [one, other, again] = ["one", "other", "one"].map(|text| tables.text(text));
        assert_eq!((one, other, again), (1, 2, 1));
        assert_eq!(tables.texts.list, ["", "one", "other"]);
    }

    #[test]
    fn texts_that_are_too_large_together_are_left_out_and_known_ones_stay() {
        let mut tables = Tables { room: 10, ..Tables::default() };
        let known = tables.text("0123456");
        for text in ["abcdefg", "hijklmn"] {
            let index = tables.text(text);
            assert_eq!(tables.texts.list[index], LEFT_OUT);
        }
        assert_eq!(tables.text("0123456"), known);
    }

    #[test]
    fn a_policy_that_requires_more_than_the_report_shows_is_ready_only_by_the_nodes_label() {
        let mut fleet = crate::report::fixture::fleet(1);
        let node = &mut fleet.nodes[0];
        node.policies[0].has_tracing_policies = true;
        let policy = node.policies[0].policy.clone();
        for (label, state) in [("ready", 0), ("not-ready", 1), ("unknown", 2), ("", 2)] {
            node.shown.policies.insert(policy.clone(), label.to_owned());
            let mut tables = Tables::default();
            tables.node(node);
            assert_eq!(tables.policies.list[0][0][1], state, "{label:?}");
        }
    }
}

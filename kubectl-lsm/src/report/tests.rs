#![allow(clippy::unwrap_used, reason = "what cannot be prepared fails the test")]

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use lsm_ready_crds::State;
use lsm_ready_crds::text::printable;
use proptest::prelude::*;
use pulldown_cmark::{Event, Options, Parser, Tag};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::fixture::{HOSTILE, fleet, hostile};
use super::markup::{Markup, with_commas};
use super::summary::{Summary, Tally};
use super::{html, json, markdown};
use crate::fleet::Fleet;

/// A small fleet with this text in many places.
fn with_text(text: &str) -> Fleet {
    let mut fleet = fleet(9);
    let own = || text.to_owned();
    fleet.context.name = own();
    fleet.context.server = own();
    fleet.notes = vec![own()];
    for node in &mut fleet.nodes {
        (node.name, node.kernel, node.os_image) = (own(), own(), own());
        (node.labels.pool, node.labels.zone) = (Some(own()), Some(own()));
        node.verdict.state = State::NotReady;
        (node.verdict.reason, node.verdict.message, node.verdict.fix) = (own(), own(), own());
        node.checks.iter_mut().for_each(|check| (check.name, check.detail) = (own(), own()));
    }
    for policy in &mut fleet.policies {
        (policy.name, policy.node_selector) = (own(), own());
        policy.conditions.iter_mut().for_each(|one| (one.reason, one.message) = (own(), own()));
    }
    for agent in &mut fleet.agents {
        (agent.name, agent.image) = (own(), Some(own()));
        agent.conditions.iter_mut().for_each(|one| (one.reason, one.message) = (own(), own()));
    }
    fleet
}

/// Any text in which something can be seen, often with letters that mean something in HTML, JSON or
/// Markdown.
fn any_text() -> impl Strategy<Value = String> {
    prop_oneof![
        "\\PC{1,40}",
        proptest::collection::vec(any::<char>(), 1..20).prop_map(String::from_iter),
        "[<>&\"'`|\\\\\\[\\]()!*_{}#:/@.a\n\u{2028}\u{202e}-]{1,30}",
        proptest::sample::select(HOSTILE.to_vec()).prop_map(str::to_owned),
    ]
    .prop_filter("it can be seen", |text| !printable(text, usize::MAX).trim().is_empty())
}

/// The text between the first `open` and the next `close`.
fn between<'a>(page: &'a str, open: &str, close: &str) -> &'a str {
    let from = page.find(open).unwrap() + open.len();
    &page[from..from + page[from..].find(close).unwrap()]
}

fn data(page: &str) -> &str {
    between(page, "<script type=\"application/json\" id=\"data\">", "</script>")
}

fn count(page: &str, letter: char) -> usize {
    page.matches(letter).count()
}

fn unescaped(text: &str) -> String {
    [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&#39;", "'"), ("&amp;", "&")]
        .iter()
        .fold(text.to_owned(), |text, (escape, letter)| text.replace(escape, letter))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn a_text_in_markup_is_read_back_and_has_no_markup(text in any_text()) {
        let mut part = Markup::default();
        part.text(&text);
        let escaped = part.into_string();
        prop_assert!(!escaped.contains(['<', '>', '"', '\'']), "{escaped}");
        prop_assert_eq!(unescaped(&escaped), printable(&text, usize::MAX));
    }

    #[test]
    fn no_text_of_a_fleet_adds_a_tag_to_the_page(text in any_text()) {
        let (page, plain) = (html(&with_text(&text)), html(&with_text("x")));
        for letter in ['<', '>', '"'] {
            let quotes = count(data(&page), letter) - count(data(&plain), letter);
            prop_assert_eq!(count(&page, letter) - quotes, count(&plain, letter), "{}", letter);
        }
        prop_assert!(!data(&page).contains(['<', '>', '&']));
    }

    #[test]
    fn the_data_of_the_page_has_each_text_of_the_fleet(text in any_text()) {
        let page = html(&with_text(&text));
        let data: Value = serde_json::from_str(data(&page)).unwrap();
        let shown = printable(&text, usize::MAX);
        for node in data["nodes"].as_array().unwrap() {
            prop_assert_eq!(node[0].as_str(), Some(&*shown));
            let message = usize::try_from(node[4].as_u64().unwrap()).unwrap();
            prop_assert_eq!(data["texts"][message].as_str(), Some(&*shown));
        }
    }

    #[test]
    fn no_text_of_a_fleet_has_a_meaning_in_markdown(text in any_text()) {
        let read = read_markdown(&markdown(&with_text(&text)));
        prop_assert_eq!(&read.tags, &read_markdown(&markdown(&with_text("x"))).tags);
        let shown = printable(&text, usize::MAX);
        prop_assert!(read.cells.contains(&shown.trim().to_owned()), "{shown:?}: {:?}", read.cells);
    }
}

/// What a reader of Markdown sees.
struct Read {
    /// The tags, without the texts in them.
    tags: Vec<String>,
    cells: Vec<String>,
}

fn read_markdown(page: &str) -> Read {
    let mut read = Read { tags: vec![], cells: vec![] };
    // Typographic quotes are wanted by some readers, and are harmless.
    let options = Options::all() - Options::ENABLE_SMART_PUNCTUATION;
    for event in Parser::new_ext(page, options) {
        match event {
            Event::Text(text) => {
                if let Some(cell) = read.cells.last_mut() {
                    cell.push_str(&text);
                }
            }
            Event::Start(tag) => {
                if matches!(tag, Tag::TableCell) {
                    read.cells.push(String::new());
                }
                read.tags.push(format!("{tag:?}"));
            }
            Event::End(_) => {}
            other => read.tags.push(format!("{other:?}")),
        }
    }
    read
}

#[test]
fn the_hostile_fleet_has_only_our_own_tags() {
    let page = html(&hostile());
    for tag in ["<img", "<b>bold", "<svg onload", "</textarea"] {
        assert!(!page.contains(tag), "{tag}");
    }
    assert_eq!(page.matches("<script").count(), 2);
    assert_eq!(page.matches("</script").count(), 2);
}

#[test]
fn the_policy_allows_the_style_and_the_script_of_the_page_and_nothing_else() {
    let page = html(&fleet(3));
    let policy = unescaped(between(&page, "Content-Security-Policy\" content=\"", "\">"));
    let hash = |text: &str| format!("'sha256-{}'", BASE64_STANDARD.encode(Sha256::digest(text)));
    let style = hash(between(&page, "<style>", "</style>"));
    let script = hash(between(&page, "</script>\n<script>", "</script>"));
    assert_eq!(
        policy,
        format!(
            "default-src 'none'; style-src {style}; script-src {script}; base-uri 'none'; \
             form-action 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
        )
    );
    // Such attributes would need a wider policy.
    assert!(!page.contains(" style=") && !page.contains(" onclick="));
}

#[test]
fn every_part_of_the_page_is_filled() {
    let page = html(&fleet(3));
    assert!(!page.contains("{{") && !page.contains("}}"));
    for title in ["overview", "reasons", "groups", "nodes", "policies", "agents", "parts"] {
        let section = between(&page, &format!("<section id=\"{title}\""), "</section>");
        assert!(section.len() > 200, "{title}: {section}");
    }
}

#[test]
fn the_counts_are_those_of_the_fleet() {
    let fleet = fleet(1_000);
    let summary = Summary::of(&fleet);
    let of = |state| fleet.nodes.iter().filter(|node| node.verdict.state == state).count();
    let [ready, not_ready, unknown] = Tally::STATES.map(of);
    assert_eq!(summary.all, Tally { ready, not_ready, unknown });
    assert!(ready > 500 && not_ready > 50 && unknown > 5, "the fleet has every state");
    for groups in [&summary.reasons, &summary.kernels, &summary.pools, &summary.zones] {
        let sum = groups.iter().fold(Tally::default(), |sum, group| sum.plus(group.tally));
        assert_eq!(sum, summary.all);
    }
    let page = html(&fleet);
    let answer = between(&page, "<p class=\"answer\">", "</p>");
    assert_eq!(answer, format!("<b>{ready}</b> of 1,000 nodes can deny."));
    let markdown = markdown(&fleet);
    assert!(markdown.contains(&format!("**{ready} of 1,000 nodes can deny.**")));
    assert!(markdown.contains(&format!("{not_ready} not ready, {unknown} unknown.")));
}

#[test]
fn evidence_of_another_boot_is_not_shown() {
    let mut fleet = fleet(1);
    assert!(html(&fleet).contains("</span>Denied</td>"));
    fleet.nodes[0].rungs.clear();
    assert!(html(&fleet).contains("</span>None</td>"));
}

#[test]
fn silent_probes_and_labels_that_differ_are_counted() {
    let mut fleet = fleet(5);
    assert!(!html(&fleet).contains("class=\"note\">1"));
    fleet.nodes[0].is_silent = true;
    fleet.nodes[1].shown.bpf = Some("other".to_owned());
    let page = html(&fleet);
    assert!(page.contains("<p class=\"note\">1 probe is silent."));
    assert!(page.contains("<p class=\"note\">1 Node has a label that differs from the report."));
}

#[test]
fn the_same_fleet_gives_the_same_bytes() {
    let (one, other) = (hostile(), hostile());
    assert_eq!(html(&one), html(&other));
    assert_eq!(markdown(&one), markdown(&other));
    assert_eq!(json(&one), json(&other));
}

#[test]
fn the_json_is_the_whole_fleet() {
    let fleet = hostile();
    assert_eq!(serde_json::from_str::<Fleet>(&json(&fleet)).unwrap(), fleet);
}

#[test]
fn most_nodes_take_less_than_200_bytes_of_the_page() {
    let [few, many] = [1_000, 3_000].map(|nodes| html(&fleet(nodes)).len());
    assert!((many - few) / 2_000 < 200, "{few} bytes, {many} bytes");
}

#[test]
fn numbers_have_commas() {
    let numbers = [0, 12, 999, 1_000, 20_000, 1_234_567].map(with_commas);
    assert_eq!(numbers, ["0", "12", "999", "1,000", "20,000", "1,234,567"]);
}

#[test]
fn pools_and_zones_are_shown_where_a_node_has_one() {
    let mut fleet = fleet(9);
    for title in ["<caption>Pool</caption>", "<caption>Zone</caption>"] {
        assert!(html(&fleet).contains(title), "{title}");
    }
    assert!(markdown(&fleet).contains("By pool"));
    fleet.nodes.iter_mut().for_each(|node| (node.labels.pool, node.labels.zone) = (None, None));
    let (page, text) = (html(&fleet), markdown(&fleet));
    assert!(!page.contains("<caption>Pool") && !page.contains("<caption>Zone"));
    assert!(!text.contains("By pool") && !text.contains("By zone") && text.contains("By kernel"));
}

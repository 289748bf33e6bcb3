//! The pages list every condition and reason that there is, and none that there is not.

mod sources;

use std::collections::BTreeSet;
use std::path::Path;

use lsm_ready_crds::{ConditionReason, Reason};
use lsm_ready_operator::policy::status;
use sources::{Tree, is_page};

/// The codes in the first column of a page's tables.
fn documented(page: &str) -> BTreeSet<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(page);
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once('`'))
        .map(|(code, _)| code.to_owned())
        .collect()
}

fn set<'a>(codes: impl IntoIterator<Item = &'a str>) -> BTreeSet<String> {
    codes.into_iter().map(str::to_owned).collect()
}

#[test]
fn every_condition_and_its_reasons_are_documented() {
    let reasons = ConditionReason::ALL.iter().map(|reason| reason.code());
    let known = status::TYPES.into_iter().chain(reasons);
    assert_eq!(documented("conditions.md"), set(known));
}

#[test]
fn every_reason_of_a_node_is_documented() {
    assert_eq!(documented("reasons.md"), set(Reason::ALL.iter().map(|reason| reason.code())));
}

/// Names with a prefix of ours that a text mentions.
fn mentioned<'a>(text: &'a str, prefix: &'a str) -> impl Iterator<Item = &'a str> {
    text.match_indices(prefix).filter_map(move |(at, _)| {
        let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let end = text[at..].find(|c| !is_part(c)).map_or(text.len(), |end| at + end);
        let is_start = !text[..at].ends_with(is_part);
        (is_start && end > at + prefix.len()).then(|| &text[at..end])
    })
}

#[test]
fn every_metric_and_environment_variable_of_pages_and_manifests_exists() {
    let tree = Tree::read();
    let known = tree.text("docs/api-names.md").unwrap_or_default();
    let mut wrong = Vec::new();
    let mut checked = 0;
    for (file, text) in tree.texts() {
        if !is_page(file) && !file.starts_with("config/") {
            continue;
        }
        for name in ["LSM_READY_", "lsm_ready_"].iter().flat_map(|prefix| mentioned(text, prefix)) {
            checked += 1;
            if !known.contains(&format!("`{name}`")) {
                wrong.push(format!("{file}: there is no {name}"));
            }
        }
    }
    assert!(checked > 20, "only {checked} names were found: is the search broken?");
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

//! The pages list every condition and reason that there is, and none that there is not.

use std::collections::BTreeSet;
use std::path::Path;

use lsm_ready_crds::{ConditionReason, Reason};
use lsm_ready_operator::policy::status;

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

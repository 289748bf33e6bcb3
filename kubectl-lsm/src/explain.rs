//! `explain`: what a reason means, how to tell it apart, and what to do.
//!
//! In: a code. Out: what docs/reasons.md and docs/conditions.md say about it.

use lsm_ready_crds::conditions::tables::{Row, TABLES};
use lsm_ready_crds::text::nearest;
use lsm_ready_crds::{ConditionReason, Reason};
use serde::Serialize;

use crate::cli::ExplainArgs;
use crate::output::table::{Cell, table};
use crate::output::{self, COLUMNS, labelled, wrapped};

/// The name of this form of JSON.
pub const SCHEMA: &str = "lsmready.io/explain/v1";

/// A code that is not known.
#[derive(Debug, Eq, PartialEq, thiserror::Error)]
#[error("unknown reason {code:?}: `kubectl lsm-ready explain` lists all{}", did_you_mean(.near))]
pub struct Error {
    code: String,
    near: Vec<String>,
}

fn did_you_mean(near: &[String]) -> String {
    if near.is_empty() { String::new() } else { format!("; did you mean {}?", near.join(" or ")) }
}

/// The explanations that were asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Explanations {
    /// [`SCHEMA`].
    pub schema: &'static str,
    pub explanations: Vec<Explanation>,
}

/// What one code means in one place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Explanation {
    pub code: &'static str,
    /// What has the reason: `node`, or the type of a condition.
    pub of: &'static str,
    /// The node's state, for a reason of nodes.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub state: String,
    pub meaning: &'static str,
    /// How to tell the reason apart from similar ones.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub distinguish: &'static str,
    /// What to do. Empty where nothing has to be done.
    pub fix: &'static str,
}

/// The answer of the command.
pub fn explain(args: &ExplainArgs) -> Result<String, Error> {
    let all = all();
    let Some(code) = &args.code else {
        let all = Explanations { schema: SCHEMA, explanations: all };
        return Ok(output::object(&all, args.output, || overview(&all.explanations)));
    };
    let is_meant = |of: &Explanation| of.code.eq_ignore_ascii_case(code);
    let found: Vec<Explanation> = all.iter().filter(|of| is_meant(of)).cloned().collect();
    if found.is_empty() {
        let codes: std::collections::BTreeSet<&str> = all.iter().map(|of| of.code).collect();
        let near = nearest(code, codes.into_iter()).into_iter().map(str::to_owned).collect();
        return Err(Error { code: code.clone(), near });
    }
    let found = Explanations { schema: SCHEMA, explanations: found };
    Ok(output::object(&found, args.output, || {
        found.explanations.iter().map(text).collect::<Vec<_>>().join("\n")
    }))
}

/// Every code, in the order of the documentation.
fn all() -> Vec<Explanation> {
    let nodes = Reason::ALL.iter().map(|reason| Explanation {
        code: reason.code(),
        of: "node",
        state: reason.node_is(),
        meaning: reason.meaning(),
        distinguish: reason.distinguish(),
        fix: reason.remedy(),
    });
    let conditions = TABLES.iter().flat_map(|(type_, rows)| rows.iter().map(|row| of(type_, row)));
    nodes.chain(conditions).collect()
}

fn of(type_: &'static str, row: &Row) -> Explanation {
    let Row { reason, meaning, remedy } = *row;
    let code = ConditionReason::code(reason);
    Explanation { code, of: type_, state: String::new(), meaning, distinguish: "", fix: remedy }
}

fn text(of: &Explanation) -> String {
    let mut text = if of.state.is_empty() {
        wrapped("", &format!("{} (condition {}): {}.", of.code, of.of, plain(of.meaning)))
    } else {
        wrapped("", &format!("{} (the node is {}): {}", of.code, of.state, plain(of.meaning)))
    };
    if !of.distinguish.is_empty() {
        text += &wrapped("  ", &plain(of.distinguish));
    }
    if !of.fix.is_empty() {
        text += &labelled("  Fix: ", &plain(of.fix));
    }
    text
}

/// The text without the links of the pages: `[reasons.md](reasons.md)` is `reasons.md`.
fn plain(text: &str) -> String {
    let mut plain = String::new();
    let mut rest = text;
    while let Some((before, link)) = rest.split_once('[') {
        plain.push_str(before);
        match link.split_once("](").and_then(|(name, after)| Some((name, after.split_once(')')?.1)))
        {
            Some((name, after)) => {
                plain.push_str(name);
                rest = after;
            }
            None => {
                plain.push('[');
                rest = link;
            }
        }
    }
    plain + rest
}

fn overview(all: &[Explanation]) -> String {
    let rows: Vec<[Cell; 3]> =
        all.iter().map(|of| [of.code.into(), of.of.into(), plain(of.meaning).into()]).collect();
    table(["CODE", "OF", "MEANING"], &rows, Some(COLUMNS))
}

#[cfg(test)]
mod tests {
    use crate::cli::ObjectFormat;

    use super::*;

    fn explained(code: &str) -> Result<String, Error> {
        explain(&ExplainArgs { code: Some(code.to_owned()), output: ObjectFormat::Text })
    }

    #[test]
    fn every_code_is_explained_within_80_columns() {
        for of in all() {
            let text = explained(of.code).unwrap();
            assert!(text.starts_with(of.code) && !text.contains("]("), "{text}");
            assert!(text.lines().all(|line| line.chars().count() <= COLUMNS), "{text}");
        }
        let every = explain(&ExplainArgs { code: None, output: ObjectFormat::Text }).unwrap();
        assert_eq!(every.lines().count(), all().len() + 1);
    }

    #[test]
    fn a_mistyped_code_is_refused_with_the_right_one() {
        assert!(explained("bpfnotinlsmlist").unwrap().starts_with("BpfNotInLsmList"));
        let said = explained("BpfNotInLsmLst").unwrap_err().to_string();
        assert!(said.contains("did you mean BpfNotInLsmList?"), "{said}");
        assert!(explained("").is_err());
    }

    #[test]
    fn a_link_is_its_name() {
        for (text, shown) in [
            ("see [reasons.md](reasons.md) and [a](b).", "see reasons.md and a."),
            ("a [list] of [x", "a [list] of [x"),
            ("", ""),
        ] {
            assert_eq!(plain(text), shown);
        }
    }
}

//! What commands print: tables, wrapped texts, colours, JSON and YAML.

pub mod table;
pub mod tone;

use serde::Serialize;

use crate::cli::ObjectFormat;
use crate::render;

/// Columns of a terminal that every output for people fits into.
pub const COLUMNS: usize = 80;

/// The object in the format for programs, or else the text.
pub fn object(
    object: &impl Serialize,
    format: ObjectFormat,
    text: impl FnOnce() -> String,
) -> String {
    match format {
        ObjectFormat::Text => text(),
        ObjectFormat::Json => render::json(object),
        ObjectFormat::Yaml => render::yaml(object),
    }
}

/// The text in lines of at most [`COLUMNS`] columns, each after that indent.
pub fn wrapped(indent: &str, text: &str) -> String {
    filled(indent, indent, text)
}

/// The text, with a label before its first line.
pub fn labelled(label: &str, text: &str) -> String {
    let indent = " ".repeat(table::width(label));
    filled(label, &indent, text)
}

/// Names have hyphens, and a name is not split at one.
fn filled(first: &str, others: &str, text: &str) -> String {
    let options = textwrap::Options::new(COLUMNS)
        .initial_indent(first)
        .subsequent_indent(others)
        .word_splitter(textwrap::WordSplitter::NoHyphenation);
    textwrap::fill(text, options) + "\n"
}

/// The age as kubectl writes it: the largest unit, or two of them where it is small.
pub fn age(seconds: i64) -> String {
    match seconds {
        ..120 => format!("{}s", seconds.max(0)),
        120..7_200 => format!("{}m", seconds / 60),
        7_200..172_800 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_not_split_at_its_hyphens() {
        let text =
            labelled("Operator  ", "1 of 1 available, lsm-ready-system/a-long-name-of-it, x");
        assert_eq!(text, "Operator  1 of 1 available, lsm-ready-system/a-long-name-of-it, x\n");
        let text = wrapped("", &("word ".repeat(15) + "a-b-c-d-e-f"));
        assert!(text.ends_with("\na-b-c-d-e-f\n"), "{text}");
    }

    #[test]
    fn an_age_has_the_unit_that_says_most() {
        for (seconds, shown) in
            [(-5, "0s"), (0, "0s"), (119, "119s"), (120, "2m"), (7_200, "2h"), (200_000, "2d")]
        {
            assert_eq!(age(seconds), shown);
        }
    }
}

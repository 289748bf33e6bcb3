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
    let options = textwrap::Options::new(COLUMNS).initial_indent(indent).subsequent_indent(indent);
    textwrap::fill(text, options) + "\n"
}

/// The text, with a label before its first line.
pub fn labelled(label: &str, text: &str) -> String {
    let indent = " ".repeat(table::width(label));
    let options = textwrap::Options::new(COLUMNS).initial_indent(label).subsequent_indent(&indent);
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
    fn an_age_has_the_unit_that_says_most() {
        for (seconds, shown) in
            [(-5, "0s"), (0, "0s"), (119, "119s"), (120, "2m"), (7_200, "2h"), (200_000, "2d")]
        {
            assert_eq!(age(seconds), shown);
        }
    }
}

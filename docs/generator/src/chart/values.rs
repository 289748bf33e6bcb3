//! The table of the chart's values, made of the comments in values.yaml.
//!
//! In: values.yaml. A comment stands directly above its key. Out: for each top-level key a heading,
//! and for each key with a comment below it a row with its path, its default and the comment.

use std::path::Path;

use serde_json::Value;

use crate::markdown::{code, heading, table as markdown_table};
use crate::{Error, read};

/// A key of values.yaml with a comment.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Documented {
    /// Its path, for example `image.registry`.
    pub path: String,
    pub comment: String,
}

/// The table of that file.
pub fn table(file: &Path) -> Result<String, Error> {
    let text = read(file)?;
    let values: Value = serde_saphyr::from_str(&text)
        .map_err(|error| Error::Manifest { path: file.to_owned(), message: error.to_string() })?;
    let documented = documented(&text);
    let mut page = String::new();
    let mut rows = Vec::new();
    for one in &documented {
        if is_group(one, &documented) {
            page.push_str(&rendered(&mut rows));
            page.push_str(&heading(&one.comment));
            continue;
        }
        if !one.path.contains('.') {
            page.push_str(&rendered(&mut rows));
            page.push('\n');
        }
        let default = values.pointer(&format!("/{}", one.path.replace('.', "/")));
        let default = default.map_or_else(String::new, Value::to_string);
        rows.push([code(&one.path), code(&default), one.comment.clone()]);
    }
    page.push_str(&rendered(&mut rows));
    Ok(page)
}

fn rendered(rows: &mut Vec<[String; 3]>) -> String {
    if rows.is_empty() {
        return String::new();
    }
    markdown_table(["value", "default", "meaning"], rows.drain(..))
}

/// Whether other keys with a comment are below it.
pub fn is_group(one: &Documented, all: &[Documented]) -> bool {
    let below = format!("{}.", one.path);
    all.iter().any(|other| other.path.starts_with(&below))
}

/// The keys with a comment, in their order.
pub fn documented(text: &str) -> Vec<Documented> {
    let mut found = Vec::new();
    let mut comment: Vec<&str> = Vec::new();
    let mut path: Vec<(usize, String)> = Vec::new();
    for line in text.lines() {
        let trimmed = line.trim_start();
        let indentation = line.len() - trimmed.len();
        if let Some(words) = trimmed.strip_prefix('#') {
            comment.push(words.trim());
            continue;
        }
        let key = trimmed.split_once(':').map(|(key, _)| key);
        let Some(key) = key.filter(|key| !key.is_empty() && !key.starts_with("- ")) else {
            comment.clear();
            continue;
        };
        path.retain(|(above, _)| *above < indentation);
        path.push((indentation, key.to_owned()));
        if !comment.is_empty() {
            let path: Vec<&str> = path.iter().map(|(_, key)| key.as_str()).collect();
            found.push(Documented { path: path.join("."), comment: comment.join(" ") });
            comment.clear();
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comment_belongs_to_the_key_below_it() {
        let text = "# The file.\n\n# Group\na:\n  # One,\n  # in two lines.\n  b: 1\n  \
            c:\n    # Two\n    d: {x: y}\n# Three\ne: []\n";
        let found = documented(text);
        let pairs: Vec<_> = found.iter().map(|d| (d.path.as_str(), d.comment.as_str())).collect();
        let expected =
            [("a", "Group"), ("a.b", "One, in two lines."), ("a.c.d", "Two"), ("e", "Three")];
        assert_eq!(pairs, expected);
    }
}

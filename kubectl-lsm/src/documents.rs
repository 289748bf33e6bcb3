//! Splits a file of manifests into objects, each with its place in the file.
//!
//! In: text, YAML or JSON. Out: its objects, also those in List objects, each with the number and
//! the line of its document. Values are read as kubectl reads them, which is YAML 1.1: `yes`, `no`,
//! `on`, `off`, `y` and `n` are booleans, and numbers with a leading zero are octal (`defaultMode:
//! 0400`).
//!
//! ## Limits
//! Keys stay as written, but kubectl turns the key `on` into `true`. Words such as `oN` are
//! booleans here and text for kubectl. Numbers such as `1__0` are text here and numbers for
//! kubectl.

use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::{Map, Value};
use serde_saphyr::{DuplicateKeyPolicy, MergeKeyPolicy, Options};

/// An object and its place in the file.
#[derive(Clone, Debug, PartialEq)]
pub struct Document {
    /// The number of its document, from 1. Documents with only comments are not counted.
    pub number: usize,
    /// The line on which its document begins, from 1.
    pub line: usize,
    pub value: Value,
}

/// A document is invalid.
#[derive(Debug, Eq, PartialEq, thiserror::Error)]
#[error("{file}:{line}: document {number} cannot be read: {message}")]
pub struct Error {
    pub file: String,
    /// The number of the document, from 1.
    pub number: usize,
    /// The line of the file, from 1.
    pub line: usize,
    pub message: String,
}

/// The objects of that text. The first invalid document is an error.
pub fn parse(file: &str, text: &str) -> Result<Vec<Document>, Error> {
    let documents = match json(text) {
        Some(documents) => documents,
        None => split(text)
            .iter()
            .map(|chunk| yaml(file, chunk, DuplicateKeys::LastCounts))
            .collect::<Result<_, _>>()?,
    };
    Ok(documents.into_iter().flat_map(flat).collect())
}

/// The objects of that text, and its invalid documents. An invalid document does not affect the
/// others. A duplicate key is an error here, because two tools may use different values of it.
pub fn parse_each(file: &str, text: &str) -> (Vec<Document>, Vec<Error>) {
    let (mut documents, mut broken) = (Vec::new(), Vec::new());
    // The YAML reader also reads JSON, and reports duplicate keys. Its other errors do not count
    // for text that the JSON reader accepts.
    let json = json(text);
    let is_stream = json.as_ref().is_some_and(|documents| documents.len() > 1);
    for chunk in split(if is_stream { "" } else { text }) {
        match yaml(file, &chunk, DuplicateKeys::Error) {
            Ok(document) => match duplicate_by_merge(&chunk) {
                Some(message) => broken.push(error(file, &chunk, chunk.line, message)),
                None => documents.extend(flat(document)),
            },
            Err(error) if json.is_none() || error.message.contains("duplicate") => {
                broken.push(error);
            }
            Err(_) => {}
        }
    }
    if documents.is_empty() && broken.is_empty() {
        documents.extend(json.into_iter().flatten().flat_map(flat));
    }
    (documents, broken)
}

/// What a duplicate key means.
#[derive(Clone, Copy)]
enum DuplicateKeys {
    /// The last value counts, as for most tools of Kubernetes.
    LastCounts,
    Error,
}

/// JSON objects, one after another as `jq` prints them. `None` if the text is something else.
fn json(text: &str) -> Option<Vec<Document>> {
    if !text.trim_start().starts_with('{') {
        return None;
    }
    let mut stream = serde_json::Deserializer::from_str(text).into_iter::<Value>();
    let mut documents = Vec::new();
    loop {
        let before = &text[..stream.byte_offset()];
        let blank = text[before.len()..]
            .chars()
            .take_while(|char| char.is_whitespace())
            .filter(|char| *char == '\n');
        let line = 1 + before.matches('\n').count() + blank.count();
        match stream.next() {
            Some(Ok(value)) => {
                documents.push(Document { number: documents.len() + 1, line, value });
            }
            // YAML in flow style begins like JSON.
            Some(Err(_)) => return None,
            None => return Some(documents),
        }
    }
}

/// The text of one document.
struct Chunk<'a> {
    number: usize,
    line: usize,
    text: &'a str,
}

/// A line that begins with three dashes begins a document. YAML does not allow such a line inside a
/// document (YAML 1.2.2, rule `c-forbidden`), so an error in one document does not affect the
/// others.
fn split(text: &str) -> Vec<Chunk<'_>> {
    let mut chunks: Vec<Chunk<'_>> = Vec::new();
    let (mut start, mut first_line, mut offset) = (0, 1, 0);
    for (index, line) in text.split_inclusive('\n').enumerate() {
        if is_marker(line) {
            push(&mut chunks, first_line, &text[start..offset]);
            (start, first_line) = (offset, index + 1);
        }
        offset += line.len();
    }
    push(&mut chunks, first_line, &text[start..]);
    chunks
}

fn push<'a>(chunks: &mut Vec<Chunk<'a>>, line: usize, text: &'a str) {
    let holds = |line: &str| {
        let line = line.trim_start_matches('\u{feff}').strip_prefix("---").unwrap_or(line).trim();
        !(line.is_empty() || line.starts_with(['#', '%']) || line == "...")
    };
    if text.lines().any(holds) {
        chunks.push(Chunk { number: chunks.len() + 1, line, text });
    }
}

fn is_marker(line: &str) -> bool {
    line.strip_prefix("---")
        .is_some_and(|rest| rest.is_empty() || rest.starts_with(char::is_whitespace))
}

fn yaml(file: &str, chunk: &Chunk<'_>, keys: DuplicateKeys) -> Result<Document, Error> {
    let Chunk { number, line, text } = *chunk;
    let read = serde_saphyr::from_str_with_options::<Value>(text, options(keys));
    read.map(|value| Document { number, line, value }).map_err(|found| {
        // Read it again at its place in the file, so that the message has the file's line numbers.
        let in_place = "\n".repeat(line - 1) + text;
        let found = serde_saphyr::from_str_with_options::<Value>(&in_place, options(keys))
            .err()
            .unwrap_or(found);
        let place = found.location().and_then(|location| usize::try_from(location.line()).ok());
        error(file, chunk, place.unwrap_or(line), found.without_snippet().to_string())
    })
}

fn error(file: &str, chunk: &Chunk<'_>, line: usize, message: String) -> Error {
    Error { file: file.to_owned(), number: chunk.number, line, message }
}

/// Why kubectl refuses this document: a merge (`<<`) adds a key that is there already. The YAML
/// reader drops one of the two.
fn duplicate_by_merge(chunk: &Chunk<'_>) -> Option<String> {
    if !chunk.text.contains("<<") {
        return None;
    }
    let mut unmerged = options(DuplicateKeys::Error);
    unmerged.merge_keys = MergeKeyPolicy::AsOrdinary;
    let value = serde_saphyr::from_str_with_options::<Value>(chunk.text, unmerged).ok()?;
    let key = key_merged_twice(&value)?;
    Some(format!(
        "key {key} is there twice after the merge (<<), and kubectl refuses that: remove one of \
         the two"
    ))
}

fn key_merged_twice(value: &Value) -> Option<String> {
    match value {
        Value::Array(list) => list.iter().find_map(key_merged_twice),
        Value::Object(object) => {
            let merged = match object.get("<<") {
                Some(Value::Array(list)) => list.as_slice(),
                Some(one) => std::slice::from_ref(one),
                None => &[],
            };
            let mut seen: BTreeSet<&String> = object.keys().filter(|key| *key != "<<").collect();
            let mut added = merged.iter().filter_map(Value::as_object).flat_map(Map::keys);
            let twice = added.find(|key| !seen.insert(key)).cloned();
            twice.or_else(|| object.values().find_map(key_merged_twice))
        }
        _ => None,
    }
}

fn options(keys: DuplicateKeys) -> Options {
    serde_saphyr::options! {
        duplicate_keys: match keys {
            DuplicateKeys::LastCounts => DuplicateKeyPolicy::LastWins,
            DuplicateKeys::Error => DuplicateKeyPolicy::Error,
        },
        legacy_octal_numbers: true,
    }
}

/// The objects of a List, or the object itself.
fn flat(document: Document) -> Vec<Document> {
    #[derive(Deserialize)]
    struct List {
        kind: String,
        items: Vec<Value>,
    }
    match List::deserialize(&document.value) {
        Ok(list) if list.kind.ends_with("List") => {
            list.items.into_iter().flat_map(|value| flat(Document { value, ..document })).collect()
        }
        _ => vec![document],
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(text: &str) -> Vec<(usize, usize, Value)> {
        let documents = parse("f", text).unwrap();
        documents
            .into_iter()
            .map(|Document { number, line, value }| (number, line, value))
            .collect()
    }

    #[test]
    fn each_document_has_its_number_and_line() {
        let text = concat!(
            "# a comment\n---\n# Source: a\na: 1\n---\n# nothing\n",
            "---\nb: |\n  text\n  ---\n--- {c: 3}\n"
        );
        let expected = vec![
            (1, 2, json!({"a": 1})),
            (2, 7, json!({"b": "text\n---\n"})),
            (3, 11, json!({"c": 3})),
        ];
        assert_eq!(read(text), expected);
        assert_eq!(read("a: 1"), [(1, 1, json!({"a": 1}))]);
        assert_eq!(read("\u{feff}a: 1\r\n---\r\nb: 2\r\n...\r\n")[1], (2, 2, json!({"b": 2})));
        assert_eq!(read(""), []);
        assert_eq!(read("---\n---\n"), []);
    }

    #[test]
    fn a_file_holds_one_json_object_or_several() {
        assert_eq!(read("{\"a\": \"\\ud83d\\ude00\"}"), [(1, 1, json!({"a": "😀"}))]);
        assert_eq!(
            read("\n{\"a\": 1}\n\n{\"b\": 2}\n"),
            [(1, 2, json!({"a": 1})), (2, 4, json!({"b": 2}))]
        );
        assert_eq!(
            read("{a: 1}\n---\n{b: 2}\n"),
            [(1, 1, json!({"a": 1})), (2, 2, json!({"b": 2}))]
        );
    }

    #[test]
    fn objects_in_lists_are_found() {
        let text = concat!(
            "kind: List\nitems:\n- a: 1\n- kind: DaemonSetList\n  items: [{b: 2}]\n",
            "---\nkind: List\n"
        );
        let expected =
            [(1, 1, json!({"a": 1})), (1, 1, json!({"b": 2})), (2, 6, json!({"kind": "List"}))];
        assert_eq!(read(text), expected);
    }

    #[test]
    fn octal_numbers_booleans_and_duplicate_keys_are_read_as_kubernetes_does() {
        let text = "mode: 0400\non: yes\nversion: \"1.3.0\"\na: 1\na: 2\nnone:\n";
        assert_eq!(
            read(text)[0].2,
            json!({"mode": 256, "on": true, "version": "1.3.0", "a": 2, "none": null})
        );
    }

    #[test]
    fn scalars_follow_yaml_1_1() {
        for (text, expected) in [
            ("yes", json!(true)),
            ("NO", json!(false)),
            ("On", json!(true)),
            ("off", json!(false)),
            ("y", json!(true)),
            ("N", json!(false)),
            ("'on'", json!("on")),
            ("!!str on", json!("on")),
            ("only", json!("only")),
            ("~", Value::Null),
            ("-015", json!(-13)),
            ("08", json!(8.0)),
            ("0b101", json!(5)),
            ("0x1f", json!(31)),
            ("1_000", json!(1000)),
            ("1e1", json!(10.0)),
            (".5", json!(0.5)),
            ("1:30", json!("1:30")),
            ("2024-01-02", json!("2024-01-02")),
        ] {
            for document in [format!("a: {text}\n"), format!("{{a: {text}}}\n")] {
                assert_eq!(read(&document)[0].2["a"], expected, "{document}");
            }
        }
    }

    #[test]
    fn a_merge_that_duplicates_a_key_is_an_error() {
        let broken = |text: &str| parse_each("f", text).1.pop().map(|error| error.to_string());
        for text in [
            "a: &x {b: 1}\nc: {<<: *x}\n",
            "a: '<<'\nb: 1\n",
            "a: &x {b: 1}\nc: {<<: [*x, {d: 1}], e: 1}\n",
        ] {
            assert_eq!(broken(text), None, "{text}");
        }
        for text in [
            "a: &x {b: 1}\nc: {<<: *x, b: 2}\n",
            "a: &x {b: 1}\nc:\n- {b: 2, <<: *x}\n",
            "a: &x {b: 1}\nc: {<<: [*x, {b: 1}]}\n",
        ] {
            let error = broken(text).unwrap();
            assert!(error.contains("f:1: ") && error.contains("key b is there twice"), "{error}");
        }
    }

    #[test]
    fn an_error_names_file_line_and_document() {
        for (text, number, line) in [
            ("a: 1\n---\nb: 2\n  c: 3\n", 2, 4),
            ("a: 1\n---\n# comment\nb: [1, 2\n---\nc: 3\n", 2, 4),
            ("a: 1\n---\nb: *unknown\n", 2, 3),
            ("a: }\n", 1, 1),
        ] {
            let error = parse("chart.yaml", text).unwrap_err();
            assert_eq!((error.number, error.line), (number, line), "{text:?} {error}");
            assert!(
                error
                    .to_string()
                    .starts_with(&format!("chart.yaml:{line}: document {number} cannot be read: "))
            );
        }
    }
}

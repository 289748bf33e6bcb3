//! The sentences of the schema's diagnostics. In: what was found and what is allowed. Out: text.

use lsm_ready_crds::text::{nearest, printable};
use serde_json::Value;

use super::MAX_LABEL_LEN;
use super::shape::{Field, Kind, Shape, Word};
use super::tables::SPEC;
use crate::tracing_policy::diagnostic::quoted;
use crate::tracing_policy::release::{Release, Releases};

/// Maximum length of a field's name in a path, in characters. For longer names no similar name is
/// searched either.
const MAX_NAME_CHARS: usize = 64;

/// Maximum number of known fields that a message lists.
const MAX_LISTED_FIELDS: usize = 12;

/// The path of a field of an object.
pub fn join(path: &str, name: &str) -> String {
    let name = printable(name, MAX_NAME_CHARS);
    if path.is_empty() { name } else { format!("{path}.{name}") }
}

/// The releases that have something.
pub fn releases(since: Release, until: Release) -> Releases {
    Releases::since(since).and(Releases::until(until))
}

/// What to say about a field that the shape does not have. `is_nested` means that the object is not
/// the whole policy.
pub fn unknown_field(name: &str, shape: &Shape, is_nested: bool) -> String {
    let known = || shape.fields.iter().map(|field| field.name);
    if let Some(intended) = similar(name, known) {
        return format!("unknown field; did you mean {intended}?");
    }
    let in_spec = || SPEC.fields.iter().map(|field| field.name);
    if let Some(intended) = similar(name, in_spec).filter(|_| !is_nested) {
        return format!("unknown field here; did you mean spec.{intended}?");
    }
    if shape.fields.len() > MAX_LISTED_FIELDS {
        return "unknown field here; remove it".to_owned();
    }
    format!("unknown field here; known fields are {}", known().collect::<Vec<_>>().join(", "))
}

/// What to say about a text that is not one of the words.
pub fn unknown_word(text: &str, words: &[Word]) -> String {
    let known = || words.iter().map(|word| word.text);
    if let Some(word) = similar(text, known) {
        return format!("unknown value {}; did you mean {word}?", quoted(text));
    }
    let known = known().collect::<Vec<_>>().join(", ");
    format!("unknown value {}: write one of {known}", quoted(text))
}

/// The known name that a mistyped one probably means: the same in another case, or a similar one.
fn similar<'a, I: Iterator<Item = &'a str>>(name: &str, known: impl Fn() -> I) -> Option<&'a str> {
    let lower = name.to_lowercase();
    known().find(|known| known.to_lowercase() == lower).or_else(|| {
        let is_short = name.len() <= MAX_NAME_CHARS;
        is_short.then(|| nearest(name, known()).first().copied()).flatten()
    })
}

/// What to say about a required field that is missing.
pub fn missing(field: &Field) -> String {
    let example = match field.name {
        "hook" => ", for example hook: file_open",
        "operator" => ", for example operator: Equal",
        "action" => ", for example action: Override",
        "index" => ", for example index: 0",
        _ => "",
    };
    format!("is missing; write {}{example}", expected(&field.kind))
}

/// What to say about a text that cannot be the value of a label.
pub fn invalid_label(text: &str) -> String {
    format!(
        "invalid label value {}: use at most {MAX_LABEL_LEN} letters, digits, -, _ and ., the \
         first and last a letter or digit",
        quoted(text)
    )
}

/// What a value is.
pub fn found(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

/// What a value of that kind has to be.
pub fn expected(kind: &Kind) -> &'static str {
    match kind {
        Kind::Any => "a value",
        Kind::Text | Kind::Words(_) | Kind::Label => "text (put a number, true or false in quotes)",
        Kind::Bool => "true or false",
        Kind::Int(_) => "a whole number without quotes",
        Kind::List(..) => "a list (put - in front of each entry)",
        Kind::Object(_) | Kind::Map(_) => "an object with fields of its own",
    }
}

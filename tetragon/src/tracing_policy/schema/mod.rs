//! The schema of Tetragon's CRDs, and whether an object fits it.
//!
//! In: an object and a release. Out: a diagnostic for each field that the API server would refuse with that release's CRDs.
//! A field that is null counts as absent: the API server removes it.

mod shape;
mod tables;
mod words;

use lsm_ready_crds::text::nearest;
use serde_json::{Map, Value};

use self::shape::{Field, Int, Kind, Rule, Shape, Test, Word};
use self::tables::{OBJECT, SPEC};
use crate::tracing_policy::diagnostic::{Collector, Severity, quoted};
use crate::tracing_policy::release::{Release, Releases};

/// No label's value is longer.
const LONGEST_LABEL: usize = 63;

/// For names that are longer no similar one is looked for.
const LONGEST_NAME: usize = 64;

/// Checks the fields of a whole object.
pub fn object(value: &Map<String, Value>, release: Release, out: &mut Collector) {
    Check { release, out }.shape(value, &OBJECT, "");
}

/// The field of `spec` that is most like that name, where one is.
#[must_use]
pub fn field_of_spec_like(name: &str) -> Option<&'static str> {
    let bare = name.to_lowercase();
    let of_spec = || SPEC.fields.iter().map(|field| field.name);
    of_spec().find(|field| *field == bare).or_else(|| like(name, of_spec()))
}

struct Check<'a> {
    release: Release,
    out: &'a mut Collector,
}

impl Check<'_> {
    fn add(&mut self, path: &str, rule: impl Into<String>) {
        self.out.add(self.release, Severity::Schema, path, rule);
    }

    fn shape(&mut self, object: &Map<String, Value>, shape: &Shape, path: &str) {
        for (name, value) in object.iter().filter(|(_, value)| !value.is_null()) {
            let path = join(path, name);
            match shape.fields.iter().find(|field| field.name == name) {
                Some(field) if field.is_in(self.release) => self.kind(value, &field.kind, &path),
                Some(field) => self.add(
                    &path,
                    format!("is a field of {} alone", releases(field.since, field.until)),
                ),
                None => self.add(&path, unknown(name, shape, path.contains('.'))),
            }
        }
        let release = self.release;
        for field in shape.fields.iter().filter(|field| field.is_required(release)) {
            if object.get(field.name).is_none_or(Value::is_null) {
                self.add(&join(path, field.name), missing(field));
            }
        }
        for rule in shape.rules.iter().filter(|rule| rule.since <= release) {
            if let Some(broken) = broken(rule, object) {
                self.add(path, broken);
            }
        }
    }

    fn kind(&mut self, value: &Value, kind: &Kind, path: &str) {
        match (kind, value) {
            (Kind::Any, _) | (Kind::Text, Value::String(_)) | (Kind::Bool, Value::Bool(_)) => {}
            (Kind::Words(words), Value::String(text)) => self.word(text, words, path),
            (Kind::Label, Value::String(text)) if is_label(text) => {}
            (Kind::Label, Value::String(text)) => {
                self.add(path, format!("{} cannot be a label's value: at most {LONGEST_LABEL} letters, digits, -, _ and ., the first and last a letter or digit", quoted(text)));
            }
            (Kind::Int(int), Value::Number(_)) => self.int(value, *int, path),
            (Kind::List(entry, most), Value::Array(list)) => self.list(list, entry, *most, path),
            (Kind::Object(shape), Value::Object(object)) => self.shape(object, shape, path),
            (Kind::Map(entry), Value::Object(map)) => {
                for (name, value) in map.iter().filter(|(_, value)| !value.is_null()) {
                    self.kind(value, entry, &join(path, name));
                }
            }
            _ => self.add(path, format!("is {}, not {}", a(value), wanted(kind))),
        }
    }

    fn list(&mut self, list: &[Value], entry: &Kind, most: Option<(usize, Release)>, path: &str) {
        if let Some((most, since)) = most
            && since <= self.release
            && list.len() > most
        {
            self.add(path, format!("has {} entries; at most {most} are allowed", list.len()));
        }
        for (index, value) in list.iter().enumerate() {
            self.kind(value, entry, &format!("{path}[{index}]"));
        }
    }

    fn word(&mut self, text: &str, words: &[Word], path: &str) {
        let known = words.iter().find(|word| word.text == text);
        if known.is_some_and(|word| word.is_in(self.release)) {
            return;
        }
        let rule = match known {
            Some(word) => {
                format!("{text} is a value of {} alone", releases(word.since, word.until))
            }
            None => {
                format!("{} is not one of the allowed values{}", quoted(text), instead(text, words))
            }
        };
        self.add(path, rule);
    }

    fn int(&mut self, value: &Value, int: Int, path: &str) {
        let Some(number) = whole(value) else {
            return self.add(path, format!("{value} is not a whole number"));
        };
        let (least, most) = match int {
            Int::I32 | Int::Unsigned => (i128::from(i32::MIN), i128::from(i32::MAX)),
            Int::Index => (0, i128::from(i32::MAX)),
            Int::I64 => (i128::from(i64::MIN), i128::from(i64::MAX)),
        };
        if !(least..=most).contains(&number) {
            self.add(path, format!("{number} is out of range: {least} to {most}"));
        } else if matches!(int, Int::Unsigned) && number < 0 {
            let rule = format!(
                "{number} is negative; the agent cannot read the policy. Use 0 or a positive number"
            );
            self.out.add(self.release, Severity::Agent, path, rule);
        }
    }
}

/// What a rule over several fields says to this object.
fn broken(rule: &Rule, object: &Map<String, Value>) -> Option<String> {
    let has = |name: &&str| object.get(*name).is_some_and(|value| !value.is_null());
    match rule.test {
        Test::AtMostOne(names) if names.iter().filter(|name| has(name)).count() > 1 => {
            Some(format!("has more than one of {}; use one of them", names.join(", ")))
        }
        Test::ReturnArg
            if object.get("return") == Some(&Value::Bool(true)) && !has(&"returnArg") =>
        {
            Some("has return: true without returnArg; add returnArg".to_owned())
        }
        Test::NoLabels if has(&"matchLabels") || has(&"matchExpressions") => {
            Some("selects by labels; only {} (all hosts) or leaving it out is allowed".to_owned())
        }
        _ => None,
    }
}

fn unknown(name: &str, shape: &Shape, nested: bool) -> String {
    let known = || shape.fields.iter().map(|field| field.name);
    let lower = name.to_lowercase();
    let meant = known().find(|field| field.to_lowercase() == lower).or_else(|| like(name, known()));
    match meant {
        Some(meant) => format!("unknown field; did you mean {meant}?"),
        None if !nested && field_of_spec_like(name).is_some() => {
            let meant = field_of_spec_like(name).unwrap_or_default();
            format!("unknown field here; did you mean spec.{meant}?")
        }
        None if shape.fields.len() > 12 => "unknown field here; remove it".to_owned(),
        None => {
            format!("unknown field here; known are {}", known().collect::<Vec<_>>().join(", "))
        }
    }
}

fn like<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    if name.len() > LONGEST_NAME { None } else { nearest(name, known).first().copied() }
}

fn instead(text: &str, words: &[Word]) -> String {
    let known = || words.iter().map(|word| word.text);
    let lower = text.to_lowercase();
    match known().find(|word| word.to_lowercase() == lower).or_else(|| like(text, known())) {
        Some(word) => format!("; did you mean {word}?"),
        None => format!(": {}", known().collect::<Vec<_>>().join(", ")),
    }
}

fn missing(field: &Field) -> String {
    let example = match field.name {
        "hook" => ", for example hook: file_open",
        "operator" => ", for example operator: Equal",
        "action" => ", for example action: Override",
        "index" => ", for example index: 0",
        _ => "",
    };
    format!("is missing; write {}{example}", wanted(&field.kind))
}

fn releases(since: Release, until: Release) -> Releases {
    Releases::since(since).and(Releases::until(until))
}

fn join(path: &str, name: &str) -> String {
    let name: String = name
        .chars()
        .take(LONGEST_NAME)
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect();
    if path.is_empty() { name } else { format!("{path}.{name}") }
}

/// A whole number; 1.0 counts as one, as it does for the API server.
#[must_use]
pub fn whole(value: &Value) -> Option<i128> {
    let integer = value.as_i64().map(i128::from).or_else(|| value.as_u64().map(i128::from));
    #[allow(
        clippy::cast_possible_truncation,
        reason = "only floats without a fraction and within range get here"
    )]
    integer.or_else(|| {
        value.as_f64().filter(|f| f.fract() == 0.0 && f.abs() < 1e18).map(|f| f as i128)
    })
}

fn is_label(text: &str) -> bool {
    let outer = |byte: Option<&u8>| byte.is_none_or(u8::is_ascii_alphanumeric);
    let bytes = text.as_bytes();
    bytes.len() <= LONGEST_LABEL
        && outer(bytes.first())
        && outer(bytes.last())
        && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(byte))
}

fn a(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

fn wanted(kind: &Kind) -> &'static str {
    match kind {
        Kind::Any => "a value",
        Kind::Text | Kind::Words(_) | Kind::Label => "text (put a number, true or false in quotes)",
        Kind::Bool => "true or false",
        Kind::Int(_) => "a whole number without quotes",
        Kind::List(..) => "a list (put - in front of each entry)",
        Kind::Object(_) | Kind::Map(_) => "an object with fields of its own",
    }
}

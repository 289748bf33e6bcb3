//! The schema of Tetragon's CRDs, and whether an object matches it.
//!
//! In: an object and a release. Out: a diagnostic for each field that the API server would refuse
//! with that release's CRDs. A field that is null counts as missing, because the API server removes
//! it.

mod shape;
mod tables;
mod text;
mod words;

use serde_json::{Map, Value};

use self::shape::{Int, Kind, Limit, Rule, Shape, Test, Word};
use self::tables::OBJECT;
use crate::tracing_policy::diagnostic::{Collector, Severity};
use crate::tracing_policy::release::Release;

/// Maximum length of a label's value.
const MAX_LABEL_LEN: usize = 63;

/// Checks the fields of a whole object.
pub fn object(value: &Map<String, Value>, release: Release, out: &mut Collector) {
    Check { release, out }.shape(value, &OBJECT, "");
}

struct Check<'a> {
    release: Release,
    out: &'a mut Collector,
}

impl Check<'_> {
    fn refuse(&mut self, path: &str, rule: impl Into<String>) {
        self.out.add(self.release, Severity::Schema, path, rule);
    }

    fn shape(&mut self, object: &Map<String, Value>, shape: &Shape, path: &str) {
        for (name, value) in object.iter().filter(|(_, value)| !value.is_null()) {
            let is_nested = !path.is_empty();
            let path = text::join(path, name);
            match shape.fields.iter().find(|field| field.name == name) {
                Some(field) if field.is_in(self.release) => self.kind(value, &field.kind, &path),
                Some(field) => {
                    let rule =
                        format!("only {} has this field", text::releases(field.since, field.until));
                    self.refuse(&path, rule);
                }
                None => self.refuse(&path, text::unknown_field(name, shape, is_nested)),
            }
        }
        let release = self.release;
        for field in shape.fields.iter().filter(|field| field.is_required(release)) {
            if object.get(field.name).is_none_or(Value::is_null) {
                self.refuse(&text::join(path, field.name), text::missing(field));
            }
        }
        for rule in shape.rules.iter().filter(|rule| rule.since <= release) {
            if let Some(broken) = broken(rule, object) {
                self.refuse(path, broken);
            }
        }
    }

    fn kind(&mut self, value: &Value, kind: &Kind, path: &str) {
        match (kind, value) {
            (Kind::Any, _) | (Kind::Text, Value::String(_)) | (Kind::Bool, Value::Bool(_)) => {}
            (Kind::Words(words), Value::String(text)) => self.word(text, words, path),
            (Kind::Label, Value::String(text)) => self.label(text, path),
            (Kind::Int(int), Value::Number(_)) => self.int(value, *int, path),
            (Kind::List(entry, limit), Value::Array(list)) => self.list(list, entry, *limit, path),
            (Kind::Object(shape), Value::Object(object)) => self.shape(object, shape, path),
            (Kind::Map(entry), Value::Object(map)) => {
                for (name, value) in map.iter().filter(|(_, value)| !value.is_null()) {
                    self.kind(value, entry, &text::join(path, name));
                }
            }
            _ => {
                let rule = format!("is {}, not {}", text::found(value), text::expected(kind));
                self.refuse(path, rule);
            }
        }
    }

    fn label(&mut self, text: &str, path: &str) {
        if !is_label(text) {
            self.refuse(path, text::invalid_label(text));
        }
    }

    fn list(&mut self, list: &[Value], entry: &Kind, limit: Option<Limit>, path: &str) {
        if let Some(Limit { max, since }) = limit
            && since <= self.release
            && list.len() > max
        {
            let rule = format!("has {} entries; at most {max} are allowed", list.len());
            self.refuse(path, rule);
        }
        for (index, value) in list.iter().enumerate() {
            self.kind(value, entry, &format!("{path}[{index}]"));
        }
    }

    fn word(&mut self, text: &str, words: &[Word], path: &str) {
        match words.iter().find(|word| word.text == text) {
            Some(word) if word.is_in(self.release) => {}
            Some(word) => {
                let releases = text::releases(word.since, word.until);
                self.refuse(path, format!("only {releases} has the value {text}"));
            }
            None => self.refuse(path, text::unknown_word(text, words)),
        }
    }

    fn int(&mut self, value: &Value, int: Int, path: &str) {
        let Some(number) = whole(value) else {
            return self.refuse(path, format!("{value} is not a whole number"));
        };
        let (min, max) = match int {
            Int::I32 | Int::Unsigned => (i128::from(i32::MIN), i128::from(i32::MAX)),
            Int::Index => (0, i128::from(i32::MAX)),
            Int::I64 => (i128::from(i64::MIN), i128::from(i64::MAX)),
        };
        if !(min..=max).contains(&number) {
            self.refuse(path, format!("{number} is out of range: write {min} to {max}"));
        } else if matches!(int, Int::Unsigned) && number < 0 {
            let rule = format!(
                "{number} is negative, so the agent cannot read the policy; write 0 or a positive \
                 number"
            );
            self.out.add(self.release, Severity::Agent, path, rule);
        }
    }
}

/// How an object breaks a rule over several fields, if it does.
fn broken(rule: &Rule, object: &Map<String, Value>) -> Option<String> {
    let has = |name: &&str| object.get(*name).is_some_and(|value| !value.is_null());
    match rule.test {
        Test::AtMostOne(names) => (names.iter().filter(|name| has(name)).count() > 1)
            .then(|| format!("has more than one of {}; use only one", names.join(", "))),
        Test::ReturnArg => {
            let returns = object.get("return") == Some(&Value::Bool(true));
            (returns && !has(&"returnArg"))
                .then(|| "has return: true without returnArg; add returnArg".to_owned())
        }
        Test::NoLabels => (has(&"matchLabels") || has(&"matchExpressions"))
            .then(|| "selects by labels; write {} for all hosts, or leave it out".to_owned()),
    }
}

/// The whole number. 1.0 counts as one, as it does for the API server.
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
    bytes.len() <= MAX_LABEL_LEN
        && outer(bytes.first())
        && outer(bytes.last())
        && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(byte))
}

//! Arbitrary JSON for a schema. In: a seed and a CRD's schema. Out: values that fit, that lie at a
//! bound, or that break a rule a little.

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::string::string_regex;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use serde_json::{Map, Value, json};

/// Names of time zones. CEL looks them up in the API server's database, we in ours.
const ZONES: [&str; 12] = [
    "UTC",
    "Europe/Berlin",
    "America/Argentina/Buenos_Aires",
    "Etc/GMT+12",
    "EST",
    "Asia/Kathmandu",
    "GMT",
    "US/Pacific",
    "Mars/Olympus",
    "Local",
    "posixrules",
    "europe/berlin",
];

/// Times that one side may take and the other not.
const TIMES: [&str; 14] = [
    "2026-01-01T00:00:00Z",
    "2026-01-01T00:00:00.123456789Z",
    "2026-01-01T00:00:00+00:00",
    "2026-01-01T00:00:00+99:99",
    "2026-01-01T00:00:00ZT",
    "9999-12-31T23:59:59Z",
    "0000-01-01T00:00:00Z",
    "1900-01-01T00:00:00Z",
    "2199-12-31T23:59:59.999999999Z",
    "2026-02-30T00:00:00Z",
    "2026-06-30T23:59:60Z",
    "2026-01-01t00:00:00z",
    "2026-01-01",
    "2026-01-01 00:00:00Z",
];

pub struct Generator {
    random: fastrand::Rng,
    runner: TestRunner,
    /// One of so many values is of another kind than the schema says.
    odd: u32,
}

impl Generator {
    pub fn new(seed: u64) -> Self {
        let bytes: Vec<u8> = seed.to_le_bytes().repeat(4);
        let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
        let runner = TestRunner::new_with_rng(Config::default(), rng);
        Self { random: fastrand::Rng::with_seed(seed), runner, odd: 0 }
    }

    /// A part of an object. A third of them fit the schema as far as this generator can see.
    pub fn part(&mut self, schema: &Value) -> Value {
        self.odd = [0, 60, 25][self.random.usize(..3)];
        // The part itself is an object; without one there would be nothing to read.
        self.object(schema)
    }

    fn one_of(&mut self, number: u32) -> bool {
        number > 0 && self.random.u32(..number) == 0
    }

    fn is_odd(&mut self) -> bool {
        let odd = self.odd;
        self.one_of(odd)
    }

    fn value(&mut self, schema: &Value) -> Value {
        if self.is_odd() {
            return self.odd_value();
        }
        if let Some(choices) = schema["enum"].as_array() {
            return self.choice(choices).clone();
        }
        if schema["x-kubernetes-int-or-string"] == true {
            return self.number_or_percentage();
        }
        match schema["type"].as_str() {
            Some("object") => self.object(schema),
            Some("array") => self.array(schema),
            Some("integer" | "number") => self.integer(schema),
            Some("boolean") => json!(self.random.bool()),
            _ => json!(self.text(schema)),
        }
    }

    fn choice<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        &choices[self.random.usize(..choices.len())]
    }

    fn object(&mut self, schema: &Value) -> Value {
        let mut object = Map::new();
        let required = schema["required"].as_array().cloned().unwrap_or_default();
        for (name, schema) in schema["properties"].as_object().into_iter().flatten() {
            let is_required = required.contains(&json!(name));
            if (is_required && !self.is_odd()) || (!is_required && self.random.bool()) {
                object.insert(name.clone(), self.value(schema));
            }
        }
        if schema["additionalProperties"].is_object() {
            for _ in 0..self.random.usize(..4) {
                let key = self.text(schema);
                let value = self.value(&schema["additionalProperties"]);
                let is_null = self.odd > 0 && self.one_of(4);
                object.insert(key, if is_null { Value::Null } else { value });
            }
        }
        if self.is_odd() {
            object.insert("unknown".to_owned(), self.odd_value());
        }
        Value::Object(object)
    }

    fn array(&mut self, schema: &Value) -> Value {
        let max = schema["maxItems"].as_u64().and_then(|max| usize::try_from(max).ok());
        let mut length = self.random.usize(..4);
        if self.is_odd() {
            length = max.unwrap_or(40) + self.random.usize(..2);
        }
        let mut items: Vec<Value> = (0..length).map(|_| self.value(&schema["items"])).collect();
        if schema["x-kubernetes-list-type"] == "set" && !self.is_odd() {
            items.sort_by_key(ToString::to_string);
            items.dedup();
        }
        Value::Array(items)
    }

    fn integer(&mut self, schema: &Value) -> Value {
        let bound = |name: &str| schema[name].as_f64();
        let (low, high) = (bound("minimum").unwrap_or(-3.0), bound("maximum").unwrap_or(1e6));
        let near = *self.choice(&[low, low + 1.0, high, f64::midpoint(low, high)]);
        let near =
            if self.is_odd() { *self.choice(&[low - 1.0, high + 1.0]) } else { near }.trunc();
        #[expect(clippy::cast_possible_truncation, reason = "bounds of integers are integers")]
        if self.one_of(3) { json!(near) } else { json!(near as i64) }
    }

    fn number_or_percentage(&mut self) -> Value {
        let values = [
            json!("90%"),
            json!("0%"),
            json!("100%"),
            json!("00%"),
            json!("101%"),
            json!("5"),
            json!(0),
            json!(3),
            json!(3.0),
            json!(3.5),
            json!(-1),
            json!(2_147_483_647u32),
            json!(2_147_483_647.0),
            json!(2_147_483_648u32),
            json!(4_294_967_296u64),
            json!(1e3),
            json!(1e300),
            json!(u64::MAX),
            json!(i64::MIN),
            json!("٣%"),
            json!("5%\n"),
            Value::Null,
        ];
        self.choice(&values).clone()
    }

    fn text(&mut self, schema: &Value) -> String {
        if schema["format"] == "date-time" && self.random.bool() {
            return (*self.choice(&TIMES)).to_owned();
        }
        let rules = schema["x-kubernetes-validations"].to_string();
        if rules.contains("getHours") && self.random.bool() {
            return (*self.choice(&ZONES)).to_owned();
        }
        let in_rule = rules.split_once("matches('").and_then(|(_, rest)| rest.split_once("')"));
        let in_rule = in_rule.map(|(pattern, _)| pattern);
        let mut text = match schema["pattern"].as_str().or(in_rule) {
            Some(pattern) => self.matching(pattern),
            None => self.free_text(schema),
        };
        if self.is_odd() {
            let odd = ["\n", " ", "\u{0}", "\u{202e}", "é", "\u{1f4a9}", "'", "A", "_", "", "."];
            let odd = self.choice(&odd);
            if self.random.bool() { text.push_str(odd) } else { text.insert_str(0, odd) }
        }
        text
    }

    fn matching(&mut self, pattern: &str) -> String {
        let bare = pattern.trim_start_matches('^').trim_end_matches('$');
        let strategy = string_regex(bare).expect(pattern);
        strategy.new_tree(&mut self.runner).unwrap().current()
    }

    fn free_text(&mut self, schema: &Value) -> String {
        let max = schema["maxLength"].as_u64().and_then(|max| usize::try_from(max).ok());
        let length = match self.random.u32(..8) {
            0 => max.unwrap_or(100),
            1 => 0,
            _ => self.random.usize(..12).min(max.unwrap_or(100)),
        };
        let length = if self.is_odd() { max.unwrap_or(100) + 1 } else { length };
        let letters = if self.random.bool() { "[ -~]" } else { "\\PC|[\u{0}-\u{ff}]" };
        let letter = string_regex(letters).unwrap();
        let letters =
            (0..length.min(64)).map(|_| letter.new_tree(&mut self.runner).unwrap().current());
        let letters: Vec<String> = letters.collect();
        letters.iter().cycle().take(length).map(String::as_str).collect()
    }

    /// A value of a kind that the schema most likely does not expect.
    fn odd_value(&mut self) -> Value {
        let values = [
            Value::Null,
            Value::Null,
            Value::Null,
            json!(true),
            json!(0),
            json!(-1),
            json!(1.0),
            json!(1.5),
            json!(2_147_483_648u32),
            json!(-2_147_483_649i64),
            json!(1e300),
            json!(-0.0),
            json!(9_007_199_254_740_993u64),
            json!(u64::MAX),
            json!(""),
            json!("x"),
            json!("x".repeat(5000)),
            json!("\u{202e}\u{0}"),
            json!([]),
            json!([null]),
            json!({}),
            json!({"a": null}),
            json!([[]]),
        ];
        self.choice(&values).clone()
    }
}

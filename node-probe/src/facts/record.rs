//! Recorded facts: the texts of a machine in a file, to be judged on another machine (`node-probe
//! facts`, `check --from`).
//!
//! In: the bytes of such a file. Out: [`Raw`], or where the file is invalid and what to do.

use std::fmt;
use std::fs::File;
use std::io::Read;

use serde::de::{Deserializer, Error as _};
use serde::ser::Serializer;
use serde::{Deserialize, Serialize};

use super::Raw;

/// Version of the record's form. It changes if a field is removed or changes its meaning.
pub const SCHEMA: &str = "lsmready.io/facts/v1";

/// More than any record has, which is about 30 KB.
const MAX_LEN: u64 = 16 << 20;

/// [`SCHEMA`] as a field that can have no other value.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Schema;

impl Serialize for Schema {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(SCHEMA)
    }
}

impl<'de> Deserialize<'de> for Schema {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match String::deserialize(deserializer)?.as_str() {
            SCHEMA => Ok(Self),
            other => {
                let other: String = other.chars().take(80).collect();
                Err(D::Error::custom(format!(
                    "invalid schema {other:?}: this node-probe reads {SCHEMA:?}"
                )))
            }
        }
    }
}

/// Why a file of facts is invalid.
#[derive(Debug)]
pub struct Invalid {
    /// The file, with line and column if they are known.
    place: String,
    what: String,
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: {}. Record the facts again on their machine: node-probe facts > facts.json",
            self.place, self.what
        )
    }
}

impl std::error::Error for Invalid {}

/// Reads a file that `node-probe facts` of this version has written.
pub fn load(path: &str) -> Result<Raw, Invalid> {
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(MAX_LEN + 1).read_to_end(&mut bytes))
        .map_err(|error| Invalid { place: path.to_owned(), what: error.to_string() })?;
    parse(path, &bytes)
}

/// Parses the bytes of such a file.
pub fn parse(path: &str, bytes: &[u8]) -> Result<Raw, Invalid> {
    if bytes.len() as u64 > MAX_LEN {
        let what = format!("the file is longer than {} MB, the maximum for facts", MAX_LEN >> 20);
        return Err(Invalid { place: path.to_owned(), what });
    }
    serde_json::from_slice(bytes).map_err(|error| {
        let what = error.to_string();
        let what = what.rsplit_once(" at line ").map_or(what.as_str(), |(what, _)| what);
        let what = if error.is_eof() {
            format!("the file ends too early ({what})")
        } else {
            what.to_owned()
        };
        Invalid { place: format!("{path}:{}:{}", error.line(), error.column()), what }
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::tests::raw;
    use super::*;
    use crate::facts::Facts;

    fn wrong(text: &str) -> String {
        parse("f.json", text.as_bytes()).unwrap_err().to_string()
    }

    fn recorded() -> String {
        serde_json::to_string_pretty(&raw()).unwrap()
    }

    #[test]
    fn a_record_is_read_back_unchanged() {
        assert_eq!(parse("f.json", recorded().as_bytes()).unwrap(), raw());
    }

    #[test]
    fn an_error_names_its_place_and_the_remedy() {
        let good = recorded();
        for (text, place, what) in [
            (good[..good.len() / 2].to_owned(), "f.json:", "ends too early"),
            (String::new(), "f.json:1:0:", "ends too early"),
            (
                good.replace("facts/v1", "facts/v9"),
                "f.json:2:",
                "this node-probe reads \"lsmready.io/facts/v1\"",
            ),
            (good.replace("\"bootID\"", "\"bootId\""), "f.json:", "unknown field `bootId`"),
            (
                good.replacen("{\n", "{\n\"schema\": \"lsmready.io/facts/v1\",\n", 1),
                "f.json:3:",
                "duplicate field `schema`",
            ),
            (good.replace("100,", "-1,"), "f.json:", "expected u64"),
            (good.replace("100,", "1e999,"), "f.json:", "number out of range"),
            ("[".repeat(9999), "f.json:", ""),
            ("{\"schema\": 7}".to_owned(), "f.json:1:", "expected a string"),
        ] {
            let wrong = wrong(&text);
            assert!(wrong.starts_with(place) && wrong.contains(what), "{wrong}");
            assert!(wrong.ends_with("node-probe facts > facts.json"), "{wrong}");
        }
        let long = vec![b' '; usize::try_from(MAX_LEN).unwrap() + 1];
        assert!(parse("f.json", &long).unwrap_err().to_string().contains("longer than 16 MB"));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(
            bytes in any::<Vec<u8>>(), at in any::<prop::sample::Index>(), byte in any::<u8>(),
        ) {
            prop_assert!(parse("f.json", &bytes).is_err());
            // A valid record with one byte changed.
            let mut near = recorded().into_bytes();
            let at = at.index(near.len());
            near[at] = byte;
            if let Ok(raw) = parse("f.json", &near) {
                let facts = Facts::of(&raw);
                prop_assert_eq!(facts.lists_bpf().is_some(), !facts.lsms.active.is_empty());
            }
        }
    }
}

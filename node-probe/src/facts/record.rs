//! Recorded facts: the texts of a machine in a file, to be looked at elsewhere (`node-probe facts`,
//! `check --from`).
//!
//! In: the bytes of such a file. Out: [`Raw`], or where in the file it is wrong and what to do
//! about it.

use std::fmt;
use std::fs::File;
use std::io::Read;

use serde::de::{Deserializer, Error as _};
use serde::ser::Serializer;
use serde::{Deserialize, Serialize};

use super::Raw;

/// The form of the record. It changes when a field changes its meaning or goes.
pub const SCHEMA: &str = "lsmready.io/facts/v1";

/// Longer than any record, of which 30 KB are usual.
const LONGEST: u64 = 16 << 20;

/// [`SCHEMA`] as a field, which can have no other value.
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
                    "the schema is {other:?}, and this node-probe reads {SCHEMA:?}"
                )))
            }
        }
    }
}

/// What is wrong with a file of facts.
#[derive(Debug)]
pub struct Invalid {
    /// The file, with line and column where it has one.
    place: String,
    what: String,
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: {}. Record it anew on the machine that it is about: node-probe facts > facts.json",
            self.place, self.what
        )
    }
}

impl std::error::Error for Invalid {}

/// Reads a file of facts.
///
/// # Errors
/// Where it cannot be read, or is not what `node-probe facts` of this version writes.
pub fn load(path: &str) -> Result<Raw, Invalid> {
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(LONGEST + 1).read_to_end(&mut bytes))
        .map_err(|error| Invalid { place: path.to_owned(), what: error.to_string() })?;
    parse(path, &bytes)
}

/// Reads the bytes of a file of facts.
///
/// # Errors
/// Where they are not what `node-probe facts` of this version writes.
pub fn parse(path: &str, bytes: &[u8]) -> Result<Raw, Invalid> {
    if bytes.len() as u64 > LONGEST {
        let what = format!("this is longer than {} MB, as no facts are", LONGEST >> 20);
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
    fn a_record_comes_back() {
        assert_eq!(parse("f.json", recorded().as_bytes()).unwrap(), raw());
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
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
        let long = vec![b' '; usize::try_from(LONGEST).unwrap() + 1];
        assert!(parse("f.json", &long).unwrap_err().to_string().contains("longer than 16 MB"));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in any::<Vec<u8>>(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
            prop_assert!(parse("f.json", &bytes).is_err());
            // A record with one byte of it changed.
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

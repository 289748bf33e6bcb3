//! How the schema of Tetragon's CRDs is written down here: shapes of objects, with the releases that have each part.

use crate::tracing_policy::release::Release;

/// An object: its fields, and the rules over several of them.
#[derive(Debug)]
pub struct Shape {
    /// The fields it may have.
    pub fields: &'static [Field],
    /// Rules over several fields (`x-kubernetes-validations`).
    pub rules: &'static [Rule],
}

/// A field of an object.
#[derive(Debug)]
pub struct Field {
    /// Its name.
    pub name: &'static str,
    /// What it holds.
    pub kind: Kind,
    /// First release that has it.
    pub since: Release,
    /// Last release that has it.
    pub until: Release,
    /// Whether it has to be there.
    pub required: Required,
}

/// Whether a field has to be there.
#[derive(Clone, Copy, Debug)]
pub enum Required {
    /// It may be left out.
    No,
    /// In each release.
    Always,
    /// Up to that release.
    Until(Release),
}

/// What a field, an entry of a list or a value of a map holds.
#[derive(Debug)]
pub enum Kind {
    /// Anything.
    Any,
    /// Text.
    Text,
    /// One of some words.
    Words(&'static [Word]),
    /// A label's value.
    Label,
    /// true or false.
    Bool,
    /// A whole number.
    Int(Int),
    /// A list; with the most entries it may have, and the first release with that limit.
    List(&'static Kind, Option<(usize, Release)>),
    /// An object.
    Object(&'static Shape),
    /// An object with any names.
    Map(&'static Kind),
}

/// A word, with the releases that have it.
#[derive(Debug)]
pub struct Word {
    /// The word.
    pub text: &'static str,
    /// First release that has it.
    pub since: Release,
    /// Last release that has it.
    pub until: Release,
}

/// Which whole numbers.
#[derive(Clone, Copy, Debug)]
pub enum Int {
    /// -2147483648 to 2147483647.
    I32,
    /// 0 to 2147483647.
    Index,
    /// As [`Int::I32`] for the schema; the agent reads it into a number without a sign.
    Unsigned,
    /// 64 bits.
    I64,
}

/// A rule over several fields.
#[derive(Debug)]
pub struct Rule {
    /// First release that has it.
    pub since: Release,
    /// What it says.
    pub test: Test,
}

/// What a rule says.
#[derive(Debug)]
pub enum Test {
    /// At most one of these fields may be there.
    AtMostOne(&'static [&'static str]),
    /// `return: true` needs `returnArg`.
    ReturnArg,
    /// Neither `matchLabels` nor `matchExpressions` may be there.
    NoLabels,
}

impl Field {
    /// A field of every release that may be left out.
    pub const fn new(name: &'static str, kind: Kind) -> Self {
        Self { name, kind, since: Release::V1_3, until: Release::Main, required: Required::No }
    }

    /// It has to be there.
    pub const fn required(self) -> Self {
        Self { required: Required::Always, ..self }
    }

    /// It has to be there up to that release.
    pub const fn required_until(self, last: Release) -> Self {
        Self { required: Required::Until(last), ..self }
    }

    /// It is there from that release on.
    pub const fn since(self, first: Release) -> Self {
        Self { since: first, ..self }
    }

    /// It is there up to that release.
    pub const fn until(self, last: Release) -> Self {
        Self { until: last, ..self }
    }

    /// Whether that release has it.
    pub fn is_in(&self, release: Release) -> bool {
        self.since <= release && release <= self.until
    }

    /// Whether that release demands it.
    pub fn is_required(&self, release: Release) -> bool {
        match self.required {
            Required::No => false,
            Required::Always => self.is_in(release),
            Required::Until(last) => self.is_in(release) && release <= last,
        }
    }
}

impl Word {
    /// A word of every release.
    pub const fn new(word: &'static str) -> Self {
        Self { text: word, since: Release::V1_3, until: Release::Main }
    }

    /// A word that is there from that release on.
    pub const fn since(word: &'static str, first: Release) -> Self {
        Self { text: word, since: first, until: Release::Main }
    }

    /// A word that is there up to that release.
    pub const fn until(word: &'static str, last: Release) -> Self {
        Self { text: word, since: Release::V1_3, until: last }
    }

    /// Whether that release has it.
    pub fn is_in(&self, release: Release) -> bool {
        self.since <= release && release <= self.until
    }
}

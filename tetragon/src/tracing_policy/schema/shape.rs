//! The form of the schema of Tetragon's CRDs as data: shapes of objects, with the releases that
//! have each part.

use crate::tracing_policy::release::Release;

/// An object: its fields, and the rules over several of them.
#[derive(Debug)]
pub struct Shape {
    /// The fields that it may have.
    pub fields: &'static [Field],
    /// Rules over several fields (`x-kubernetes-validations`).
    pub rules: &'static [Rule],
}

/// A field of an object.
#[derive(Debug)]
pub struct Field {
    /// The name in the object.
    pub name: &'static str,
    /// What its value is.
    pub kind: Kind,
    /// The first release that has it.
    pub since: Release,
    /// The last release that has it.
    pub until: Release,
    /// Whether an object must have it.
    pub required: Required,
}

/// Whether an object must have a field.
#[derive(Clone, Copy, Debug)]
pub enum Required {
    /// The field is optional.
    No,
    /// Each release requires it.
    Always,
    /// That release and earlier ones require it.
    Until(Release),
}

/// What a field, an entry of a list or a value of a map is.
#[derive(Debug)]
pub enum Kind {
    /// Anything.
    Any,
    /// Text.
    Text,
    /// Text that is one of these words.
    Words(&'static [Word]),
    /// Text that can be the value of a label.
    Label,
    /// true or false.
    Bool,
    /// A whole number.
    Int(Int),
    /// A list of entries of that kind, which may have a limit.
    List(&'static Kind, Option<Limit>),
    /// An object of that shape.
    Object(&'static Shape),
    /// An object with any keys.
    Map(&'static Kind),
}

/// The maximum number of entries of a list.
#[derive(Clone, Copy, Debug)]
pub struct Limit {
    /// The maximum.
    pub max: usize,
    /// The first release that has the limit.
    pub since: Release,
}

/// A word, with the releases that have it.
#[derive(Debug)]
pub struct Word {
    /// The word itself.
    pub text: &'static str,
    /// The first release that has it.
    pub since: Release,
    /// The last release that has it.
    pub until: Release,
}

/// A range of whole numbers.
#[derive(Clone, Copy, Debug)]
pub enum Int {
    /// -2147483648 to 2147483647.
    I32,
    /// 0 to 2147483647.
    Index,
    /// For the schema as [`Int::I32`]. The agent reads it into an unsigned number.
    Unsigned,
    /// A signed number of 64 bits.
    I64,
}

/// A rule over several fields.
#[derive(Debug)]
pub struct Rule {
    /// The first release that has it.
    pub since: Release,
    /// What it requires.
    pub test: Test,
}

/// What a rule requires.
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
    /// An optional field of each release.
    pub const fn new(name: &'static str, kind: Kind) -> Self {
        Self { name, kind, since: Release::V1_3, until: Release::Main, required: Required::No }
    }

    /// The same field, required.
    pub const fn required(self) -> Self {
        Self { required: Required::Always, ..self }
    }

    /// The same field, required by that release and earlier ones.
    pub const fn required_until(self, last: Release) -> Self {
        Self { required: Required::Until(last), ..self }
    }

    /// The same field, which that release and later ones have.
    pub const fn since(self, first: Release) -> Self {
        Self { since: first, ..self }
    }

    /// The same field, which that release and earlier ones have.
    pub const fn until(self, last: Release) -> Self {
        Self { until: last, ..self }
    }

    /// Whether that release has it.
    pub fn is_in(&self, release: Release) -> bool {
        self.since <= release && release <= self.until
    }

    /// Whether that release requires it.
    pub fn is_required(&self, release: Release) -> bool {
        match self.required {
            Required::No => false,
            Required::Always => self.is_in(release),
            Required::Until(last) => self.is_in(release) && release <= last,
        }
    }
}

impl Word {
    /// A word that each release has.
    pub const fn new(word: &'static str) -> Self {
        Self { text: word, since: Release::V1_3, until: Release::Main }
    }

    /// A word that this release and later ones have.
    pub const fn since(word: &'static str, first: Release) -> Self {
        Self { text: word, since: first, until: Release::Main }
    }

    /// A word that this release and earlier ones have.
    pub const fn until(word: &'static str, last: Release) -> Self {
        Self { text: word, since: Release::V1_3, until: last }
    }

    /// Whether that release has it.
    pub fn is_in(&self, release: Release) -> bool {
        self.since <= release && release <= self.until
    }
}

//! The answer about a policy, as far as its text goes: the same for the plugin and the operator.
//!
//! In: what was found in the policy, where it comes from, and the releases that are in question. Out: one of
//! [`TextVerdict`]'s. What the nodes say about its hooks comes on top of it ([`crate::forecast`]).

use std::fmt;

use crate::tracing_policy::diagnostic::{Diagnostic, Diagnostics, Severity};
use crate::tracing_policy::effect::{Effect, InertReason};
use crate::tracing_policy::release::Releases;

/// Where a policy comes from.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Source {
    /// From a file: the schema of the releases in question applies.
    File,
    /// From an API server: its schema took the policy. A field that no known release has is one of a newer release.
    Cluster,
}

/// What becomes of a policy, as far as its text tells.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum TextVerdict {
    /// It loads where its hooks take programs, and then it can deny something.
    Denies,
    /// It loads where its hooks take programs, and then it denies nothing.
    DeniesNothing(InertReason),
    /// It has no LSM hooks.
    NoLsmHooks,
    /// Each release in question refuses it.
    Refused(PolicyRefusal),
    /// It cannot be told.
    Unjudged(String),
}

/// Why a policy is refused.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PolicyRefusal {
    /// What is wrong with it; the first is told in one sentence.
    pub diagnostics: Vec<Diagnostic>,
    /// The releases that refuse it.
    pub releases: Releases,
}

impl fmt::Display for PolicyRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.diagnostics.split_first() {
            Some((first, [])) => write!(f, "{first} (refused by {})", self.releases),
            Some((first, rest)) => {
                write!(f, "{first} (refused by {}); and {} more", self.releases, rest.len())
            }
            None => write!(f, "refused by {}", self.releases),
        }
    }
}

/// The answer for these releases. `effects` has what the policy does with each of them.
#[must_use]
pub fn text_verdict(
    diagnostics: &Diagnostics,
    effect: impl Fn(Releases) -> Option<Effect>,
    source: Source,
    releases: Releases,
) -> TextVerdict {
    let schema = diagnostics.releases(Severity::Schema).and(releases);
    let agent = diagnostics.releases(Severity::Agent);
    let (in_question, refusing) = match source {
        Source::File => (releases, schema.or(agent).and(releases)),
        // The API server took it, so its CRDs are of a release whose schema takes it.
        Source::Cluster if schema == releases => return newer(diagnostics, releases),
        Source::Cluster => (releases.without(schema), agent.and(releases.without(schema))),
    };
    if refusing == in_question {
        return TextVerdict::Refused(refused(diagnostics, source, in_question));
    }
    if !refusing.is_empty() {
        let refused = refused(diagnostics, source, refusing);
        return TextVerdict::Unjudged(format!("it depends on Tetragon's release: {refused}"));
    }
    if let Some(diagnostic) = diagnostics.of(Severity::Unjudged, in_question).next() {
        return TextVerdict::Unjudged(diagnostic.to_string());
    }
    match effect(in_question) {
        Some(Effect::Denies) => TextVerdict::Denies,
        Some(Effect::DeniesNothing(why)) => TextVerdict::DeniesNothing(why),
        Some(Effect::NoLsmHooks) | None => TextVerdict::NoLsmHooks,
    }
}

fn newer(diagnostics: &Diagnostics, releases: Releases) -> TextVerdict {
    let first = diagnostics.of(Severity::Schema, releases).next();
    let first = first.map_or_else(|| "a field".to_owned(), ToString::to_string);
    TextVerdict::Unjudged(format!(
        "the API server took it, and no release that is known here does: {first}"
    ))
}

/// The diagnostics that tell the most releases come first.
fn refused(diagnostics: &Diagnostics, source: Source, releases: Releases) -> PolicyRefusal {
    let counts = |severity| match (severity, source) {
        (Severity::Agent, _) | (Severity::Schema, Source::File) => true,
        (Severity::Schema, Source::Cluster) | (Severity::Unjudged | Severity::Remark, _) => false,
    };
    let meant =
        |found: &&Diagnostic| counts(found.severity) && !found.releases.and(releases).is_empty();
    let mut diagnostics: Vec<Diagnostic> = diagnostics.iter().filter(meant).cloned().collect();
    diagnostics.sort_by_key(|found| std::cmp::Reverse(found.releases.and(releases).iter().count()));
    PolicyRefusal { diagnostics, releases }
}

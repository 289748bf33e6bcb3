//! The verdict on a policy's text, the same for the plugin and the operator.
//!
//! In: the diagnostics of the policy, where the policy comes from, and the releases in question.
//! Out: a [`TextVerdict`]. What the nodes say about its hooks is [`crate::forecast`].

use std::cmp::Reverse;
use std::fmt;

use crate::tracing_policy::diagnostic::{Diagnostic, Diagnostics, Severity};
use crate::tracing_policy::effect::{Effect, InertReason};
use crate::tracing_policy::release::Releases;

/// Where a policy comes from.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Source {
    /// From a file. The schema of the releases in question applies.
    File,
    /// From an API server, whose schema accepted the policy. So a field that no known release has
    /// belongs to a newer release.
    Cluster,
}

/// Whether a policy loads and denies, as far as its text shows.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum TextVerdict {
    /// It loads wherever its hooks accept programs, and then it can deny.
    Denies,
    /// It loads wherever its hooks accept programs, and then it denies nothing.
    DeniesNothing(InertReason),
    /// It has no LSM hooks.
    NoLsmHooks,
    /// Each release in question refuses it.
    Refused(PolicyRefusal),
    /// The text does not show it.
    Unknown(String),
}

/// Why releases of Tetragon refuse a policy.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PolicyRefusal {
    /// What is wrong with the policy. The text of the refusal shows the first diagnostic.
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

/// The verdict for these releases. `effect` is what the policy does with some of them.
#[must_use]
pub fn text_verdict(
    diagnostics: &Diagnostics,
    effect: impl Fn(Releases) -> Option<Effect>,
    source: Source,
    releases: Releases,
) -> TextVerdict {
    let by_schema = diagnostics.releases(Severity::Schema).and(releases);
    let by_agent = diagnostics.releases(Severity::Agent);
    let (in_question, refusing) = match source {
        Source::File => (releases, by_schema.or(by_agent).and(releases)),
        Source::Cluster if by_schema == releases => return newer_field(diagnostics, releases),
        // The installed CRDs accepted it, so they are of a release whose schema accepts it.
        Source::Cluster => (releases.without(by_schema), by_agent.and(releases.without(by_schema))),
    };
    if refusing == in_question {
        return TextVerdict::Refused(refusal(diagnostics, source, in_question));
    }
    if !refusing.is_empty() {
        let refusal = refusal(diagnostics, source, refusing);
        return TextVerdict::Unknown(format!("it depends on Tetragon's release: {refusal}"));
    }
    if let Some(diagnostic) = diagnostics.of(Severity::Unknown, in_question).next() {
        return TextVerdict::Unknown(diagnostic.to_string());
    }
    match effect(in_question) {
        Some(Effect::Denies) => TextVerdict::Denies,
        Some(Effect::DeniesNothing(why)) => TextVerdict::DeniesNothing(why),
        Some(Effect::NoLsmHooks) | None => TextVerdict::NoLsmHooks,
    }
}

fn newer_field(diagnostics: &Diagnostics, releases: Releases) -> TextVerdict {
    let first = diagnostics.of(Severity::Schema, releases).next();
    let first = first.map_or_else(|| "a field".to_owned(), ToString::to_string);
    TextVerdict::Unknown(format!(
        "the API server accepted it, but no known release of Tetragon does: {first}"
    ))
}

/// The diagnostics of refusing releases, those of the most releases first.
fn refusal(diagnostics: &Diagnostics, source: Source, releases: Releases) -> PolicyRefusal {
    let refuses = |severity| match (severity, source) {
        (Severity::Agent, _) | (Severity::Schema, Source::File) => true,
        (Severity::Schema, Source::Cluster) | (Severity::Unknown | Severity::Note, _) => false,
    };
    let applies =
        |found: &&Diagnostic| refuses(found.severity) && !found.releases.and(releases).is_empty();
    let mut diagnostics: Vec<Diagnostic> = diagnostics.iter().filter(applies).cloned().collect();
    diagnostics.sort_by_key(|found| Reverse(found.releases.and(releases).iter().count()));
    PolicyRefusal { diagnostics, releases }
}

//! The answer about a policy, as far as its text goes: the same for the plugin and the operator.
//!
//! In: what was found in the policy, where it comes from, and the releases that are in question. Out: one of
//! [`Answer`]'s. What the nodes say about its hooks comes on top of it ([`crate::forecast`]).

use std::fmt;

use crate::tracing_policy::diagnostic::{Finding, Findings, Weight};
use crate::tracing_policy::effect::{Effect, Inert};
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
pub enum Answer {
    /// It loads where its hooks take programs, and then it can deny something.
    Denies,
    /// It loads where its hooks take programs, and then it denies nothing.
    DeniesNothing(Inert),
    /// It has no LSM hooks.
    NoLsmHooks,
    /// Each release in question refuses it.
    Refused(Refused),
    /// It cannot be told.
    Unjudged(String),
}

/// Why a policy is refused.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Refused {
    /// What is wrong with it; the first is told in one sentence.
    pub findings: Vec<Finding>,
    /// The releases that refuse it.
    pub releases: Releases,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.findings.split_first() {
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
pub fn answer(
    findings: &Findings,
    effect: impl Fn(Releases) -> Option<Effect>,
    source: Source,
    releases: Releases,
) -> Answer {
    let schema = findings.releases(Weight::Schema).and(releases);
    let agent = findings.releases(Weight::Agent);
    let (in_question, refusing) = match source {
        Source::File => (releases, schema.or(agent).and(releases)),
        // The API server took it, so its CRDs are of a release whose schema takes it.
        Source::Cluster if schema == releases => return newer(findings, releases),
        Source::Cluster => (releases.without(schema), agent.and(releases.without(schema))),
    };
    if refusing == in_question {
        return Answer::Refused(refused(findings, source, in_question));
    }
    if !refusing.is_empty() {
        let refused = refused(findings, source, refusing);
        return Answer::Unjudged(format!("it depends on Tetragon's release: {refused}"));
    }
    if let Some(finding) = findings.of(Weight::Unjudged, in_question).next() {
        return Answer::Unjudged(finding.to_string());
    }
    match effect(in_question) {
        Some(Effect::Denies) => Answer::Denies,
        Some(Effect::DeniesNothing(why)) => Answer::DeniesNothing(why),
        Some(Effect::NoLsmHooks) | None => Answer::NoLsmHooks,
    }
}

fn newer(findings: &Findings, releases: Releases) -> Answer {
    let first = findings.of(Weight::Schema, releases).next();
    let first = first.map_or_else(|| "a field".to_owned(), ToString::to_string);
    Answer::Unjudged(format!(
        "the API server took it, and no release that is known here does: {first}"
    ))
}

/// The findings that tell the most releases come first.
fn refused(findings: &Findings, source: Source, releases: Releases) -> Refused {
    let counts = |weight| match (weight, source) {
        (Weight::Agent, _) | (Weight::Schema, Source::File) => true,
        (Weight::Schema, Source::Cluster) | (Weight::Unjudged | Weight::Remark, _) => false,
    };
    let meant = |found: &&Finding| counts(found.weight) && !found.releases.and(releases).is_empty();
    let mut findings: Vec<Finding> = findings.iter().filter(meant).cloned().collect();
    findings.sort_by_key(|found| std::cmp::Reverse(found.releases.and(releases).iter().count()));
    Refused { findings, releases }
}

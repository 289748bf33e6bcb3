//! What was found in a policy: a field, a rule, and the releases of Tetragon that have the rule.

use std::collections::BTreeMap;
use std::fmt;

use crate::tracing_policy::release::{Release, Releases};

/// So many diagnostics of one policy are kept; the others are counted.
const MOST: usize = 100;

/// Longest text from a policy that a message repeats, in characters.
const LONGEST: usize = 64;

/// What a diagnostic means for the policy.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Severity {
    /// The CRD's schema does not allow it, so the API server refuses the policy.
    Schema,
    /// Tetragon's agent refuses the policy.
    Agent,
    /// Whether the agent takes it cannot be told from the file.
    Unjudged,
    /// The policy loads, and somebody should know this.
    Remark,
}

/// A field, and what is to be said about it.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Diagnostic {
    /// What it means for the policy.
    pub severity: Severity,
    /// The field, as in `spec.lsmhooks[0].hook`.
    pub path: String,
    /// The rule, and what to write instead.
    pub rule: String,
    /// The releases with that rule.
    pub releases: Releases,
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.rule)
    }
}

/// The diagnostics of one policy.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Diagnostics {
    found: Vec<Diagnostic>,
    /// Releases with diagnostics that were not kept, by severity.
    omitted: BTreeMap<Severity, Releases>,
}

impl Diagnostics {
    /// Each diagnostic that was kept.
    pub fn iter(&self) -> impl Iterator<Item = &Diagnostic> {
        self.found.iter()
    }

    /// Those of that severity that concern one of these releases.
    pub fn of(&self, severity: Severity, releases: Releases) -> impl Iterator<Item = &Diagnostic> {
        self.found.iter().filter(move |found| {
            found.severity == severity && !found.releases.and(releases).is_empty()
        })
    }

    /// The releases that have such a diagnostic.
    #[must_use]
    pub fn releases(&self, severity: Severity) -> Releases {
        let omitted = self.omitted.get(&severity).copied().unwrap_or_default();
        self.found
            .iter()
            .filter(|found| found.severity == severity)
            .fold(omitted, |all, found| all.or(found.releases))
    }
}

/// Collects diagnostics, release by release. Equal diagnostics of several releases become one.
#[derive(Debug, Default)]
pub struct Collector {
    found: BTreeMap<(Severity, String, String), (usize, Releases)>,
    omitted: BTreeMap<Severity, Releases>,
}

impl Collector {
    /// Adds what a release says about a field.
    pub fn add(
        &mut self,
        release: Release,
        severity: Severity,
        path: &str,
        rule: impl Into<String>,
    ) {
        self.add_for(Releases::only(release), severity, path, rule);
    }

    /// Adds what several releases say about a field.
    pub fn add_for(
        &mut self,
        releases: Releases,
        severity: Severity,
        path: &str,
        rule: impl Into<String>,
    ) {
        let order = self.found.len();
        let key = (severity, path.to_owned(), rule.into());
        if order >= MOST && !self.found.contains_key(&key) {
            let omitted = self.omitted.entry(severity).or_default();
            *omitted = omitted.or(releases);
            return;
        }
        let (_, known) = self.found.entry(key).or_insert((order, Releases::default()));
        *known = known.or(releases);
    }

    /// All of them, in the order in which they were found.
    #[must_use]
    pub fn diagnostics(self) -> Diagnostics {
        let mut found: Vec<_> = self.found.into_iter().collect();
        found.sort_by_key(|(_, (order, _))| *order);
        let found = found.into_iter().map(|((severity, path, rule), (_, releases))| Diagnostic {
            severity,
            path,
            rule,
            releases,
        });
        Diagnostics { found: found.collect(), omitted: self.omitted }
    }
}

/// A text from a policy as a message repeats it: in quotes, escaped, cut.
#[must_use]
pub fn quoted(text: &str) -> String {
    let cut: String = text.chars().take(LONGEST).collect();
    if cut.len() < text.len() { format!("{cut:?}…") } else { format!("{cut:?}") }
}

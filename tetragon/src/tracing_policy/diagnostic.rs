//! What was found in a policy: a field, a rule, and the releases of Tetragon that have the rule.

use std::collections::BTreeMap;
use std::fmt;

use lsm_ready_crds::text::truncate;

use crate::tracing_policy::release::{Release, Releases};

/// Maximum number of diagnostics that are kept for one policy.
const MAX_KEPT: usize = 100;

/// Maximum length of a text from a policy in a message, in characters.
const MAX_QUOTED_CHARS: usize = 64;

/// What a diagnostic means for the policy.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Severity {
    /// The schema of the CRD does not allow it, so the API server refuses the policy.
    Schema,
    /// Tetragon's agent refuses the policy.
    Agent,
    /// The file does not show whether the agent accepts it.
    Unknown,
    /// The policy loads, but its author should know this.
    Note,
}

/// A field of a policy, and what is wrong with it.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Diagnostic {
    /// What it means for the policy.
    pub severity: Severity,
    /// The field, for example `spec.lsmhooks[0].hook`.
    pub path: String,
    /// What is wrong, and what to write instead.
    pub rule: String,
    /// The releases that have this rule.
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
    kept: Vec<Diagnostic>,
    /// The releases of the diagnostics that were not kept.
    dropped: BTreeMap<Severity, Releases>,
}

impl Diagnostics {
    /// The diagnostics that were kept, in the order in which they were found.
    pub fn iter(&self) -> impl Iterator<Item = &Diagnostic> {
        self.kept.iter()
    }

    /// The diagnostics of that severity for at least one of these releases.
    pub fn of(&self, severity: Severity, releases: Releases) -> impl Iterator<Item = &Diagnostic> {
        self.kept.iter().filter(move |found| {
            found.severity == severity && !found.releases.and(releases).is_empty()
        })
    }

    /// The releases with a diagnostic of that severity.
    #[must_use]
    pub fn releases(&self, severity: Severity) -> Releases {
        let dropped = self.dropped.get(&severity).copied().unwrap_or_default();
        self.kept
            .iter()
            .filter(|found| found.severity == severity)
            .fold(dropped, |all, found| all.or(found.releases))
    }
}

/// Collects diagnostics, release by release. Equal diagnostics of several releases become one.
#[derive(Debug, Default)]
pub struct Collector {
    found: BTreeMap<Key, Found>,
    dropped: BTreeMap<Severity, Releases>,
}

#[derive(Debug, Eq, Ord, PartialEq, PartialOrd)]
struct Key {
    severity: Severity,
    path: String,
    rule: String,
}

#[derive(Debug)]
struct Found {
    /// How many diagnostics were found before.
    order: usize,
    releases: Releases,
}

impl Collector {
    /// Adds what one release says about a field.
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
        let key = Key { severity, path: path.to_owned(), rule: rule.into() };
        if order >= MAX_KEPT && !self.found.contains_key(&key) {
            let dropped = self.dropped.entry(severity).or_default();
            *dropped = dropped.or(releases);
            return;
        }
        let new = Found { order, releases: Releases::default() };
        let found = self.found.entry(key).or_insert(new);
        found.releases = found.releases.or(releases);
    }

    /// The diagnostics, in the order in which they were found.
    #[must_use]
    pub fn diagnostics(self) -> Diagnostics {
        let mut found: Vec<(Key, Found)> = self.found.into_iter().collect();
        found.sort_by_key(|(_, found)| found.order);
        let kept = found.into_iter().map(|(Key { severity, path, rule }, found)| Diagnostic {
            severity,
            path,
            rule,
            releases: found.releases,
        });
        Diagnostics { kept: kept.collect(), dropped: self.dropped }
    }
}

/// A text from a policy, for a message: in quotes, escaped and truncated.
#[must_use]
pub fn quoted(text: &str) -> String {
    format!("{:?}", truncate(text, MAX_QUOTED_CHARS))
}

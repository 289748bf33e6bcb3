//! What was found in a policy: a field, a rule, and the releases of Tetragon that have the rule.

use std::collections::BTreeMap;
use std::fmt;

use crate::tracing_policy::release::{Release, Releases};

/// So many findings of one policy are kept; the others are counted.
const MOST: usize = 100;

/// Longest text from a policy that a message repeats, in characters.
const LONGEST: usize = 64;

/// What a finding means for the policy.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Weight {
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
pub struct Finding {
    /// What it means for the policy.
    pub weight: Weight,
    /// The field, as in `spec.lsmhooks[0].hook`.
    pub path: String,
    /// The rule, and what to write instead.
    pub rule: String,
    /// The releases with that rule.
    pub releases: Releases,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.rule)
    }
}

/// The findings of one policy.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Findings {
    found: Vec<Finding>,
    /// Releases with findings that were not kept, by weight.
    omitted: BTreeMap<Weight, Releases>,
}

impl Findings {
    /// Each finding that was kept.
    pub fn iter(&self) -> impl Iterator<Item = &Finding> {
        self.found.iter()
    }

    /// Those of that weight that concern one of these releases.
    pub fn of(&self, weight: Weight, releases: Releases) -> impl Iterator<Item = &Finding> {
        self.found
            .iter()
            .filter(move |found| found.weight == weight && !found.releases.and(releases).is_empty())
    }

    /// The releases that have such a finding.
    #[must_use]
    pub fn releases(&self, weight: Weight) -> Releases {
        let omitted = self.omitted.get(&weight).copied().unwrap_or_default();
        self.found
            .iter()
            .filter(|found| found.weight == weight)
            .fold(omitted, |all, found| all.or(found.releases))
    }
}

/// Collects findings, release by release. Equal findings of several releases become one.
#[derive(Debug, Default)]
pub struct Collector {
    found: BTreeMap<(Weight, String, String), (usize, Releases)>,
    omitted: BTreeMap<Weight, Releases>,
}

impl Collector {
    /// Adds what a release says about a field.
    pub fn add(&mut self, release: Release, weight: Weight, path: &str, rule: impl Into<String>) {
        self.add_for(Releases::only(release), weight, path, rule);
    }

    /// Adds what several releases say about a field.
    pub fn add_for(
        &mut self,
        releases: Releases,
        weight: Weight,
        path: &str,
        rule: impl Into<String>,
    ) {
        let order = self.found.len();
        let key = (weight, path.to_owned(), rule.into());
        if order >= MOST && !self.found.contains_key(&key) {
            let omitted = self.omitted.entry(weight).or_default();
            *omitted = omitted.or(releases);
            return;
        }
        let (_, known) = self.found.entry(key).or_insert((order, Releases::default()));
        *known = known.or(releases);
    }

    /// All of them, in the order in which they were found.
    #[must_use]
    pub fn findings(self) -> Findings {
        let mut found: Vec<_> = self.found.into_iter().collect();
        found.sort_by_key(|(_, (order, _))| *order);
        let found = found.into_iter().map(|((weight, path, rule), (_, releases))| Finding {
            weight,
            path,
            rule,
            releases,
        });
        Findings { found: found.collect(), omitted: self.omitted }
    }
}

/// A text from a policy as a message repeats it: in quotes, escaped, cut.
#[must_use]
pub fn quoted(text: &str) -> String {
    let cut: String = text.chars().take(LONGEST).collect();
    if cut.len() < text.len() { format!("{cut:?}…") } else { format!("{cut:?}") }
}

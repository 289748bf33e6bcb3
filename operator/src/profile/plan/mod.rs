//! Which hook profiles to delete. Pure.
//!
//! In: the profiles, the names in the reports, what the last sweep remembered, and the time. Out:
//! the profiles to delete, and what to remember.
//!
//! - Its name is not the digest of its content: it is deleted at once, also if a report names it.
//! - No report names it: it is deleted after [`KEEP_UNNAMED`].
//! - No report names it, and there are more than [`MAX_UNNAMED`] of those, or more than
//!   [`MAX_UNNAMED_PER_NODE`] of one node: the oldest are deleted after [`KEEP_YOUNG`].
//! - A report names it: it stays.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use kube::{Resource, ResourceExt};
use tokio::time::Instant;

use crate::watch::profile::Profile;

/// How long an unnamed profile stays: longer than any reboot of a node or restart of a probe.
pub const KEEP_UNNAMED: Duration = Duration::from_hours(1);

/// How long an unnamed profile stays where there are too many: longer than it takes a probe to name
/// the profile that it has published.
pub const KEEP_YOUNG: Duration = Duration::from_mins(5);

/// Number of unnamed profiles that may stay for the whole hour.
pub const MAX_UNNAMED: usize = 200;

/// Number of unnamed profiles of one node that may stay for the whole hour.
pub const MAX_UNNAMED_PER_NODE: usize = 10;

/// Maximum number of profiles deleted in one sweep. It limits the harm of a mistake, and the load.
pub const MAX_DELETIONS: usize = 50;

/// When each profile, by UID, was first seen unnamed.
pub type Unnamed = BTreeMap<String, Instant>;

/// What one sweep does.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Plan {
    /// The profiles to delete: false ones, then the longest unnamed.
    pub delete: Vec<Deletion>,
    /// There are more to delete than one sweep may.
    pub has_more: bool,
    /// What the next sweep needs.
    pub unnamed: Unnamed,
    pub counts: Counts,
}

/// The number of profiles of each sort.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Counts {
    /// A report names it.
    pub named: usize,
    pub unnamed: usize,
    /// Its name is not the digest of its content.
    pub false_name: usize,
    /// It is deleted, and its finalizers keep it.
    pub held: usize,
}

/// A profile to delete, as it was seen.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Deletion {
    pub name: String,
    pub uid: String,
    pub resource_version: String,
    pub why: Why,
    /// The node that published it, as its label says.
    pub node: Option<String>,
    /// Its finalizers will keep it.
    pub has_finalizers: bool,
}

/// Why a profile is deleted.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Why {
    /// Its name is not the digest of its content.
    FalseName,
    /// No report has named it for an hour.
    Unnamed,
    /// No report names it, and there are too many of those.
    TooMany,
}

/// An unnamed profile.
struct Candidate<'a> {
    profile: &'a Profile,
    since: Instant,
    deletion: Deletion,
}

pub fn plan(
    profiles: &[Arc<Profile>],
    named: &BTreeSet<&str>,
    before: &Unnamed,
    now: Instant,
) -> Plan {
    let mut plan = Plan::default();
    let mut unnamed = Vec::new();
    for profile in profiles {
        if profile.meta().deletion_timestamp.is_some() {
            plan.counts.held += 1;
        } else if !profile.is_genuine {
            plan.counts.false_name += 1;
            plan.delete.extend(seen(profile, Why::FalseName));
        } else if named.contains(profile.name_any().as_str()) {
            plan.counts.named += 1;
        } else if let Some(deletion) = seen(profile, Why::Unnamed) {
            let since = before.get(&deletion.uid).copied().unwrap_or(now);
            plan.unnamed.insert(deletion.uid.clone(), since);
            unnamed.push(Candidate { profile, since, deletion });
        }
    }
    plan.counts.unnamed = unnamed.len();
    plan.delete.extend(expired(unnamed, now));
    plan.has_more = plan.delete.len() > MAX_DELETIONS;
    plan.delete.truncate(MAX_DELETIONS);
    plan
}

/// The unnamed profiles that may not stay, the oldest first.
fn expired(mut unnamed: Vec<Candidate<'_>>, now: Instant) -> Vec<Deletion> {
    let created = |candidate: &Candidate<'_>| {
        candidate.profile.meta().creation_timestamp.as_ref().map(|time| time.0)
    };
    // The youngest first: those may stay.
    unnamed.sort_by_cached_key(|candidate| {
        std::cmp::Reverse((created(candidate), candidate.since, candidate.deletion.name.clone()))
    });
    let mut of_node: BTreeMap<&str, usize> = BTreeMap::new();
    let mut expired = Vec::new();
    for (place, candidate) in unnamed.into_iter().enumerate() {
        let of_same = candidate.profile.node().map_or(0, |node| {
            let count = of_node.entry(node).or_default();
            *count += 1;
            *count
        });
        let is_surplus = place >= MAX_UNNAMED || of_same > MAX_UNNAMED_PER_NODE;
        let age = now.saturating_duration_since(candidate.since);
        if age >= KEEP_UNNAMED {
            expired.push(candidate.deletion);
        } else if is_surplus && age >= KEEP_YOUNG {
            expired.push(Deletion { why: Why::TooMany, ..candidate.deletion });
        }
    }
    expired.reverse();
    expired
}

fn seen(profile: &Profile, why: Why) -> Option<Deletion> {
    let metadata = profile.meta();
    Some(Deletion {
        name: metadata.name.clone()?,
        uid: metadata.uid.clone()?,
        resource_version: metadata.resource_version.clone()?,
        why,
        node: profile.node().map(str::to_owned),
        has_finalizers: profile.has_finalizers,
    })
}

impl Why {
    /// The value of the metrics' label `why`.
    pub const fn word(self) -> &'static str {
        match self {
            Self::FalseName => "false-name",
            Self::Unnamed => "unnamed",
            Self::TooMany => "too-many",
        }
    }
}

#[cfg(test)]
mod tests;

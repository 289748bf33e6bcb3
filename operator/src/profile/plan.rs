//! Which hook profiles to delete. Pure.
//!
//! In: the profiles, the names in the reports, what the last sweep remembered, and the time. Out:
//! the profiles to delete, and what to remember.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use lsm_ready_crds::LsmHookProfile;

/// How long an unnamed profile stays: longer than any reboot of a node or restart of a probe.
pub const KEEP_UNNAMED: Duration = Duration::from_hours(1);

/// Maximum number of profiles deleted in one sweep. It limits the harm of a mistake.
pub const MAX_DELETIONS: usize = 50;

/// The time at which each profile, by UID, was first seen unnamed.
pub type Unnamed = BTreeMap<String, Timestamp>;

/// What one sweep does.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Plan {
    /// The profiles to delete, the longest unnamed first.
    pub delete: Vec<Deletion>,
    /// What the next sweep needs.
    pub unnamed: Unnamed,
}

/// A profile to delete, as it was seen.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Deletion {
    pub name: String,
    pub uid: String,
    pub resource_version: String,
}

pub fn plan(
    profiles: &[Arc<LsmHookProfile>],
    named: &BTreeSet<&str>,
    before: &Unnamed,
    now: Timestamp,
) -> Plan {
    let mut plan = Plan::default();
    let mut expired = Vec::new();
    for deletion in profiles
        .iter()
        .filter(|profile| !is_in_use(profile, named))
        .filter_map(|profile| seen(profile))
    {
        let since = before.get(&deletion.uid).copied().unwrap_or(now);
        plan.unnamed.insert(deletion.uid.clone(), since);
        if Duration::try_from(now.duration_since(since)).is_ok_and(|age| age >= KEEP_UNNAMED) {
            expired.push((since, deletion));
        }
    }
    expired.sort_by(|(a, x), (b, y)| (a, &x.name).cmp(&(b, &y.name)));
    plan.delete = expired.into_iter().take(MAX_DELETIONS).map(|(_, deletion)| deletion).collect();
    plan
}

/// Whether a report names the profile, and its name is the digest of its content.
fn is_in_use(profile: &LsmHookProfile, named: &BTreeSet<&str>) -> bool {
    profile.metadata.name.as_deref().is_some_and(|name| named.contains(name))
        && profile.is_genuine()
}

fn seen(profile: &LsmHookProfile) -> Option<Deletion> {
    let metadata = &profile.metadata;
    Some(Deletion {
        name: metadata.name.clone()?,
        uid: metadata.uid.clone()?,
        resource_version: metadata.resource_version.clone()?,
    })
}

#[cfg(test)]
mod tests {
    use lsm_ready_crds::profile::LsmHookProfileSpec;
    use proptest::prelude::*;

    use super::*;

    /// The genuine profile of the kernel with that number.
    fn profile(kernel: usize) -> Arc<LsmHookProfile> {
        let spec = LsmHookProfileSpec { kernel: format!("{kernel:03}"), ..Default::default() };
        let mut profile = LsmHookProfile::new(&spec.digest(), spec);
        profile.metadata.uid = Some(format!("uid-{kernel}"));
        profile.metadata.resource_version = Some("7".to_owned());
        Arc::new(profile)
    }

    fn minute(minute: i64) -> Timestamp {
        Timestamp::from_second(1_767_226_200 + 60 * minute).unwrap()
    }

    fn name(profile: &LsmHookProfile) -> &str {
        profile.metadata.name.as_deref().unwrap()
    }

    /// The UIDs that a sweep at each of these minutes deletes.
    fn gone(profiles: &[Arc<LsmHookProfile>], named: &[&str], minutes: &[i64]) -> Vec<Vec<String>> {
        let named = named.iter().copied().collect();
        let mut unnamed = Unnamed::default();
        let sweeps = minutes.iter().map(|at| {
            let plan = plan(profiles, &named, &unnamed, minute(*at));
            unnamed = plan.unnamed;
            plan.delete.into_iter().map(|deletion| deletion.uid).collect()
        });
        sweeps.collect()
    }

    #[test]
    fn an_unnamed_profile_is_deleted_after_an_hour() {
        let profiles = [profile(1), profile(2)];
        let found = gone(&profiles, &[name(&profiles[0])], &[0, 30, 59, 60]);
        assert_eq!(found, [vec![], vec![], vec![], vec!["uid-2".to_owned()]]);
    }

    #[test]
    fn the_hour_starts_again_after_a_report_names_the_profile() {
        let profiles = [profile(1)];
        let nobody = BTreeSet::new();
        let first = plan(&profiles, &nobody, &Unnamed::default(), minute(0));
        let named = plan(&profiles, &[name(&profiles[0])].into(), &first.unnamed, minute(50));
        assert_eq!(named, Plan::default());
        let again = plan(&profiles, &nobody, &named.unnamed, minute(70));
        assert_eq!(again.delete, []);
        assert_eq!(plan(&profiles, &nobody, &again.unnamed, minute(130)).delete.len(), 1);
    }

    #[test]
    fn a_profile_with_a_wrong_name_is_deleted_although_it_is_named() {
        let mut lie = LsmHookProfile::clone(&profile(1));
        lie.spec.hooks.insert("file_open".to_owned());
        assert_eq!(gone(&[Arc::new(lie.clone())], &[name(&lie)], &[0, 60])[1], ["uid-1"]);
    }

    #[test]
    fn a_clock_that_was_set_back_deletes_nothing() {
        assert_eq!(gone(&[profile(1)], &[], &[0, -90]), [Vec::<String>::new(), vec![]]);
    }

    proptest! {
        /// No named profile is deleted, no sweep exceeds the maximum, and in the end all unnamed
        /// are gone.
        #[test]
        fn only_unnamed_profiles_are_deleted(
            count in 0usize..130,
            named in proptest::collection::btree_set(0usize..130, 0..130),
        ) {
            let mut profiles: Vec<_> = (0..count).map(profile).collect();
            let kept = named.iter().filter_map(|index| profiles.get(*index).cloned());
            let kept: Vec<_> = kept.collect();
            let names: BTreeSet<&str> = kept.iter().map(|profile| name(profile)).collect();
            let mut unnamed = plan(&profiles, &names, &Unnamed::default(), minute(0)).unnamed;
            for _ in 0..3 {
                let plan = plan(&profiles, &names, &unnamed, minute(60));
                prop_assert!(plan.delete.len() <= MAX_DELETIONS);
                let deleted: BTreeSet<&str> =
                    plan.delete.iter().map(|deletion| deletion.name.as_str()).collect();
                prop_assert!(deleted.is_disjoint(&names));
                profiles.retain(|profile| !deleted.contains(name(profile)));
                unnamed = plan.unnamed;
            }
            prop_assert_eq!(profiles.len(), kept.len());
        }
    }
}

//! Which hook profiles are to go. Pure: profiles, the names that reports bear, what the look before has left, the time.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use lsm_ready_crds::LsmHookProfile;

/// How long a profile stays although nobody names it: long enough for any reboot and any probe's restart.
pub const PATIENCE: Duration = Duration::from_hours(1);

/// At most so many go at one look, so that a mistake cannot empty the cluster at once.
pub const MOST: usize = 50;

/// Since when each profile, by UID, is seen without anybody who names it.
pub type Unnamed = BTreeMap<String, Timestamp>;

/// What to do at one look.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Plan {
    /// These are to go, the longest unnamed first.
    pub delete: Vec<Deletion>,
    /// What the next look has to know.
    pub unnamed: Unnamed,
}

/// A profile as it was seen.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Deletion {
    /// Its name.
    pub name: String,
    /// Its UID.
    pub uid: String,
    /// Its resourceVersion.
    pub resource_version: String,
}

/// What is to go of those profiles, and what is to be remembered of the others.
pub fn plan(
    profiles: &[Arc<LsmHookProfile>],
    named: &BTreeSet<&str>,
    before: &Unnamed,
    now: Timestamp,
) -> Plan {
    let mut plan = Plan::default();
    let mut over = Vec::new();
    for deletion in profiles
        .iter()
        .filter(|profile| !is_in_use(profile, named))
        .filter_map(|profile| seen(profile))
    {
        let since = before.get(&deletion.uid).copied().unwrap_or(now);
        plan.unnamed.insert(deletion.uid.clone(), since);
        if Duration::try_from(now.duration_since(since)).is_ok_and(|age| age >= PATIENCE) {
            over.push((since, deletion));
        }
    }
    over.sort_by(|(a, x), (b, y)| (a, &x.name).cmp(&(b, &y.name)));
    plan.delete = over.into_iter().take(MOST).map(|(_, deletion)| deletion).collect();
    plan
}

/// Somebody names it, and it is what its name says.
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

    /// The genuine profile of a kernel of that number.
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

    /// The UIDs that go at each of these minutes.
    fn gone(profiles: &[Arc<LsmHookProfile>], named: &[&str], minutes: &[i64]) -> Vec<Vec<String>> {
        let named = named.iter().copied().collect();
        let mut unnamed = Unnamed::default();
        let looks = minutes.iter().map(|at| {
            let plan = plan(profiles, &named, &unnamed, minute(*at));
            unnamed = plan.unnamed;
            plan.delete.into_iter().map(|deletion| deletion.uid).collect()
        });
        looks.collect()
    }

    #[test]
    fn what_nobody_names_goes_after_an_hour_and_not_before() {
        let profiles = [profile(1), profile(2)];
        let found = gone(&profiles, &[name(&profiles[0])], &[0, 30, 59, 60]);
        assert_eq!(found, [vec![], vec![], vec![], vec!["uid-2".to_owned()]]);
    }

    #[test]
    fn the_hour_begins_anew_when_somebody_names_it_in_between() {
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
    fn a_false_profile_goes_although_it_is_named() {
        let mut lie = LsmHookProfile::clone(&profile(1));
        lie.spec.hooks.insert("file_open".to_owned());
        assert_eq!(gone(&[Arc::new(lie.clone())], &[name(&lie)], &[0, 60])[1], ["uid-1"]);
    }

    #[test]
    fn a_clock_that_was_set_back_deletes_nothing() {
        assert_eq!(gone(&[profile(1)], &[], &[0, -90]), [Vec::<String>::new(), vec![]]);
    }

    proptest! {
        /// Never one that is named, never more than so many, and all of them in the end.
        #[test]
        fn only_the_unnamed_go(count in 0usize..130, named in proptest::collection::btree_set(0usize..130, 0..130)) {
            let mut profiles: Vec<_> = (0..count).map(profile).collect();
            let kept: Vec<_> = named.iter().filter_map(|index| profiles.get(*index).cloned()).collect();
            let names: BTreeSet<&str> = kept.iter().map(|profile| name(profile)).collect();
            let mut unnamed = plan(&profiles, &names, &Unnamed::default(), minute(0)).unnamed;
            for _ in 0..3 {
                let plan = plan(&profiles, &names, &unnamed, minute(60));
                prop_assert!(plan.delete.len() <= MOST);
                prop_assert!(plan.delete.iter().all(|deletion| !names.contains(deletion.name.as_str())));
                profiles.retain(|profile| !plan.delete.iter().any(|deletion| deletion.name == name(profile)));
                unnamed = plan.unnamed;
            }
            prop_assert_eq!(profiles.len(), kept.len());
        }
    }
}

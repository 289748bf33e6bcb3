//! Tables and properties of the sweep.

use jiff::Timestamp;
use kube::Resource;
use lsm_ready_crds::LsmHookProfile;
use lsm_ready_crds::profile::LsmHookProfileSpec;
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::context::moment::tests::second;
use crate::watch::profile::NODE_LABEL;

/// The genuine profile of the kernel with that number.
fn genuine(kernel: usize) -> LsmHookProfile {
    let spec = LsmHookProfileSpec { kernel: format!("{kernel:03}"), ..Default::default() };
    let mut profile = LsmHookProfile::new(&spec.digest(), spec);
    profile.metadata.uid = Some(format!("uid-{kernel}"));
    profile.metadata.resource_version = Some("7".to_owned());
    profile
}

fn kept(profile: LsmHookProfile) -> Arc<Profile> {
    Arc::new(profile.into())
}

fn profile(kernel: usize) -> Arc<Profile> {
    kept(genuine(kernel))
}

/// A profile that was created in that second, by that node.
fn published(kernel: usize, created: i64, node: &str) -> Arc<Profile> {
    let mut profile = genuine(kernel);
    let created = Timestamp::from_second(created).unwrap().to_string();
    profile.metadata.creation_timestamp = serde_json::from_value(json!(created)).unwrap();
    profile.metadata.labels = Some([(NODE_LABEL.to_owned(), node.to_owned())].into());
    kept(profile)
}

/// A profile with the name of another content.
fn lie(kernel: usize) -> LsmHookProfile {
    let mut lie = genuine(kernel);
    lie.spec.hooks.insert("file_open".to_owned());
    lie
}

fn minute(minute: u64) -> Instant {
    second(60 * minute).instant
}

fn name(profile: &Profile) -> &str {
    profile.meta().name.as_deref().unwrap()
}

/// The UIDs that a sweep at each of these minutes deletes.
fn gone(profiles: &[Arc<Profile>], named: &[&str], minutes: &[u64]) -> Vec<Vec<String>> {
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
    assert_eq!((named.delete, &named.unnamed), (vec![], &Unnamed::new()));
    let again = plan(&profiles, &nobody, &named.unnamed, minute(70));
    assert_eq!(again.delete, []);
    assert_eq!(plan(&profiles, &nobody, &again.unnamed, minute(130)).delete.len(), 1);
}

#[test]
fn a_profile_with_a_false_name_is_deleted_at_once_although_it_is_named() {
    let lie = kept(lie(1));
    assert_eq!(gone(std::slice::from_ref(&lie), &[name(&lie)], &[0])[0], ["uid-1"]);
}

#[test]
fn a_false_profile_is_deleted_before_others() {
    let mut profiles: Vec<_> = (0..60).map(profile).collect();
    profiles.push(kept(lie(99)));
    let found = gone(&profiles, &[], &[0, 60]);
    assert_eq!((found[1].len(), found[1][0].as_str()), (MAX_DELETIONS, "uid-99"));
}

/// A profile that its finalizers keep is not deleted again and again.
#[test]
fn a_profile_that_is_being_deleted_is_left_alone() {
    let mut held = lie(1);
    held.metadata.finalizers = Some(vec!["example.com/x".to_owned()]);
    let deletion = plan(&[kept(held.clone())], &BTreeSet::new(), &Unnamed::new(), minute(0));
    assert!(deletion.delete[0].has_finalizers);
    held.metadata.deletion_timestamp =
        serde_json::from_value(json!("2026-01-01T00:00:00Z")).unwrap();
    let found = plan(&[kept(held)], &BTreeSet::new(), &Unnamed::new(), minute(0));
    assert_eq!((found.delete, found.counts.held), (vec![], 1));
}

#[test]
fn of_too_many_the_oldest_are_deleted_after_five_minutes() {
    let node = |kernel: usize| format!("n{}", kernel / 5);
    let profiles: Vec<_> = (0..MAX_UNNAMED + 3)
        .map(|kernel| published(kernel, i64::try_from(kernel).unwrap(), &node(kernel)))
        .collect();
    let found = gone(&profiles, &[], &[0, 4, 5]);
    assert_eq!((&found[0], &found[1]), (&vec![], &vec![]));
    assert_eq!(found[2], ["uid-0", "uid-1", "uid-2"]);
}

#[test]
fn one_node_may_not_keep_many_unnamed_profiles() {
    let mut profiles: Vec<_> = (0..MAX_UNNAMED_PER_NODE + 2)
        .map(|kernel| published(kernel, i64::try_from(kernel).unwrap(), "hostile"))
        .collect();
    profiles.push(published(500, 0, "honest"));
    let found = gone(&profiles, &[], &[0, 5]);
    assert_eq!(found[1], ["uid-0", "uid-1"]);
}

proptest! {
    /// No named profile is deleted, no sweep exceeds the maximum, and in the end all unnamed are
    /// gone.
    #[test]
    fn only_unnamed_profiles_are_deleted(
        count in 0usize..130,
        named in proptest::collection::btree_set(0usize..130, 0..130),
    ) {
        let mut profiles: Vec<_> = (0..count).map(profile).collect();
        let kept: Vec<_> = named.iter().filter_map(|index| profiles.get(*index).cloned()).collect();
        let names: BTreeSet<&str> = kept.iter().map(|profile| name(profile)).collect();
        let mut unnamed = plan(&profiles, &names, &Unnamed::default(), minute(0)).unnamed;
        for _ in 0..3 {
            let plan = plan(&profiles, &names, &unnamed, minute(60));
            prop_assert!(plan.delete.len() <= MAX_DELETIONS);
            let deleted: BTreeSet<&str> =
                plan.delete.iter().map(|deletion| deletion.name.as_str()).collect();
            prop_assert!(deleted.is_disjoint(&names));
            prop_assert_eq!(plan.has_more, profiles.len() - kept.len() > MAX_DELETIONS);
            profiles.retain(|profile| !deleted.contains(name(profile)));
            unnamed = plan.unnamed;
        }
        prop_assert_eq!(profiles.len(), kept.len());
    }
}

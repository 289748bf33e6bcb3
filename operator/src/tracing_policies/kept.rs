//! Which TracingPolicies of one kind are kept: the oldest, up to [`MAX_TOGETHER`]. Pure.
//!
//! ## Guarantees
//! - Somebody who creates many policies cannot push out one that was there before.
//! - After a list, what is kept does not depend on the order of the objects, so all replicas know
//!   the same.
//! - It is known how many are left out. They count as unknown, never as requiring nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;
use lsm_ready_tetragon::tracing_policy::Name;
use sha2::{Digest as _, Sha256};

use super::bounds::MAX_KEPT_BYTES;
use super::object::Object;

/// Maximum size of the objects of one kind, as they are kept. Some 8,000 usual ones fit.
pub const MAX_TOGETHER: usize = 16 * 1024 * 1024;

/// The objects of one kind. A copy shares them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Kept {
    objects: BTreeMap<Arc<Name>, Arc<Object>>,
    by_age: BTreeSet<Age>,
    /// Size of all objects.
    bytes: usize,
    /// The digests of the names of what is left out, with the size. The size is 0 where the object
    /// alone is too large, so that it never fits.
    left_out: BTreeMap<Digest, usize>,
    /// The oldest object for which there was no room. What is newer is left out, too.
    cutoff: Option<Age>,
}

/// The oldest first. Of two that are as old, the name decides.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
struct Age {
    created: Option<Timestamp>,
    name: Arc<Name>,
}

/// The digest of a name. Nobody can make two names with the same one.
type Digest = [u8; 32];

fn digest(name: &Name) -> Digest {
    Sha256::digest(name.to_string()).into()
}

impl<O: Into<Object>> From<BTreeMap<Name, O>> for Kept {
    fn from(objects: BTreeMap<Name, O>) -> Self {
        let mut kept = Self::default();
        for (name, object) in objects {
            kept.insert(name, object.into());
        }
        kept
    }
}

impl Kept {
    /// The objects, by name.
    pub fn objects(&self) -> impl Iterator<Item = (&Name, &Object)> {
        self.objects.iter().map(|(name, object)| (&**name, &**object))
    }

    /// How many objects are left out.
    pub fn left_out(&self) -> usize {
        self.left_out.len()
    }

    /// Whether a new list could keep what is left out now.
    pub fn has_room(&self) -> bool {
        let waiting: usize = self.left_out.values().sum();
        waiting > 0 && (self.bytes + waiting <= MAX_TOGETHER || self.bytes <= MAX_TOGETHER / 2)
    }

    /// Adds or changes an object. Returns whether anything is different then.
    pub fn insert(&mut self, name: Name, object: Object) -> bool {
        if self.objects.get(&name).is_some_and(|known| **known == object) {
            return false;
        }
        let was_left_out = self.left_out.contains_key(&digest(&name));
        self.remove(&name);
        let age = Age { created: object.created, name: Arc::new(name) };
        let fits_alone = object.bytes <= MAX_KEPT_BYTES;
        if !fits_alone || self.cutoff.as_ref().is_some_and(|cutoff| age >= *cutoff) {
            let size = if fits_alone { object.bytes } else { 0 };
            self.left_out.insert(digest(&age.name), size);
            return !was_left_out;
        }
        self.bytes += object.bytes;
        self.objects.insert(age.name.clone(), Arc::new(object));
        self.by_age.insert(age);
        self.make_room();
        true
    }

    /// Leaves out the newest until the rest fits.
    fn make_room(&mut self) {
        while self.bytes > MAX_TOGETHER
            && let Some(newest) = self.by_age.pop_last()
            && let Some(object) = self.objects.remove(&newest.name)
        {
            self.bytes -= object.bytes;
            self.left_out.insert(digest(&newest.name), object.bytes);
            self.cutoff = Some(newest);
        }
    }

    /// Forgets an object. Returns whether it was known.
    pub fn remove(&mut self, name: &Name) -> bool {
        if let Some((name, object)) = self.objects.remove_entry(name) {
            self.bytes -= object.bytes;
            self.by_age.remove(&Age { created: object.created, name });
            return true;
        }
        self.left_out.remove(&digest(name)).is_some()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use lsm_ready_crds::selection::Labels;
    use proptest::prelude::*;

    use super::super::entry::Entry;
    use super::*;

    const LARGE: usize = MAX_KEPT_BYTES;
    /// So many large ones fit.
    const FIT: usize = MAX_TOGETHER / LARGE;

    fn name(number: usize) -> Name {
        Name { namespace: None, name: format!("p{number:03}") }
    }

    /// An object of that size, created at that second.
    fn object(second: usize, bytes: usize) -> Object {
        let unreadable = Entry::Unreadable { labels: Labels::new(), error: String::new() };
        let created = Timestamp::from_second(i64::try_from(second).unwrap()).ok();
        Object { created, bytes, ..Object::from(unreadable) }
    }

    fn numbers(kept: &Kept) -> Vec<String> {
        kept.objects().map(|(name, _)| name.to_string()).collect()
    }

    #[test]
    fn a_flood_does_not_push_out_what_was_there_before() {
        let mut kept = Kept::default();
        assert!(kept.insert(name(999), object(0, 2_000)));
        for number in 0..2 * FIT {
            assert!(kept.insert(name(number), object(1 + number, LARGE)));
        }
        assert!(numbers(&kept).contains(&"p999".to_owned()));
        assert!(kept.bytes <= MAX_TOGETHER && !kept.has_room());
        assert_eq!(kept.left_out(), FIT + 1);
        // The same again changes nothing.
        assert!(!kept.insert(name(2 * FIT - 1), object(2 * FIT, LARGE)));
        // The flood goes: nothing is left out any more.
        for number in 0..2 * FIT {
            assert!(kept.remove(&name(number)));
        }
        assert_eq!((kept.left_out(), numbers(&kept)), (0, vec!["p999".to_owned()]));
    }

    #[test]
    fn a_new_list_is_wanted_when_there_is_room_again() {
        let objects = (0..FIT + 2).map(|number| (name(number), object(number, LARGE)));
        let mut kept = Kept::from(objects.collect::<BTreeMap<_, _>>());
        assert_eq!((kept.left_out(), kept.has_room()), (2, false));
        kept.remove(&name(0));
        assert!(!kept.has_room(), "there is room for one of two, and nearly all is in use");
        kept.remove(&name(1));
        assert!(kept.has_room());
    }

    #[test]
    fn an_object_that_is_too_large_alone_leaves_out_no_other() {
        let mut kept = Kept::default();
        assert!(kept.insert(name(0), object(0, LARGE + 1)));
        assert!(kept.insert(name(1), object(1, 2_000)));
        assert_eq!((kept.left_out(), kept.has_room()), (1, false));
        assert!(kept.insert(name(0), object(0, 2_000)), "it was made smaller");
        assert_eq!((kept.left_out(), numbers(&kept).len()), (0, 2));
    }

    proptest! {
        #[test]
        fn what_a_list_keeps_does_not_depend_on_its_order(
            sizes in prop::collection::vec(1..LARGE, FIT..4 * FIT),
            seed in any::<u64>(),
        ) {
            let objects: Vec<(Name, Object)> = sizes
                .iter()
                .enumerate()
                .map(|(number, bytes)| (name(number), object(number / 2, *bytes)))
                .collect();
            let mut shuffled = objects.clone();
            shuffled.sort_by_key(|(name, _)| name.name.bytes().fold(seed, |hash, byte| {
                (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
            }));
            let all = |objects: Vec<(Name, Object)>| {
                let mut kept = Kept::default();
                for (name, object) in objects {
                    kept.insert(name, object);
                }
                kept
            };
            let (kept, other) = (all(objects), all(shuffled));
            prop_assert_eq!(&kept, &other);
            prop_assert!(kept.bytes <= MAX_TOGETHER);
            prop_assert_eq!(kept.left_out() + kept.objects().count(), sizes.len());
        }
    }
}

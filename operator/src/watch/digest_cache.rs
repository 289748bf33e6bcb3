//! Whether a hook profile's name is the digest of its content, computed once for each version.
//!
//! Thousands of nodes share one profile, and computing its digest takes longer than everything else
//! that is done for a node.

use std::collections::HashMap;
use std::sync::Arc;

use kube::ResourceExt;
use lsm_ready_crds::LsmHookProfile;
use parking_lot::Mutex;

/// A cluster has some dozens of kernels. More entries than this are old versions of profiles.
const MAX_ENTRIES: usize = 1024;

/// The answers, by the profile's UID and resourceVersion. A clone shares them.
#[derive(Clone, Debug, Default)]
pub struct DigestCache(Arc<Mutex<HashMap<Version, bool>>>);

#[derive(Debug, Eq, Hash, PartialEq)]
struct Version {
    uid: String,
    resource_version: String,
}

impl DigestCache {
    /// Whether the profile's name is the digest of its content.
    pub fn is_genuine(&self, profile: &LsmHookProfile) -> bool {
        let (Some(uid), Some(resource_version)) = (profile.uid(), profile.resource_version())
        else {
            return profile.is_genuine();
        };
        let mut answers = self.0.lock();
        if answers.len() >= MAX_ENTRIES {
            answers.clear();
        }
        let version = Version { uid, resource_version };
        *answers.entry(version).or_insert_with(|| profile.is_genuine())
    }

    /// Keeps the answers about the profiles whose UID exists.
    pub fn retain(&self, exists: impl Fn(&str) -> bool) {
        self.0.lock().retain(|version, _| exists(&version.uid));
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.0.lock().len()
    }
}

#[cfg(test)]
mod tests {
    use lsm_ready_crds::profile::LsmHookProfileSpec;

    use super::*;

    fn profile(version: &str, kernel: &str) -> LsmHookProfile {
        let spec = LsmHookProfileSpec { kernel: "k".into(), ..LsmHookProfileSpec::default() };
        let mut profile = LsmHookProfile::new(
            &spec.digest(),
            LsmHookProfileSpec { kernel: kernel.into(), ..spec },
        );
        profile.metadata.uid = Some("u".into());
        profile.metadata.resource_version = Some(version.into());
        profile
    }

    #[test]
    fn the_digest_of_each_version_is_computed_once() {
        let cache = DigestCache::default();
        assert!(cache.is_genuine(&profile("1", "k")));
        assert!(!cache.is_genuine(&profile("2", "another")));
        assert!(
            cache.is_genuine(&profile("1", "another")),
            "the first answer stands: a version has one content"
        );
        for version in 3..2 * MAX_ENTRIES {
            assert!(cache.is_genuine(&profile(&version.to_string(), "k")));
        }
        assert!(cache.len() <= MAX_ENTRIES);
    }

    #[test]
    fn a_profile_that_is_gone_is_forgotten() {
        let cache = DigestCache::default();
        cache.is_genuine(&profile("1", "k"));
        cache.retain(|uid| uid == "u");
        assert_eq!(cache.len(), 1);
        cache.retain(|uid| uid != "u");
        assert_eq!(cache.len(), 0);
    }
}

//! Which hook profiles are what their names say, found once for each: thousands of nodes share one, and its digest takes
//! longer than all else that is looked at for a node.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use kube::ResourceExt;
use lsm_ready_crds::LsmHookProfile;

/// A cluster has some dozens of kernels. More entries than this are left over from profiles that are gone.
const MOST: usize = 1024;

/// The answers, by the profile's UID and resourceVersion; cloning shares them.
#[derive(Clone, Debug, Default)]
pub struct Genuine(Arc<Mutex<HashMap<(String, String), bool>>>);

impl Genuine {
    /// Whether the profile's name is the digest of its content.
    pub fn is(&self, profile: &LsmHookProfile) -> bool {
        let (Some(uid), Some(version)) = (profile.uid(), profile.resource_version()) else {
            return profile.is_genuine();
        };
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MOST {
            known.clear();
        }
        *known.entry((uid, version)).or_insert_with(|| profile.is_genuine())
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
    fn each_version_is_looked_at_once() {
        let genuine = Genuine::default();
        assert!(genuine.is(&profile("1", "k")));
        assert!(!genuine.is(&profile("2", "another")));
        assert!(
            genuine.is(&profile("1", "another")),
            "the first answer stands: a version has one content"
        );
        for version in 3..2 * MOST {
            assert!(genuine.is(&profile(&version.to_string(), "k")));
        }
        assert!(genuine.0.lock().unwrap().len() <= MOST);
    }
}

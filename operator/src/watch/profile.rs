//! A hook profile as the operator keeps it: what identifies it, and whether its name is the digest
//! of its content. The content itself is kept apart, for the profiles that are used
//! ([`super::contents`]).

use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use lsm_ready_crds::LsmHookProfile;
use lsm_ready_crds::profile::LsmHookProfileSpec;
use serde::{Deserialize, Deserializer, Serialize};

use super::kept::{Kept, trim_metadata};
use super::stored::{resource_as, stored_as_it_is};

/// Label of a profile: the node that published it.
pub const NODE_LABEL: &str = "lsmready.io/node";

/// A hook profile.
#[derive(Clone, Debug, Serialize)]
pub struct Profile {
    metadata: ObjectMeta,
    /// Its name is the digest of its content.
    pub is_genuine: bool,
    /// It had finalizers when it was last seen.
    pub has_finalizers: bool,
    /// The content of a genuine profile, until it is put aside.
    #[serde(skip)]
    content: Option<Arc<LsmHookProfileSpec>>,
}

impl From<LsmHookProfile> for Profile {
    fn from(profile: LsmHookProfile) -> Self {
        let is_genuine = profile.is_genuine();
        let content = is_genuine.then(|| Arc::new(profile.spec));
        let has_finalizers =
            profile.metadata.finalizers.as_ref().is_some_and(|all| !all.is_empty());
        let mut found = Self { metadata: profile.metadata, is_genuine, has_finalizers, content };
        found.trim();
        found
    }
}

impl Profile {
    /// The node that published the profile, as its label says.
    pub fn node(&self) -> Option<&str> {
        self.metadata.labels.as_ref()?.get(NODE_LABEL).map(String::as_str)
    }

    /// Takes the content out.
    pub const fn take_content(&mut self) -> Option<Arc<LsmHookProfileSpec>> {
        self.content.take()
    }
}

impl<'de> Deserialize<'de> for Profile {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        LsmHookProfile::deserialize(deserializer).map(Self::from)
    }
}

impl Kept for Profile {
    stored_as_it_is!();

    /// A profile has up to 64 kB, and one that was stored before that bound had up to 1.5 MB.
    const PAGE: u32 = 10;

    fn trim(&mut self) {
        trim_metadata(&mut self.metadata, |_| false);
        let labels = self.metadata.labels.iter_mut().flatten();
        let node = labels.into_iter().find(|(key, _)| *key == NODE_LABEL);
        self.metadata.labels = node.map(|(key, node)| [(key.clone(), node.clone())].into());
    }
}

resource_as!(Profile, LsmHookProfile, ());

//! What several policies together want of one DaemonSet.
//!
//! In: all policies. Out: the merged wish and, for each policy, whether it was followed. The strongest wish wins: a
//! policy that wants less can be overruled, never one that wants more. Policies that name different containers cannot
//! both be followed; the oldest one decides, so that a policy added later does not move a mount that is in use.

use kube::ResourceExt;
use lsm_ready_crds::LsmPolicy;
use lsm_ready_crds::policy::{Apply, Mount};

use super::plan::Wish;
use crate::key::DaemonSetKey;

/// What each policy wants of one DaemonSet, oldest policy first.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Wishes(Vec<Asker>);

/// What one policy wants.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Asker {
    policy: String,
    container: String,
    mount: Mount,
    apply: Apply,
}

/// How a policy's wish fared against the others'.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Standing {
    /// It is followed.
    Followed,
    /// Another policy wants more: its name, and its wish in words.
    Overruled {
        /// Name of that policy.
        by: String,
        /// `mount: Auto, apply: Patch`
        wish: String,
    },
    /// An older policy names another container.
    OtherContainer {
        /// Name of that policy.
        by: String,
        /// The container that it names.
        container: String,
    },
}

impl Wishes {
    /// The wishes of those policies for that DaemonSet. A policy that is being deleted wants nothing any more.
    pub fn of<'a>(key: &DaemonSetKey, policies: impl IntoIterator<Item = &'a LsmPolicy>) -> Self {
        let mut asking: Vec<&LsmPolicy> = policies
            .into_iter()
            .filter(|policy| policy.metadata.deletion_timestamp.is_none())
            .filter(|policy| DaemonSetKey::named_by(&policy.spec).as_ref() == Some(key))
            .collect();
        asking.sort_by_key(|policy| {
            let created = policy.metadata.creation_timestamp.as_ref().map(|time| time.0);
            (created, policy.name_any())
        });
        Self(asking.into_iter().filter_map(asker).collect())
    }

    /// The wish to follow.
    #[must_use]
    pub fn merged(&self) -> Wish {
        let Some(first) = self.first() else { return Wish::none() };
        let strongest = |apply: Apply| {
            let heard = self.0.iter().filter(|asker| asker.container == first.container && asker.apply == apply);
            heard.map(|asker| asker.mount).max().unwrap_or(Mount::Never)
        };
        Wish { container: first.container.clone(), patch: strongest(Apply::Patch), suggest: strongest(Apply::Suggest) }
    }

    /// Names of the policies, oldest first.
    pub fn policies(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|asker| asker.policy.as_str())
    }

    /// How that policy's wish fared.
    #[must_use]
    pub fn standing(&self, policy: &str) -> Standing {
        let (Some(own), Some(first)) = (self.0.iter().find(|asker| asker.policy == policy), self.first()) else {
            return Standing::Followed;
        };
        if own.mount > Mount::Never && own.container != first.container {
            return Standing::OtherContainer { by: first.policy.clone(), container: first.container.clone() };
        }
        let heard = self.0.iter().filter(|asker| asker.mount > Mount::Never && asker.container == first.container);
        match heard.max_by_key(|asker| asker.strength()) {
            Some(strongest) if strongest.strength() > own.strength() => Standing::Overruled {
                by: strongest.policy.clone(),
                wish: format!("mount: {:?}, apply: {:?}", strongest.mount, strongest.apply),
            },
            _ => Standing::Followed,
        }
    }

    /// The oldest policy that wants anything: its container counts.
    fn first(&self) -> Option<&Asker> {
        self.0.iter().find(|asker| asker.mount > Mount::Never)
    }
}

impl Asker {
    /// Who only wants to be told is never stronger than who wants a change; `Never` is the weakest, whatever is said
    /// about applying.
    fn strength(&self) -> (bool, Apply, Mount) {
        let wants = self.mount > Mount::Never;
        (wants, if wants { self.apply } else { Apply::Suggest }, self.mount)
    }
}

fn asker(policy: &LsmPolicy) -> Option<Asker> {
    let tetragon = policy.spec.tetragon.as_ref()?;
    Some(Asker {
        policy: policy.name_any(),
        container: tetragon.daemon_set.container.clone(),
        mount: tetragon.securityfs.mount,
        apply: tetragon.securityfs.apply,
    })
}

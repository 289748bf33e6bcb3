//! What the daemon knows of its kernel's hooks, when it has to try them, and whether the cluster
//! has the result. Pure.
//!
//! In: the LsmNode that is there, the evidence, the result of a trial, what the cluster has under
//! the profile's name. Out: whether a trial is due, whether the profile has to be published, and
//! its name for the LsmNode.
//!
//! The hooks do not change while a kernel runs, so one trial per boot is enough. A daemon that
//! restarts in the same boot adopts the profile that its LsmNode names.

use kube::Resource as _;
use lsm_ready_crds::node::Kernel;
use lsm_ready_crds::profile::{LsmHookProfileSpec, kernel_name};
use lsm_ready_crds::{Evidence, LsmHookProfile, LsmNode};

use crate::hooks::TrialError;

/// How many trials may fail in one boot. A failed trial is repeated with the next check.
const MAX_FAILURES: u32 = 3;

/// What the daemon knows of the hook profile of this boot.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct ProfileState {
    /// The content, which is kept so that the profile can be published again without a trial.
    known: Option<Box<LsmHookProfileSpec>>,
    failures: u32,
    cluster: InCluster,
}

/// What the cluster has under the profile's name. A profile never changes, so its uid is enough to
/// see that it is still the same.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub enum InCluster {
    /// Nothing, or it was not looked at.
    #[default]
    Unknown,
    /// The profile.
    Genuine { uid: String },
    /// An object whose content does not match its name.
    False { uid: String },
    /// The API server refuses to take the profile.
    Refused,
}

impl InCluster {
    /// The object, judged by the digest of its content.
    pub fn of(object: &LsmHookProfile) -> Self {
        let uid = object.meta().uid.clone().unwrap_or_default();
        if object.is_genuine() { Self::Genuine { uid } } else { Self::False { uid } }
    }
}

impl ProfileState {
    /// The name of the profile that an earlier daemon of this boot has named, if this daemon knows
    /// none yet.
    pub fn adoptable<'a>(&self, present: Option<&'a LsmNode>, boot_id: &str) -> Option<&'a str> {
        let written = present?.status.as_ref()?;
        let is_ours = self.known.is_none() && !boot_id.is_empty() && written.boot_id == boot_id;
        written.hook_profile.as_deref().filter(|_| is_ours)
    }

    /// Adopts that profile if it is genuine and one of this kernel.
    pub fn adopt(&mut self, profile: LsmHookProfile, kernel: &Kernel) {
        let cluster = InCluster::of(&profile);
        let is_genuine = matches!(cluster, InCluster::Genuine { .. });
        if is_genuine && profile.spec.kernel == kernel_name(kernel) {
            self.known = Some(Box::new(profile.spec));
            self.cluster = cluster;
        }
    }

    /// Whether a trial has to be made: LSM programs load, and it is not known on which hooks.
    pub fn is_due(&self, evidence: Evidence) -> bool {
        self.known.is_none() && evidence >= Evidence::Loaded && self.failures < MAX_FAILURES
    }

    /// Remembers the result of a trial.
    pub fn learn(&mut self, trial: Result<LsmHookProfileSpec, TrialError>) {
        match trial {
            Ok(profile) => {
                self.known = Some(Box::new(profile));
                self.cluster = InCluster::Unknown;
            }
            Err(_) => self.failures += 1,
        }
    }

    /// The profile that the cluster does not have.
    pub fn unpublished(&self) -> Option<&LsmHookProfileSpec> {
        let is_there = matches!(self.cluster, InCluster::Genuine { .. });
        self.known.as_deref().filter(|_| !is_there)
    }

    /// Remembers what the cluster has under the profile's name.
    pub fn found_in_cluster(&mut self, cluster: InCluster) {
        self.cluster = cluster;
    }

    /// Makes the next round look at the cluster again, without a trial.
    pub fn look_again(&mut self) {
        self.cluster = InCluster::Unknown;
    }

    /// The name of the profile, if the cluster has it.
    pub fn published(&self) -> Option<String> {
        let is_there = matches!(self.cluster, InCluster::Genuine { .. });
        self.known.as_ref().filter(|_| is_there).map(|profile| profile.digest())
    }

    /// The name to look at between two checks. `None` if there is nothing to publish, or if the API
    /// server refused the profile: then the next check tries again.
    pub fn watched(&self) -> Option<String> {
        let is_watched = self.cluster != InCluster::Refused;
        self.known.as_ref().filter(|_| is_watched).map(|profile| profile.digest())
    }

    /// Whether the cluster has something else under the profile's name than before. `uid` is that
    /// of the object that is there now.
    pub fn differs(&self, uid: Option<&str>) -> bool {
        match &self.cluster {
            InCluster::Unknown => true,
            InCluster::Genuine { uid: known } | InCluster::False { uid: known } => {
                uid != Some(known)
            }
            InCluster::Refused => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use lsm_ready_crds::LsmNodeStatus;
    use lsm_ready_crds::node::LsmNodeContent;

    use super::*;

    fn node(boot_id: &str, profile: Option<&str>) -> LsmNode {
        let status = LsmNodeStatus {
            boot_id: boot_id.to_owned(),
            hook_profile: profile.map(str::to_owned),
            ..LsmNodeStatus::default()
        };
        LsmNode { status: Some(status), ..LsmNode::new("n1", LsmNodeContent::default()) }
    }

    fn kernel() -> Kernel {
        Kernel { release: "6.12".to_owned(), machine: "x86_64".to_owned() }
    }

    fn content() -> LsmHookProfileSpec {
        let hooks = ["file_open".to_owned()].into();
        LsmHookProfileSpec { kernel: kernel_name(&kernel()), hooks, ..Default::default() }
    }

    fn object(name: &str, content: LsmHookProfileSpec) -> LsmHookProfile {
        let mut object = LsmHookProfile::new(name, content);
        object.metadata.uid = Some("u1".to_owned());
        object
    }

    fn genuine() -> InCluster {
        InCluster::Genuine { uid: "u1".to_owned() }
    }

    #[test]
    fn a_profile_is_only_adopted_from_the_same_boot() {
        let nothing = ProfileState::default();
        assert_eq!(nothing.adoptable(Some(&node("b", Some("d"))), "b"), Some("d"));
        assert_eq!(nothing.adoptable(Some(&node("a", Some("d"))), "b"), None);
        assert_eq!(nothing.adoptable(Some(&node("", Some("d"))), ""), None, "unknown boot");
        assert_eq!(nothing.adoptable(Some(&node("b", None)), "b"), None);
        assert_eq!(nothing.adoptable(None, "b"), None);
        let mut knowing = ProfileState::default();
        knowing.learn(Ok(content()));
        let report = node("b", Some("d"));
        assert_eq!(knowing.adoptable(Some(&report), "b"), None, "its own trial counts");
    }

    #[test]
    fn only_a_genuine_profile_of_this_kernel_is_adopted() {
        let other = Kernel { release: "6.1".to_owned(), ..kernel() };
        let digest = content().digest();
        for (name, kernel, expected) in [
            (digest.as_str(), &kernel(), Some(digest.clone())),
            ("another name", &kernel(), None),
            (digest.as_str(), &other, None),
        ] {
            let mut hooks = ProfileState::default();
            hooks.adopt(object(name, content()), kernel);
            assert_eq!(hooks.published(), expected, "{name} {kernel:?}");
            assert_eq!(hooks.is_due(Evidence::Denied), expected.is_none());
        }
    }

    #[test]
    fn one_trial_per_boot_and_only_if_programs_load() {
        let mut hooks = ProfileState::default();
        assert!(!hooks.is_due(Evidence::None));
        assert!(hooks.is_due(Evidence::Loaded) && hooks.is_due(Evidence::Denied));
        hooks.learn(Ok(content()));
        assert!(!hooks.is_due(Evidence::Denied));
    }

    #[test]
    fn a_failing_trial_is_made_three_times() {
        let mut hooks = ProfileState::default();
        let trials = std::iter::from_fn(|| {
            hooks.is_due(Evidence::Denied).then(|| hooks.learn(Err(TrialError("no memory".into()))))
        });
        assert_eq!(trials.take(10).count(), 3);
        assert_eq!((hooks.published(), hooks.watched()), (None, None));
    }

    #[test]
    fn a_profile_is_named_only_while_the_cluster_has_it() {
        let mut hooks = ProfileState::default();
        hooks.learn(Ok(content()));
        let lie = InCluster::False { uid: "u1".to_owned() };
        for (cluster, is_named) in [
            (InCluster::Unknown, false),
            (lie, false),
            (genuine(), true),
            (InCluster::Refused, false),
        ] {
            hooks.found_in_cluster(cluster);
            assert_eq!(hooks.published().is_some(), is_named);
            assert_eq!(hooks.unpublished().is_some(), !is_named);
        }
    }

    #[test]
    fn a_profile_that_is_gone_or_another_one_is_noticed() {
        let lie = InCluster::False { uid: "u1".to_owned() };
        for (cluster, uid, differs) in [
            (genuine(), Some("u1"), false),
            (genuine(), Some("u2"), true),
            (genuine(), None, true),
            (lie.clone(), Some("u1"), false),
            (lie, None, true),
            (InCluster::Unknown, None, true),
            (InCluster::Refused, None, false),
        ] {
            let hooks = ProfileState { cluster, ..ProfileState::default() };
            assert_eq!(hooks.differs(uid), differs, "{hooks:?} {uid:?}");
        }
    }
}

//! What the daemon knows of its kernel's hooks, and when it has to try them. Pure.
//!
//! In: the LsmNode that is there, the evidence, the result of a trial. Out: whether a trial is due,
//! and the name of the profile that the LsmNode should have.
//!
//! The hooks do not change while a kernel runs, so one trial per boot is enough. A daemon that
//! restarts in the same boot adopts the profile that its LsmNode names.

use lsm_ready_crds::profile::LsmHookProfileSpec;
use lsm_ready_crds::{Evidence, LsmNode};

use crate::hooks::TrialError;

/// How many trials may fail in one boot. A failed trial is repeated with the next check.
const MAX_FAILURES: u32 = 3;

/// What is known of the hooks in this boot.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Hooks {
    known: Option<Known>,
    failures: u32,
}

/// Where the profile is from.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Known {
    /// This process made the trial.
    Made(Box<LsmHookProfileSpec>),
    /// An earlier process of this boot made the trial and published a profile of that name.
    Published(String),
}

impl Hooks {
    /// The profile that an earlier daemon of this boot has named, if this daemon knows none yet.
    pub fn adoptable<'a>(&self, present: Option<&'a LsmNode>, boot_id: &str) -> Option<&'a str> {
        let written = present?.status.as_ref()?;
        let is_ours = self.known.is_none() && !boot_id.is_empty() && written.boot_id == boot_id;
        written.hook_profile.as_deref().filter(|_| is_ours)
    }

    /// Adopts that profile, which is published and genuine.
    pub fn adopt(&mut self, digest: &str) {
        self.known = Some(Known::Published(digest.to_owned()));
    }

    /// Whether a trial has to be made: LSM programs load, and it is not known on which hooks.
    pub fn is_due(&self, evidence: Evidence) -> bool {
        self.known.is_none() && evidence >= Evidence::Loaded && self.failures < MAX_FAILURES
    }

    /// Remembers the result of a trial.
    pub fn learn(&mut self, trial: Result<LsmHookProfileSpec, TrialError>) {
        match trial {
            Ok(profile) => self.known = Some(Known::Made(Box::new(profile))),
            Err(_) => self.failures += 1,
        }
    }

    /// Forgets the profile, because it no longer exists in the cluster. Then a trial is due again.
    pub fn forget(&mut self) {
        self.known = None;
    }

    pub fn known(&self) -> Option<&Known> {
        self.known.as_ref()
    }

    /// The name of the profile.
    pub fn digest(&self) -> Option<String> {
        self.known.as_ref().map(|known| match known {
            Known::Made(profile) => profile.digest(),
            Known::Published(digest) => digest.clone(),
        })
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

    #[test]
    fn a_profile_is_only_adopted_from_the_same_boot() {
        let nothing = Hooks::default();
        assert_eq!(nothing.adoptable(Some(&node("b", Some("d"))), "b"), Some("d"));
        assert_eq!(nothing.adoptable(Some(&node("a", Some("d"))), "b"), None);
        assert_eq!(nothing.adoptable(Some(&node("", Some("d"))), ""), None, "unknown boot");
        assert_eq!(nothing.adoptable(Some(&node("b", None)), "b"), None);
        assert_eq!(nothing.adoptable(None, "b"), None);
        let mut knowing = Hooks::default();
        knowing.learn(Ok(LsmHookProfileSpec::default()));
        assert_eq!(
            knowing.adoptable(Some(&node("b", Some("d"))), "b"),
            None,
            "its own trial counts"
        );
    }

    #[test]
    fn one_trial_per_boot_and_only_if_programs_load() {
        let mut hooks = Hooks::default();
        assert!(
            !hooks.is_due(Evidence::None)
                && hooks.is_due(Evidence::Loaded)
                && hooks.is_due(Evidence::Denied)
        );
        hooks.learn(Ok(LsmHookProfileSpec::default()));
        assert!(!hooks.is_due(Evidence::Denied));
        assert_eq!(hooks.digest(), Some(LsmHookProfileSpec::default().digest()));
        hooks.forget();
        assert!(hooks.is_due(Evidence::Denied), "the profile is gone");
        hooks.adopt("d");
        assert!(!hooks.is_due(Evidence::Denied));
        assert_eq!(hooks.digest().as_deref(), Some("d"));
    }

    #[test]
    fn a_failing_trial_is_made_three_times() {
        let mut hooks = Hooks::default();
        let trials = std::iter::from_fn(|| {
            hooks.is_due(Evidence::Denied).then(|| hooks.learn(Err(TrialError("no memory".into()))))
        });
        assert_eq!(trials.take(10).count(), 3);
        assert_eq!(hooks.digest(), None);
    }
}

//! What the agent knows of its kernel's hooks, and when it has to find out. Pure.
//!
//! In: the LsmNode that is there, the evidence, what the trial led to. Out: whether a trial is due,
//! and the name of the profile that the LsmNode is to bear.
//!
//! A kernel's hooks do not change while it runs, so one trial a boot is enough: an agent that
//! starts anew in the same boot takes over the profile that its LsmNode names.

use lsm_ready_crds::profile::LsmHookProfileSpec;
use lsm_ready_crds::{Evidence, LsmNode};

use crate::hooks::TrialError;

/// A trial that led to no profile is made again with the next check, at most so often altogether.
const TRIALS: u32 = 3;

/// What is known of the hooks in this boot.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Hooks {
    known: Option<Known>,
    failures: u32,
}

/// Where the knowledge is from.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Known {
    /// This process made the trial.
    Made(Box<LsmHookProfileSpec>),
    /// An earlier process of this boot did, and published a profile of that name.
    Published(String),
}

impl Hooks {
    /// The profile that an earlier agent of this boot has named, if this one knows nothing yet.
    pub fn adoptable<'a>(&self, present: Option<&'a LsmNode>, boot_id: &str) -> Option<&'a str> {
        let written = present?.status.as_ref()?;
        let is_ours = self.known.is_none() && !boot_id.is_empty() && written.boot_id == boot_id;
        written.hook_profile.as_deref().filter(|_| is_ours)
    }

    /// Takes over that profile, which is there and genuine.
    pub fn adopt(&mut self, digest: &str) {
        self.known = Some(Known::Published(digest.to_owned()));
    }

    /// A trial has to be made: the kernel takes LSM programs, and on which hooks is not known.
    pub fn is_due(&self, evidence: Evidence) -> bool {
        self.known.is_none() && evidence >= Evidence::Loaded && self.failures < TRIALS
    }

    /// Remembers what the trial led to.
    pub fn learn(&mut self, trial: Result<LsmHookProfileSpec, TrialError>) {
        match trial {
            Ok(profile) => self.known = Some(Known::Made(Box::new(profile))),
            Err(_) => self.failures += 1,
        }
    }

    /// The published profile is there no longer: a trial has to be made again.
    pub fn forget(&mut self) {
        self.known = None;
    }

    /// What is known, if anything is.
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
    fn a_profile_is_only_taken_over_from_the_same_boot() {
        let nothing = Hooks::default();
        assert_eq!(nothing.adoptable(Some(&node("b", Some("d"))), "b"), Some("d"));
        assert_eq!(nothing.adoptable(Some(&node("a", Some("d"))), "b"), None);
        assert_eq!(
            nothing.adoptable(Some(&node("", Some("d"))), ""),
            None,
            "a boot that is not known"
        );
        assert_eq!(nothing.adoptable(Some(&node("b", None)), "b"), None);
        assert_eq!(nothing.adoptable(None, "b"), None);
        let mut knowing = Hooks::default();
        knowing.learn(Ok(LsmHookProfileSpec::default()));
        assert_eq!(
            knowing.adoptable(Some(&node("b", Some("d"))), "b"),
            None,
            "our own trial counts"
        );
    }

    #[test]
    fn one_trial_a_boot_and_only_where_programs_load() {
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
    fn a_trial_that_leads_to_nothing_is_made_three_times() {
        let mut hooks = Hooks::default();
        let trials = std::iter::from_fn(|| {
            hooks.is_due(Evidence::Denied).then(|| hooks.learn(Err(TrialError("no memory".into()))))
        });
        assert_eq!(trials.take(10).count(), 3);
        assert_eq!(hooks.digest(), None);
    }
}

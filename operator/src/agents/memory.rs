//! What the agents have answered, in memory alone: after a restart they are asked again.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use lsm_ready_agents::Outcome;

use super::schedule::{self, Heard, LoadErrors, Occasion, Target};
use crate::key::DaemonSetKey;

/// What was heard of each agent. Its size is that of the targets times three shortened texts.
#[derive(Debug, Default)]
pub struct Memory(Mutex<HashMap<Target, Heard>>);

impl Memory {
    /// What counts of that agent's answers in that boot.
    #[must_use]
    pub fn recall(&self, target: &Target, boot_id: &str) -> Option<Arc<Outcome>> {
        let all = self.lock();
        all.get(target).filter(|heard| heard.occasion.boot_id == boot_id).map(|heard| heard.outcome.clone())
    }

    /// Since when the agent of that DaemonSet on that node reports policies in an error state, in that boot. None where its
    /// newest answer reports none, or where it was not asked.
    #[must_use]
    pub fn load_errors(&self, daemon_set: &DaemonSetKey, node: &str, boot_id: &str) -> Option<LoadErrors> {
        let all = self.lock();
        let mut found = all.iter().filter(|(target, _)| target.node == node && target.daemon_set == *daemon_set);
        found.find_map(|(_, heard)| heard.load_errors.filter(|_| heard.occasion.boot_id == boot_id))
    }

    /// When that agent is due; see [`schedule::due`].
    #[must_use]
    pub fn due(&self, target: &Target, occasion: &Occasion, now: Timestamp) -> Option<Timestamp> {
        schedule::due(self.lock().get(target), occasion, now)
    }

    /// Notes an outcome; says whether it is news.
    pub fn hear(&self, target: &Target, occasion: Occasion, outcome: Outcome, now: Timestamp) -> bool {
        let mut all = self.lock();
        let (heard, news) = schedule::hear(all.get(target), occasion, outcome, now, fastrand::f64());
        all.insert(target.clone(), heard);
        news
    }

    /// Forgets whom nobody wants to ask any more.
    pub fn retain(&self, is_wanted: impl Fn(&Target) -> bool) {
        self.lock().retain(|target, _| is_wanted(target));
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Target, Heard>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

//! The time in which nodes had no ready agent because of a restart that we caused.
//!
//! In: successive observations of a DaemonSet, from our write until its rollout is complete. Out: node-seconds for the
//! counter: agents not available × the seconds until the next observation. Agents that were not available before our
//! write are not ours and are left out. A change of the pod template by somebody else ends the count.
//!
//! ## Assumptions
//! Observations come with every change of the DaemonSet's counts, so each holds until the next. They live in memory
//! alone: what is left of a rollout when the operator restarts is not counted.

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::DaemonSet;

use super::Counts;
use super::agents::PATIENCE;
use super::blockers::template;

/// A restart of agents that we caused and that is not over.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Caused {
    /// The template generation that we wrote.
    template: Option<u64>,
    /// Agents that were not available before.
    before: i32,
    /// Agents that are not available.
    unavailable: i32,
    /// When that was seen.
    at: Timestamp,
    /// An agent was evicted then, and the counts have not shown it yet.
    awaited: Option<Timestamp>,
}

impl Caused {
    /// Our write has just made `after` of `before`.
    pub fn by(before: &DaemonSet, after: &DaemonSet, now: Timestamp) -> Self {
        let unavailable = unavailable(before);
        Self {
            template: generation(after),
            before: unavailable,
            unavailable,
            at: now,
            awaited: None,
        }
    }

    /// We have just evicted an agent of that DaemonSet.
    pub fn by_eviction(daemon_set: &DaemonSet, now: Timestamp) -> Self {
        Self { awaited: Some(now), ..Self::by(daemon_set, daemon_set, now) }
    }

    /// The present pod template of that DaemonSet is the one that we wrote.
    pub fn wrote(&self, daemon_set: &DaemonSet) -> bool {
        self.template.is_some() && self.template == generation(daemon_set) && self.awaited.is_none()
    }

    /// What is left of it after one more observation, and the node-seconds since the one before.
    pub fn observe(self, daemon_set: &DaemonSet, now: Timestamp) -> (Option<Self>, f64) {
        let elapsed = now.duration_since(self.at).as_secs_f64().max(0.0);
        let seconds = f64::from((self.unavailable - self.before).max(0)) * elapsed;
        let generation = generation(daemon_set);
        if generation > self.template {
            return (None, seconds);
        }
        let unavailable = unavailable(daemon_set);
        let awaited = self.awaited.filter(|_| unavailable <= self.before);
        if awaited.is_some_and(|evicted| now.duration_since(evicted) >= PATIENCE) {
            return (None, seconds);
        }
        let is_seen = generation == self.template && awaited.is_none();
        let over = |counts: Counts| counts.updated >= counts.desired && unavailable <= self.before;
        if is_seen && Counts::present(daemon_set).is_some_and(over) {
            return (None, seconds);
        }
        (Some(Self { unavailable, at: now, awaited, ..self }), seconds)
    }
}

fn unavailable(daemon_set: &DaemonSet) -> i32 {
    let counts = daemon_set.status.as_ref().map(Counts::of);
    counts.map_or(0, |counts| (counts.desired - counts.available).max(0))
}

/// The template generation as a number: it only grows.
fn generation(daemon_set: &DaemonSet) -> Option<u64> {
    template(daemon_set)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    /// Five nodes, at that template generation, of which the DaemonSet controller has seen `seen`.
    fn five(template: i64, seen: i64, updated: i32, available: i32) -> DaemonSet {
        let object = json!({
            "metadata": {"generation": template,
                "annotations": {"deprecated.daemonset.template.generation": template.to_string()}},
            "spec": {"selector": {}, "template": {}},
            "status": {
                "currentNumberScheduled": 5, "numberMisscheduled": 0, "numberReady": available,
                "desiredNumberScheduled": 5, "updatedNumberScheduled": updated, "numberAvailable": available,
                "observedGeneration": seen},
        });
        serde_json::from_value(object).unwrap()
    }

    fn second(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).unwrap()
    }

    /// The node-seconds of these observations after our write at second 0, and whether the count is over.
    fn counted(before: i32, observations: &[(i64, DaemonSet)]) -> (f64, bool) {
        let mut caused =
            Some(Caused::by(&five(1, 1, 5, before), &five(2, 1, 5, before), second(0)));
        let mut sum = 0.0;
        for (at, seen) in observations {
            let Some(going_on) = caused else { break };
            let (next, seconds) = going_on.observe(seen, second(*at));
            (caused, sum) = (next, sum + seconds);
        }
        (sum, caused.is_none())
    }

    #[test]
    fn one_agent_after_the_other() {
        let rollout = [
            (1, five(2, 1, 5, 5)),
            (2, five(2, 2, 0, 4)), // down from here: 8 s
            (10, five(2, 2, 1, 5)),
            (11, five(2, 2, 1, 3)), // two at once: 4 s
            (13, five(2, 2, 5, 5)),
            (99, five(2, 2, 5, 2)), // after the end
        ];
        let (seconds, over) = counted(5, &rollout);
        assert!((seconds - 12.0).abs() < 1e-9 && over, "{seconds} {over}");
    }

    #[test]
    fn what_was_down_before_is_not_ours() {
        let rollout = [(2, five(2, 2, 0, 2)), (12, five(2, 2, 5, 3))];
        let (seconds, over) = counted(3, &rollout);
        assert!((seconds - 10.0).abs() < 1e-9 && over, "{seconds} {over}");
    }

    #[test]
    fn a_change_by_somebody_else_ends_the_count() {
        let (seconds, over) =
            counted(5, &[(2, five(2, 2, 1, 4)), (5, five(3, 2, 1, 4)), (50, five(3, 3, 1, 0))]);
        assert!((seconds - 3.0).abs() < 1e-9 && over, "{seconds} {over}");
    }

    #[test]
    fn an_observation_of_before_our_write_does_not_end_it() {
        let (seconds, over) =
            counted(5, &[(1, five(1, 1, 5, 5)), (2, five(2, 2, 0, 4)), (3, five(2, 2, 0, 4))]);
        assert!((seconds - 1.0).abs() < 1e-9 && !over, "{seconds} {over}");
    }

    #[test]
    fn an_eviction_is_over_when_it_was_seen_and_the_agent_is_back() {
        let (whole, down) = (five(2, 2, 5, 5), five(2, 2, 4, 4));
        let evicted = || Caused::by_eviction(&whole, second(0));
        // Counts of before, then without the agent for 7 s, then whole again.
        let (caused, first) = evicted().observe(&whole, second(1));
        let (caused, second_) = caused.unwrap().observe(&down, second(2));
        let (caused, third) = caused.unwrap().observe(&whole, second(9));
        assert!(
            caused.is_none() && (first + second_ + third - 7.0).abs() < 1e-9,
            "{first} {second_} {third}"
        );
        // What is never seen is not waited for, so that a later outage is not ours.
        assert_eq!(evicted().observe(&whole, second(300)).0, None);
    }

    proptest! {
        /// However the counts go and the clock jumps, no time is counted twice, and none is negative.
        #[test]
        fn never_more_than_all_nodes_for_all_the_time(steps in prop::collection::vec((0_i64..100, 0_i32..=5, 0_i32..=5), 0..20)) {
            let observations: Vec<_> = steps.iter().map(|(at, updated, available)| (*at, five(2, 2, *updated, *available))).collect();
            let (seconds, _) = counted(5, &observations);
            let forward: i64 = std::iter::once(0).chain(steps.iter().map(|step| step.0)).zip(steps.iter().map(|step| step.0))
                .map(|(from, to)| (to - from).max(0)).sum();
            prop_assert!(seconds >= 0.0);
            prop_assert!(seconds <= 5.0 * f64::from(i32::try_from(forward).unwrap()) + 1e-9);
        }
    }
}

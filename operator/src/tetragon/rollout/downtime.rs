//! The downtime that we cause: the time in which nodes have no ready agent because of a restart
//! that we caused.
//!
//! In: successive observations of a rollout, from our write until its rollout is complete. Out:
//! node-seconds for the counter: unavailable agents × the seconds until the next observation.
//! Agents that were unavailable before our write are left out. A change of the pod template by
//! somebody else ends the count.
//!
//! ## Assumptions
//! Each change of the DaemonSet's counts is observed, so each observation holds until the next. The
//! observations are kept in memory only: after a restart of the operator the rest of a rollout is
//! not counted.

use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use super::progress::Progress;
use crate::context::moment::Moment;

/// An eviction that the counts do not show for so long is not waited for.
const LOST_AFTER: Duration = Duration::from_mins(5);

/// A restart of agents that we caused and that is not over.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Disruption {
    /// Generation of the pod template that we wrote.
    template: Option<u64>,
    /// Unavailable agents before the restart.
    before: i32,
    /// Unavailable agents at the last observation.
    unavailable: i32,
    /// Time of the last observation.
    at: Instant,
    /// When an agent was evicted, until the counts show it.
    evicted: Option<Instant>,
    /// When we began it, by the wall clock: it is compared with the times of Events.
    since: Timestamp,
}

/// What one more observation adds.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Downtime {
    /// Node-seconds without a ready agent since the last observation.
    node_seconds: f64,
    /// The disruption is over.
    is_over: bool,
}

/// Counts the node-seconds without a ready agent since the last observation, and ends a disruption
/// that is over.
pub fn count(disruption: &mut Option<Disruption>, rollout: &Progress, now: Moment) -> f64 {
    let Some(downtime) = disruption.as_mut().map(|own| own.observe(rollout, now)) else {
        return 0.0;
    };
    if downtime.is_over {
        *disruption = None;
    }
    downtime.node_seconds
}

impl Disruption {
    /// Our write has just turned the rollout `before` into the rollout `after`.
    pub fn by(before: &Progress, after: &Progress, now: Moment) -> Self {
        let unavailable = before.unavailable;
        Self {
            template: after.generation(),
            before: unavailable,
            unavailable,
            at: now.instant,
            evicted: None,
            since: now.time,
        }
    }

    /// We have just evicted an agent.
    pub fn by_eviction(rollout: &Progress, now: Moment) -> Self {
        Self { evicted: Some(now.instant), ..Self::by(rollout, rollout, now) }
    }

    /// When we wrote the pod template of that rollout. None where somebody else did.
    pub fn wrote(&self, rollout: &Progress) -> Option<Timestamp> {
        let is_ours = self.template.is_some()
            && self.template == rollout.generation()
            && self.evicted.is_none();
        is_ours.then_some(self.since)
    }

    /// Observes the rollout once more.
    fn observe(&mut self, rollout: &Progress, now: Moment) -> Downtime {
        let elapsed = now.since(self.at).as_secs_f64();
        let node_seconds = f64::from((self.unavailable - self.before).max(0)) * elapsed;
        self.unavailable = rollout.unavailable;
        self.at = now.instant;
        if self.unavailable > self.before {
            self.evicted = None;
        }
        Downtime { node_seconds, is_over: self.is_over(rollout) }
    }

    fn is_over(&self, rollout: &Progress) -> bool {
        let generation = rollout.generation();
        let is_theirs = generation > self.template;
        // An eviction that the counts never show is not waited for, so that a later outage is not
        // counted as ours.
        let is_lost =
            self.evicted.is_some_and(|evicted| self.at.duration_since(evicted) >= LOST_AFTER);
        let is_seen = generation == self.template && self.evicted.is_none();
        let is_updated = rollout.counts.is_some_and(|counts| counts.updated >= counts.desired);
        let is_complete = is_seen && is_updated && self.unavailable <= self.before;
        is_theirs || is_lost || is_complete
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::context::moment::tests::second;

    /// A rollout on five nodes. The DaemonSet controller has seen its template generation `seen`.
    fn five(template: i64, seen: i64, updated: i32, available: i32) -> Progress {
        let object = json!({
            "metadata": {"generation": template,
                "annotations": {"deprecated.daemonset.template.generation": template.to_string()}},
            "spec": {"selector": {}, "template": {}},
            "status": {
                "currentNumberScheduled": 5, "numberMisscheduled": 0, "numberReady": available,
                "desiredNumberScheduled": 5, "updatedNumberScheduled": updated,
                 "numberAvailable": available,
                "observedGeneration": seen},
        });
        Progress::of(&serde_json::from_value(object).unwrap())
    }

    /// The downtime of these observations after our write at second 0.
    fn counted(before: i32, observations: &[(u64, Progress)]) -> Downtime {
        let written = five(2, 1, 5, before);
        let mut disruption = Disruption::by(&five(1, 1, 5, before), &written, second(0));
        let mut sum = Downtime { node_seconds: 0.0, is_over: false };
        for (at, seen) in observations {
            if sum.is_over {
                break;
            }
            let more = disruption.observe(seen, second(*at));
            sum = Downtime { node_seconds: sum.node_seconds + more.node_seconds, ..more };
        }
        sum
    }

    /// The downtime is that many node-seconds, and over or not.
    fn is(downtime: Downtime, node_seconds: f64, is_over: bool) -> bool {
        (downtime.node_seconds - node_seconds).abs() < 1e-9 && downtime.is_over == is_over
    }

    #[test]
    fn each_unavailable_agent_counts_until_the_rollout_is_complete() {
        let rollout = [
            (1, five(2, 1, 5, 5)),
            (2, five(2, 2, 0, 4)), // down from here: 8 s
            (10, five(2, 2, 1, 5)),
            (11, five(2, 2, 1, 3)), // two at once: 4 s
            (13, five(2, 2, 5, 5)),
            (99, five(2, 2, 5, 2)), // after the end
        ];
        let downtime = counted(5, &rollout);
        assert!(is(downtime, 12.0, true), "{downtime:?}");
    }

    #[test]
    fn agents_that_were_unavailable_before_are_not_counted() {
        let rollout = [(2, five(2, 2, 0, 2)), (12, five(2, 2, 5, 3))];
        let downtime = counted(3, &rollout);
        assert!(is(downtime, 10.0, true), "{downtime:?}");
    }

    #[test]
    fn a_change_by_somebody_else_ends_the_count() {
        let theirs = [(2, five(2, 2, 1, 4)), (5, five(3, 2, 1, 4)), (50, five(3, 3, 1, 0))];
        let downtime = counted(5, &theirs);
        assert!(is(downtime, 3.0, true), "{downtime:?}");
    }

    #[test]
    fn an_object_from_before_our_write_does_not_end_the_count() {
        let late = [(1, five(1, 1, 5, 5)), (2, five(2, 2, 0, 4)), (3, five(2, 2, 0, 4))];
        let downtime = counted(5, &late);
        assert!(is(downtime, 1.0, false), "{downtime:?}");
    }

    #[test]
    fn an_eviction_is_over_when_the_counts_showed_it_and_the_agent_is_back() {
        let (whole, down) = (five(2, 2, 5, 5), five(2, 2, 4, 4));
        let mut evicted = Disruption::by_eviction(&whole, second(0));
        // Counts from before the eviction, then without the agent for 7 s, then whole again.
        let seen = [(1, &whole), (2, &down), (9, &whole)];
        let seen = seen.map(|(at, counts)| evicted.observe(counts, second(at)));
        assert_eq!(seen.map(|downtime| downtime.is_over), [false, false, true]);
        let sum: f64 = seen.iter().map(|downtime| downtime.node_seconds).sum();
        assert!((sum - 7.0).abs() < 1e-9, "{sum}");
    }

    #[test]
    fn an_eviction_that_the_counts_never_show_is_over_after_five_minutes() {
        let whole = five(2, 2, 5, 5);
        let mut evicted = Disruption::by_eviction(&whole, second(0));
        assert!(evicted.observe(&whole, second(300)).is_over);
    }

    proptest! {
        /// However the counts change and the times jump, no time is counted twice, and none is
        /// negative.
        #[test]
        fn never_more_than_all_nodes_for_all_the_time(
            steps in prop::collection::vec((0_u64..100, 0_i32..=5, 0_i32..=5), 0..20)
        ) {
            let observe = |step: &(u64, i32, i32)| (step.0, five(2, 2, step.1, step.2));
            let observations: Vec<_> = steps.iter().map(observe).collect();
            let seconds = counted(5, &observations).node_seconds;
            let later = steps.iter().map(|step| step.0);
            let times: Vec<u64> = std::iter::once(0).chain(later).collect();
            let forward: u64 = times.windows(2).map(|pair| pair[1].saturating_sub(pair[0])).sum();
            prop_assert!(seconds >= 0.0);
            prop_assert!(seconds <= 5.0 * f64::from(i32::try_from(forward).unwrap()) + 1e-9);
        }
    }
}

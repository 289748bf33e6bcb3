//! Times of pods that are ahead of this machine's clock: it was set back, or a node's clock is
//! fast.
//!
//! A time that is ahead counts as the time at which it was first seen. So no wait for an agent gets
//! longer than it should be.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::Agent;

/// When each such time was first seen, by the UID of its pod. Pods that are gone are forgotten.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Ahead(BTreeMap<(String, Timestamp), Timestamp>);

impl Ahead {
    /// Replaces the times that are ahead, and those that were. A replaced time stays the same when
    /// the clock is there again, so that no message changes for that.
    pub fn bound(&mut self, agents: &mut [Agent], now: Timestamp) {
        let before = std::mem::take(&mut self.0);
        for Agent { uid, since, without_sandbox, .. } in agents {
            for time in [since, without_sandbox].into_iter().flatten() {
                let key = (uid.clone(), *time);
                let first = before.get(&key).copied().or((*time > now).then_some(now));
                if let Some(first) = first {
                    *time = first.min(now);
                    self.0.insert(key, *time);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn at(time: &str) -> Timestamp {
        format!("2026-01-01T{time}Z").parse().unwrap()
    }

    /// An agent that is not ready since 12:00.
    fn waiting() -> Agent {
        let ready = json!({"type": "Ready", "status": "False",
            "lastTransitionTime": "2026-01-01T12:00:00Z"});
        let pod = json!({"metadata": {"name": "a", "uid": "u"},
            "status": {"conditions": [ready]}});
        Agent::of(&serde_json::from_value(pod).unwrap())
    }

    /// Since when that agent counts as not ready, where it is looked at at these times.
    fn since(looks: &[&str]) -> Vec<Timestamp> {
        let mut ahead = Ahead::default();
        let look = |now: &&str| {
            let mut agents = [waiting()];
            ahead.bound(&mut agents, at(now));
            agents[0].since.unwrap()
        };
        looks.iter().map(look).collect()
    }

    #[test]
    fn a_clock_that_was_set_back_delays_no_problem() {
        assert_eq!(since(&["12:01:00", "12:05:00"]), [at("12:00:00"); 2]);
        // Set back to 10:00. The five minutes of patience end at 10:05.
        let looks = ["10:00:00", "10:03:00", "10:05:00", "12:05:00"];
        assert_eq!(since(&looks), [at("10:00:00"); 4]);
        // Set back twice.
        assert_eq!(since(&["10:00:00", "09:00:00"]), [at("10:00:00"), at("09:00:00")]);
    }

    #[test]
    fn pods_that_are_gone_are_forgotten() {
        let mut ahead = Ahead::default();
        ahead.bound(&mut [waiting()], at("10:00:00"));
        assert_ne!(ahead, Ahead::default());
        ahead.bound(&mut [], at("10:00:00"));
        assert_eq!(ahead, Ahead::default());
    }
}

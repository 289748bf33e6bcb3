//! When an agent is asked, and what of its answers counts.
//!
//! In: what is wanted, what is remembered and the time. Out: who is due; what is to be remembered of an answer. Pure.
//!
//! An agent that has answered is asked again after five minutes, or when there is an occasion: its node has other evidence
//! or another boot, or its DaemonSet has begun or ended a rollout. Who gave no answer, or is loading policies, is asked
//! sooner: after 15 s, doubling to the five minutes. A single lost answer is no news, so the last answer of the same boot
//! stands until three in a row failed.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use lsm_ready_agents::{Endpoints, Outcome};
use lsm_ready_crds::Evidence;

use crate::key::DaemonSetKey;

/// Between two questions to one agent, at the least.
const USUAL: Duration = Duration::from_mins(5);
/// The same where the answer will not stay, for the first time.
const SOON: Duration = Duration::from_secs(15);
/// The same whatever happens.
const SHORTEST: Duration = Duration::from_secs(10);
/// Failures in a row after which the answer before them counts no more.
const FAILURES: u32 = 3;

/// One agent.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Target {
    /// Name of its Node.
    pub node: String,
    /// Its DaemonSet.
    pub daemon_set: DaemonSetKey,
    /// Where it is asked.
    pub at: Endpoints,
}

/// What an answer is an answer to: when it differs, the agent is asked anew.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Occasion {
    /// The node's boot.
    pub boot_id: String,
    /// What the canary has shown in it.
    pub evidence: Option<Evidence>,
    /// The DaemonSet's generation.
    pub generation: Option<i64>,
    /// Whether every agent is of that generation.
    pub rolled_out: bool,
}

/// What is remembered of one agent.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Heard {
    /// What counts.
    pub outcome: Arc<Outcome>,
    /// To what it is the answer.
    pub occasion: Occasion,
    /// Since when its answers report load errors, if the newest one does.
    pub load_errors: Option<LoadErrors>,
    asked: Timestamp,
    again: Timestamp,
    /// Questions in a row whose answer will not stay.
    unsettled: u32,
}

/// Answers in a row that report policies in an error state. Both times are of the operator's clock.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct LoadErrors {
    /// When the first of them was given.
    pub since: Timestamp,
    /// When the newest of them was given.
    pub as_of: Timestamp,
}

impl LoadErrors {
    /// After an outcome. No answer changes nothing.
    fn after(before: Option<Self>, outcome: &Outcome, now: Timestamp) -> Option<Self> {
        match outcome {
            Outcome::NoAnswer(_) => before,
            Outcome::Answered { answer, .. } if answer.failed > 0 => {
                Some(Self { since: before.map_or(now, |before| before.since), as_of: now })
            }
            Outcome::Answered { .. } => None,
        }
    }
}

/// Whether it is time to ask; earlier first.
#[must_use]
pub fn due(heard: Option<&Heard>, occasion: &Occasion, now: Timestamp) -> Option<Timestamp> {
    let Some(heard) = heard else { return Some(Timestamp::MIN) };
    // A clock that was set back makes nobody wait for it.
    if now < heard.asked {
        return Some(heard.again);
    }
    let when = if heard.occasion == *occasion { heard.again } else { later(heard.asked, SHORTEST) };
    (when <= now).then_some(when)
}

/// What is to be remembered of that outcome, and whether it is news. `dice` is in 0..1.
#[must_use]
pub fn hear(before: Option<&Heard>, occasion: Occasion, outcome: Outcome, now: Timestamp, dice: f64) -> (Heard, bool) {
    let before = before.filter(|before| before.occasion.boot_id == occasion.boot_id);
    let settled = matches!(&outcome, Outcome::Answered { answer, .. } if answer.is_settled());
    let unsettled = if settled { 0 } else { before.map_or(0, |before| before.unsettled).saturating_add(1) };
    let load_errors = LoadErrors::after(before.and_then(|before| before.load_errors), &outcome, now);
    let lost = matches!(outcome, Outcome::NoAnswer(_)) && unsettled < FAILURES;
    let outcome = match before {
        Some(before) if lost || before.outcome.says_the_same(&outcome) => before.outcome.clone(),
        _ => Arc::new(outcome),
    };
    let news = before.is_none_or(|before| !before.outcome.says_the_same(&outcome));
    let again = later(now, wait(unsettled).mul_f64(dice.mul_add(0.2, 1.0)));
    (Heard { outcome, occasion, load_errors, asked: now, again, unsettled }, news)
}

fn wait(unsettled: u32) -> Duration {
    match unsettled {
        0 => USUAL,
        n => SOON.saturating_mul(1 << (n - 1).min(16)).min(USUAL),
    }
}

fn later(time: Timestamp, wait: Duration) -> Timestamp {
    time.saturating_add(wait).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use lsm_ready_agents::{ActionsByPolicy, Answer, How, NoAnswer, State, Why};
    use proptest::prelude::*;

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn answered(enabled: u64, loading: u64) -> Outcome {
        let counts = [(State::Enabled, enabled), (State::Loading, loading)].into_iter().collect();
        let answer = Answer { counts, ..Answer::none(How::Grpc) };
        Outcome::Answered { answer, actions: ActionsByPolicy::new(), without_grpc: None }
    }

    fn lost() -> Outcome {
        Outcome::NoAnswer(NoAnswer { grpc: Some(Why::TimedOut), metrics: None })
    }

    fn boot(id: &str) -> Occasion {
        Occasion { boot_id: id.into(), ..Occasion::default() }
    }

    /// Seconds until it is asked again without an occasion.
    fn pause(heard: &Heard) -> i64 {
        heard.again.duration_since(heard.asked).as_secs()
    }

    #[test]
    fn a_settled_agent_is_asked_every_five_minutes_and_on_an_occasion() {
        assert_eq!(due(None, &boot("a"), at(0)), Some(Timestamp::MIN));
        let (heard, news) = hear(None, boot("a"), answered(1, 0), at(1000), 0.0);
        assert!(news);
        for (second, same, other) in
            [(1000, false, false), (1009, false, false), (1010, false, true), (1300, true, true)]
        {
            assert_eq!(due(Some(&heard), &boot("a"), at(second)).is_some(), same, "{second}");
            assert_eq!(due(Some(&heard), &boot("b"), at(second)).is_some(), other, "{second}");
        }
        assert!(due(Some(&heard), &boot("a"), at(5)).is_some(), "the clock was set back");
        assert_eq!(pause(&hear(None, boot("a"), answered(1, 0), at(0), 1.0).0), 360, "jitter only ever adds");
    }

    #[test]
    fn what_will_not_stay_is_asked_sooner_and_ever_more_rarely() {
        for outcome in [lost(), answered(0, 1)] {
            let mut heard = None;
            let pauses: Vec<i64> = (0..7)
                .map(|_| {
                    let next = hear(heard.as_ref(), boot("a"), outcome.clone(), at(0), 0.0).0;
                    let pause = pause(&next);
                    heard = Some(next);
                    pause
                })
                .collect();
            assert_eq!(pauses, [15, 30, 60, 120, 240, 300, 300]);
            let (settled, _) = hear(heard.as_ref(), boot("a"), answered(1, 0), at(0), 0.0);
            assert_eq!(pause(&settled), 300);
        }
    }

    #[test]
    fn a_lost_answer_is_no_news_until_the_third_and_none_outlives_its_boot() {
        let (mut heard, _) = hear(None, boot("a"), answered(1, 0), at(0), 0.0);
        for (outcome, counts, is_news) in [
            (lost(), answered(1, 0), false),
            (lost(), answered(1, 0), false),
            (lost(), lost(), true),
            (lost(), lost(), false),
            (answered(1, 0), answered(1, 0), true),
            (answered(1, 0), answered(1, 0), false),
            (answered(2, 0), answered(2, 0), true),
        ] {
            let (next, news) = hear(Some(&heard), boot("a"), outcome, at(0), 0.0);
            assert_eq!((&*next.outcome, news), (&counts, is_news));
            heard = next;
        }
        assert_eq!(*hear(Some(&heard), boot("b"), lost(), at(0), 0.0).0.outcome, lost());
        assert_eq!(*hear(None, boot("a"), lost(), at(0), 0.0).0.outcome, lost());
    }

    proptest! {
        /// Whatever is answered and whatever happens, nobody is asked twice within ten seconds.
        #[test]
        fn never_more_often(steps in prop::collection::vec((0u8..3, 0u8..3, 0i64..700), 1..40), dice in 0.0f64..1.0) {
            let (mut heard, mut now, mut last): (Option<Heard>, i64, Option<i64>) = (None, 0, None);
            for (outcome, occasion, wait) in steps {
                now += wait;
                let occasion = boot(&occasion.to_string());
                if due(heard.as_ref(), &occasion, at(now)).is_some() {
                    prop_assert!(last.is_none_or(|last| now - last >= 10));
                    last = Some(now);
                    let outcome = [lost(), answered(1, 0), answered(0, 1)][usize::from(outcome)].clone();
                    heard = Some(hear(heard.as_ref(), occasion, outcome, at(now), dice).0);
                }
            }
        }
    }
}

//! When an agent is asked, and what of its answers counts.
//!
//! In: what is wanted, what is remembered and the time. Out: who is due; what is to be remembered of an answer. Pure.
//!
//! ## When
//! An agent whose answer is final is asked again within a minute. An occasion makes it due at once, though never sooner
//! than ten seconds after the last question: the node's boot or evidence changed, the DaemonSet's rollout began or ended,
//! the policies for its node or the files for TLS changed. While an answer is not final it is asked after 10, 20 and 40 seconds. An agent
//! that does not answer is asked ever more rarely, down to once in five minutes.
//!
//! ## What counts
//! - The first answer after an occasion is not final: an agent that has only just started says that it has no policies,
//!   and one that has not seen a changed policy yet says what was true before. An answer that lacks a policy becomes
//!   final a minute after the occasion.
//! - A lost answer is no news: the last answer of the same boot stands until three in a row are lost.

use std::time::Duration;

use jiff::Timestamp;
use lsm_ready_agents::{NoAnswer, Outcome};
use lsm_ready_crds::Evidence;

use super::memory::Said;

/// Longest time between two questions to an agent that answers.
pub const PERIOD: Duration = Duration::from_mins(1);
/// The share of it after which an agent is due, at the least and at the most. The rest is for its turn and its answer.
const SHARE: [f64; 2] = [0.6, 0.8];
/// Shortest time between two questions to one agent, whatever happens.
const SHORTEST: Duration = Duration::from_secs(10);
/// Longest time between two questions to an agent that does not answer.
const LONGEST: Duration = Duration::from_mins(5);
/// How long an agent has for what an occasion asks of it.
pub const PATIENCE: Duration = Duration::from_mins(1);
/// Lost answers in a row after which the answer before them counts no more.
const LOST: u32 = 3;

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
    /// The policies for the node: [`super::catalogue::Catalogue::question`].
    pub question: u64,
    /// The files for TLS: [`super::tls::TlsFiles::revision`].
    pub tls: u64,
}

/// What is remembered of one agent.
#[derive(Clone, Debug, PartialEq)]
pub struct Heard {
    /// What counts.
    pub said: Said,
    /// To what it is the answer.
    pub occasion: Occasion,
    /// Nothing else is to be expected: see above.
    pub is_final: bool,
    /// Answers in this boot, as far as two.
    pub answers: u8,
    /// Since when its answers report load errors, if the newest one does.
    pub load_errors: Option<LoadErrors>,
    /// When the occasion was first asked about.
    since: Timestamp,
    /// Answers to this occasion, as far as two.
    confirmed: u8,
    asked: Timestamp,
    again: Timestamp,
    /// Questions in a row that were not answered.
    lost: u32,
    /// Questions in a row whose answer was not final.
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
            Outcome::Answered { answer, .. } if answer.counts.errors() > 0 => {
                Some(Self { since: before.map_or(now, |before| before.since), as_of: now })
            }
            Outcome::Answered { .. } => None,
        }
    }
}

/// Who is asked among whom: those that do not answer never hold up the others.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Lane {
    /// Agents that answered, and new ones.
    Answering,
    /// Agents that did not answer the last question.
    Silent,
}

/// An agent whose time has come.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Due {
    /// Since when; earlier first.
    pub since: Timestamp,
    /// Among whom.
    pub lane: Lane,
}

/// Whether it is time to ask.
#[must_use]
pub fn due(heard: Option<&Heard>, occasion: &Occasion, now: Timestamp) -> Option<Due> {
    let Some(heard) = heard else { return Some(Due { since: Timestamp::MIN, lane: Lane::Answering }) };
    let lane = if heard.lost > 0 { Lane::Silent } else { Lane::Answering };
    let again = if heard.occasion == *occasion { heard.again } else { later(heard.asked, SHORTEST).min(heard.again) };
    // A clock that was set back makes nobody wait for it.
    (again <= now || now < heard.asked).then_some(Due { since: again, lane })
}

/// An answer, and to what.
#[derive(Clone, Debug)]
pub struct Reply {
    /// To what.
    pub occasion: Occasion,
    /// The answer.
    pub outcome: Outcome,
    /// It has every policy that is for the node.
    pub is_complete: bool,
    /// When.
    pub now: Timestamp,
    /// In 0..1.
    pub dice: f64,
}

/// What is to be remembered of that reply, and whether it is news.
#[must_use]
pub fn hear(before: Option<&Heard>, reply: Reply) -> (Heard, bool) {
    let Reply { occasion, outcome, is_complete, now, dice } = reply;
    let before = before.filter(|before| before.occasion.boot_id == occasion.boot_id);
    let same = before.filter(|before| before.occasion == occasion);
    let since = same.map_or(now, |same| same.since);
    let patient = now.duration_since(since) < jiff::SignedDuration::try_from(PATIENCE).unwrap_or_default();
    let load_errors = LoadErrors::after(before.and_then(|before| before.load_errors), &outcome, now);
    let mut next = Heard {
        said: Said::NoAnswer(NoAnswer::default()),
        is_final: same.is_some_and(|same| same.is_final),
        answers: before.map_or(0, |before| before.answers),
        confirmed: same.map_or(0, |same| same.confirmed),
        lost: 0,
        unsettled: same.map_or(0, |same| same.unsettled),
        load_errors,
        since,
        occasion,
        asked: now,
        again: now,
    };
    let wait = match Said::of(outcome) {
        Said::NoAnswer(why) => {
            next.lost = before.map_or(0, |before| before.lost).saturating_add(1);
            let stands = before.filter(|before| before.answers > 0 && next.lost < LOST && before.said.is_answer());
            next.said = stands.map_or(Said::NoAnswer(why), |before| before.said.clone());
            if stands.is_none() {
                next.is_final = !patient;
                next.confirmed = 0;
            }
            backoff(next.lost).min(LONGEST)
        }
        said @ Said::Answered { .. } => {
            next.said = said;
            next.answers = next.answers.saturating_add(1).min(2);
            next.confirmed = next.confirmed.saturating_add(1).min(2);
            next.is_final = next.confirmed == 2 && (is_complete || !patient);
            next.unsettled = if next.is_final { 0 } else { next.unsettled.saturating_add(1) };
            let usual = PERIOD.mul_f64(dice.mul_add(SHARE[1] - SHARE[0], SHARE[0]));
            if next.is_final { usual } else { backoff(next.unsettled).min(usual) }
        }
    };
    next.again = later(now, wait);
    let news = before.is_none_or(|before| {
        (&before.said, before.is_final, &before.occasion, before.answers, before.load_errors.is_some())
            != (&next.said, next.is_final, &next.occasion, next.answers, next.load_errors.is_some())
    });
    (next, news)
}

/// 10, 20, 40 seconds and so on.
fn backoff(times: u32) -> Duration {
    SHORTEST.saturating_mul(1 << times.saturating_sub(1).min(8))
}

fn later(time: Timestamp, wait: Duration) -> Timestamp {
    time.saturating_add(wait).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests;

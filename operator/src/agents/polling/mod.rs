//! When an agent is asked, and what of its answers counts.
//!
//! In: what is wanted, what is remembered and the time. Out: who is due; what is to be remembered of an answer. Pure.
//!
//! ## When
//! An agent whose answer is final is asked again within a minute. An occasion makes it due at once, though never sooner
//! than ten seconds after the last question: the node's boot or evidence, the DaemonSet's spec, the policies for its node
//! or the files for TLS changed. While an answer is not final it is asked after 10, 20 and 40 seconds. An agent that does
//! not answer is asked ever more rarely, down to once in five minutes.
//!
//! ## What counts
//! - The first answer after an occasion is not final: one that has not seen a changed policy yet says what was true before.
//! - An answer that lacks a policy is not final before it was given again ten seconds later. Where the agent may have only
//!   just started, or has only just been asked for the policy, it has a minute: an agent that starts says that it has no
//!   policies.
//! - A lost answer is no news: the last answer of the same boot stands until three in a row are lost. Silence is final
//!   after a minute.

use std::time::Duration;

use crate::tetragon_client::{QueryResult, Response, Unanswered};
use jiff::{SignedDuration, Timestamp};
use lsm_ready_crds::Evidence;

use super::answers::Said;

/// Longest time between two questions to an agent that answers.
pub const PERIOD: Duration = Duration::from_mins(1);
/// The share of it after which an agent is due, at the least and at the most. The rest is for its turn, and for a second
/// question where the answer lacks something.
const SHARE: [f64; 2] = [0.45, 0.65];
/// Shortest time between two questions to one agent, whatever happens.
const SHORTEST: Duration = Duration::from_secs(10);
/// Longest time between two questions to an agent that does not answer.
const LONGEST: Duration = Duration::from_mins(5);
/// Source long an agent has for what an occasion asks of it.
pub const PATIENCE: SignedDuration = SignedDuration::from_mins(1);
/// Source long an answer has to lack something otherwise.
const AGAIN: SignedDuration = SignedDuration::from_secs(10);
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
    /// When the occasion was first asked about, or the first answer came after lost ones.
    since: Timestamp,
    /// Since when its answers lack something.
    incomplete: Option<Timestamp>,
    /// Since when its answers are lost.
    silent: Option<Timestamp>,
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
    /// After an answer.
    fn after(before: Option<Self>, outcome: &QueryResult, now: Timestamp) -> Option<Self> {
        let has_errors =
            matches!(outcome, Ok(Response { answer, .. }) if answer.counts.errors() > 0);
        has_errors.then(|| Self { since: before.map_or(now, |before| before.since), as_of: now })
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
pub fn due(heard: Option<&Heard>, occasion: &Occasion, now: Timestamp) -> Option<Due> {
    let Some(heard) = heard else {
        return Some(Due { since: Timestamp::MIN, lane: Lane::Answering });
    };
    let lane = if heard.lost > 0 { Lane::Silent } else { Lane::Answering };
    let again = if heard.occasion == *occasion {
        heard.again
    } else {
        later(heard.asked, SHORTEST).min(heard.again)
    };
    // A clock that was set back makes nobody wait for it.
    (again <= now || now < heard.asked).then_some(Due { since: again, lane })
}

/// An answer, and to what.
#[derive(Clone, Debug)]
pub struct Reply {
    /// To what.
    pub occasion: Occasion,
    /// The answer.
    pub outcome: QueryResult,
    /// It has every policy that is for the node.
    pub is_complete: bool,
    /// Agents of its DaemonSet were replaced or restarted within the last minute.
    pub may_have_started: bool,
    /// When.
    pub now: Timestamp,
    /// In 0..1.
    pub dice: f64,
}

/// What is to be remembered of that reply, and whether it is news.
pub fn hear(before: Option<&Heard>, reply: &Reply) -> (Heard, bool) {
    let before = before.filter(|before| before.occasion.boot_id == reply.occasion.boot_id);
    let next = match Said::of(&reply.outcome) {
        Said::Unanswered(why) => silent(before, reply, why),
        said @ Said::Answered { .. } => answered(before, reply, said),
    };
    let news = before.is_none_or(|before| {
        (
            &before.said,
            before.is_final,
            &before.occasion,
            before.answers,
            before.load_errors.is_some(),
        ) != (&next.said, next.is_final, &next.occasion, next.answers, next.load_errors.is_some())
    });
    (next, news)
}

/// After an answer.
fn answered(before: Option<&Heard>, reply: &Reply, said: Said) -> Heard {
    let now = reply.now;
    let same = before.filter(|before| before.occasion == reply.occasion);
    let since = same.filter(|same| same.silent.is_none()).map_or(now, |same| same.since);
    let incomplete =
        (!reply.is_complete).then(|| before.and_then(|before| before.incomplete).unwrap_or(now));
    let confirmed = same.map_or(0, |same| same.confirmed).saturating_add(1).min(2);
    let is_late = |began: Timestamp| {
        let may_pass = reply.may_have_started || now.duration_since(since) < PATIENCE;
        now.duration_since(began) >= if may_pass { PATIENCE } else { AGAIN }
    };
    let is_final = confirmed == 2 && incomplete.is_none_or(is_late);
    let unsettled =
        if is_final { 0 } else { same.map_or(0, |same| same.unsettled).saturating_add(1) };
    let usual = PERIOD.mul_f64(reply.dice.mul_add(SHARE[1] - SHARE[0], SHARE[0]));
    let wait = if is_final { usual } else { backoff(unsettled).min(usual) };
    Heard {
        said,
        occasion: reply.occasion.clone(),
        is_final,
        answers: before.map_or(0, |before| before.answers).saturating_add(1).min(2),
        load_errors: LoadErrors::after(
            before.and_then(|before| before.load_errors),
            &reply.outcome,
            now,
        ),
        since,
        incomplete,
        silent: None,
        confirmed,
        asked: now,
        again: later(now, wait),
        lost: 0,
        unsettled,
    }
}

/// After a question that was not answered.
fn silent(before: Option<&Heard>, reply: &Reply, why: Unanswered) -> Heard {
    let now = reply.now;
    let same = before.filter(|before| before.occasion == reply.occasion);
    let lost = before.map_or(0, |before| before.lost).saturating_add(1);
    let since = before.and_then(|before| before.silent).unwrap_or(now);
    let stands = before.filter(|before| lost < LOST && before.said.is_answer());
    Heard {
        said: stands.map_or(Said::Unanswered(why), |before| before.said.clone()),
        occasion: reply.occasion.clone(),
        is_final: match stands {
            Some(_) => same.is_some_and(|same| same.is_final),
            None => now.duration_since(since) >= PATIENCE,
        },
        answers: before.map_or(0, |before| before.answers),
        load_errors: before.and_then(|before| before.load_errors),
        since: same.map_or(now, |same| same.since),
        incomplete: before.and_then(|before| before.incomplete),
        silent: Some(since),
        confirmed: stands.and(same).map_or(0, |same| same.confirmed),
        asked: now,
        again: later(now, backoff(lost).min(LONGEST)),
        lost,
        unsettled: same.map_or(0, |same| same.unsettled),
    }
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

//! When an agent is asked, and which of its answers count.
//!
//! In: the state of one agent, the trigger and the time. Out: whether the agent is due; its state
//! after a poll. Pure.
//!
//! ## When
//! - An agent whose answer is final is asked again within a minute.
//! - A new trigger makes an agent due at once, but at least ten seconds after the last poll. A
//!   trigger is a change of the node's boot or evidence, the DaemonSet's spec, the policies for the
//!   node, or the files for TLS.
//! - While an answer is not final, the agent is asked after 10, 20 and 40 seconds.
//! - An agent that does not answer is asked after 10, 20, 40 seconds and so on, up to five minutes.
//!
//! ## What counts
//! - The first answer after a trigger is not final: the agent may not have seen a changed policy
//!   yet.
//! - An answer without a policy for the node becomes final when a second one, ten seconds later,
//!   lacks a policy too. The agent has a minute if it may just have started, or if the trigger is
//!   new: a starting agent reports no policies.
//! - A lost answer changes nothing at first: the last answer of the same boot counts until three in
//!   a row are lost. Silence is final after a minute.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use lsm_ready_crds::Evidence;
use tokio::time::Instant;

use crate::context::moment::Moment;
use crate::tetragon_client::{Answer, AskError, QueryResult, Unanswered};

/// Maximum time between two polls of an agent that answers.
pub const PERIOD: Duration = Duration::from_mins(1);
/// Minimum and maximum part of [`PERIOD`] after which an agent is due. The rest is for waiting in
/// the queue, and for a second poll if the answer lacks something.
const PERIOD_SHARE: [f64; 2] = [0.45, 0.65];
/// Minimum time between two polls of one agent.
const MIN_PAUSE: Duration = Duration::from_secs(10);
/// Maximum time between two polls of an agent that does not answer.
const MAX_PAUSE: Duration = Duration::from_mins(5);
/// How long an agent may take to load its policies after a start or a trigger.
pub const PATIENCE: Duration = Duration::from_mins(1);
/// How long an answer must lack something otherwise before that counts.
const CONFIRM_AFTER: Duration = Duration::from_secs(10);
/// Number of lost answers in a row after which the last answer no longer counts.
const MAX_LOST: u32 = 3;

/// The circumstances of a poll. If they differ from those of the last poll, the agent is asked
/// again.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Trigger {
    pub boot_id: String,
    /// The evidence of the node's report.
    pub evidence: Option<Evidence>,
    /// The DaemonSet's generation.
    pub generation: Option<i64>,
    /// The policies for the node: [`super::catalogue::Catalogue::digest`].
    pub policies: u64,
    /// The files for TLS: [`super::tls::TlsFiles::revision`].
    pub tls: u64,
}

/// The last reply of an agent that counts.
pub type Reply = Result<SharedAnswer, Unanswered>;

/// An answer. Agents with equal answers share one copy.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SharedAnswer {
    pub answer: Arc<Answer>,
    /// The error of gRPC, if the metrics were read instead.
    pub grpc_error: Option<AskError>,
}

/// The part of a result that counts. The policies' action counters are left out, because they
/// change all the time.
pub fn reply(result: &QueryResult) -> Reply {
    match result {
        Ok(response) => Ok(SharedAnswer {
            answer: response.answer.clone().into(),
            grpc_error: response.grpc_error,
        }),
        Err(unanswered) => Err(*unanswered),
    }
}

/// One finished poll of an agent.
#[derive(Clone, Debug)]
pub struct Poll {
    pub trigger: Trigger,
    pub result: QueryResult,
    /// The answer has every policy for the node.
    pub is_complete: bool,
    /// Agents of the DaemonSet were replaced or restarted within the last minute.
    pub may_have_started: bool,
    pub now: Moment,
    /// A random number in 0..1, which spreads the polls over time.
    pub jitter: f64,
}

/// What is remembered of one agent.
#[derive(Clone, Debug, PartialEq)]
pub struct PollState {
    pub reply: Reply,
    pub trigger: Trigger,
    /// The reply will not change by itself: see the module's documentation.
    pub is_final: bool,
    /// Number of answers in this boot, up to two.
    pub answers: u8,
    /// Set if the newest answer reports load errors.
    pub load_errors: Option<LoadErrors>,
    /// When the trigger was first polled, or the first answer came after lost ones.
    since: Instant,
    /// Since when the answers lack something.
    incomplete_since: Option<Instant>,
    /// Since when answers are lost.
    silent_since: Option<Instant>,
    /// Number of answers to this trigger, up to two.
    confirmed: u8,
    asked_at: Instant,
    next_at: Instant,
    /// Number of lost answers in a row.
    lost: u32,
    /// Number of answers in a row that were not final.
    unsettled: u32,
}

/// The time span in which answers in a row reported policies in an error state, by the operator's
/// wall clock: it is compared with the times of reports.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct LoadErrors {
    /// Time of the first of these answers.
    pub since: Timestamp,
    /// Time of the newest of these answers.
    pub as_of: Timestamp,
}

impl LoadErrors {
    fn after(before: Option<Self>, poll: &Poll) -> Option<Self> {
        let now = poll.now.time;
        let has_errors =
            poll.result.as_ref().is_ok_and(|response| response.answer.counts.errors() > 0);
        has_errors.then(|| Self { since: before.map_or(now, |before| before.since), as_of: now })
    }
}

/// The queue of an agent. Silent agents have their own, so that they never delay the others.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Lane {
    /// Agents that answered the last poll, and new ones.
    Answering,
    /// Agents that did not answer the last poll.
    Silent,
}

/// An agent that is to be asked now.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Due {
    /// The agent that is due longest is asked first. `None`: it was never asked.
    pub since: Option<Instant>,
    pub lane: Lane,
}

/// Whether it is time to ask.
pub fn due(state: Option<&PollState>, trigger: &Trigger, now: Instant) -> Option<Due> {
    let Some(state) = state else {
        return Some(Due { since: None, lane: Lane::Answering });
    };
    let lane = if state.lost > 0 { Lane::Silent } else { Lane::Answering };
    let next_at = if state.trigger == *trigger {
        state.next_at
    } else {
        state.next_at.min(state.asked_at + MIN_PAUSE)
    };
    (next_at <= now).then_some(Due { since: Some(next_at), lane })
}

impl PollState {
    /// The state after a poll. A state of another boot is ignored.
    pub fn after(before: Option<&Self>, poll: &Poll) -> Self {
        let before = before.filter(|before| before.trigger.boot_id == poll.trigger.boot_id);
        match reply(&poll.result) {
            Ok(answer) => Self::after_answer(before, poll, answer),
            Err(unanswered) => Self::after_silence(before, poll, unanswered),
        }
    }

    /// Whether a condition may differ from the one made of the state before.
    pub fn is_news(&self, before: Option<&Self>) -> bool {
        before.is_none_or(|before| {
            before.reply != self.reply
                || before.trigger != self.trigger
                || before.is_final != self.is_final
                || before.answers != self.answers
                || before.load_errors.is_some() != self.load_errors.is_some()
        })
    }

    fn after_answer(before: Option<&Self>, poll: &Poll, answer: SharedAnswer) -> Self {
        let now = poll.now.instant;
        let same = before.filter(|before| before.trigger == poll.trigger);
        // An agent that was silent may have restarted: its time begins again.
        let since = same.filter(|same| same.silent_since.is_none()).map_or(now, |same| same.since);
        let incomplete_since = (!poll.is_complete)
            .then(|| before.and_then(|before| before.incomplete_since).unwrap_or(now));
        let confirmed = same.map_or(0, |same| same.confirmed).saturating_add(1).min(2);
        let may_still_load = poll.may_have_started || now.duration_since(since) < PATIENCE;
        let wait_for_rest = if may_still_load { PATIENCE } else { CONFIRM_AFTER };
        let is_final = confirmed == 2
            && incomplete_since.is_none_or(|began| now.duration_since(began) >= wait_for_rest);
        let unsettled =
            if is_final { 0 } else { same.map_or(0, |same| same.unsettled).saturating_add(1) };
        let usual = usual_pause(poll.jitter);
        let pause = if is_final { usual } else { backoff(unsettled).min(usual) };
        Self {
            reply: Ok(answer),
            trigger: poll.trigger.clone(),
            is_final,
            answers: before.map_or(0, |before| before.answers).saturating_add(1).min(2),
            load_errors: LoadErrors::after(before.and_then(|before| before.load_errors), poll),
            since,
            incomplete_since,
            silent_since: None,
            confirmed,
            asked_at: now,
            next_at: now + pause,
            lost: 0,
            unsettled,
        }
    }

    fn after_silence(before: Option<&Self>, poll: &Poll, unanswered: Unanswered) -> Self {
        let now = poll.now.instant;
        let same = before.filter(|before| before.trigger == poll.trigger);
        let lost = before.map_or(0, |before| before.lost).saturating_add(1);
        let silent_since = before.and_then(|before| before.silent_since).unwrap_or(now);
        // The last answer still counts.
        let kept = before.filter(|before| lost < MAX_LOST && before.reply.is_ok());
        Self {
            reply: kept.map_or(Err(unanswered), |before| before.reply.clone()),
            trigger: poll.trigger.clone(),
            is_final: match kept {
                Some(_) => same.is_some_and(|same| same.is_final),
                None => now.duration_since(silent_since) >= PATIENCE,
            },
            answers: before.map_or(0, |before| before.answers),
            load_errors: before.and_then(|before| before.load_errors),
            since: same.map_or(now, |same| same.since),
            incomplete_since: before.and_then(|before| before.incomplete_since),
            silent_since: Some(silent_since),
            confirmed: kept.and(same).map_or(0, |same| same.confirmed),
            asked_at: now,
            next_at: now + backoff(lost).min(MAX_PAUSE),
            lost,
            unsettled: same.map_or(0, |same| same.unsettled),
        }
    }
}

fn usual_pause(jitter: f64) -> Duration {
    let [least, most] = PERIOD_SHARE;
    PERIOD.mul_f64(jitter.mul_add(most - least, least))
}

/// 10, 20, 40 seconds and so on.
fn backoff(times: u32) -> Duration {
    MIN_PAUSE.saturating_mul(1 << times.saturating_sub(1).min(8))
}

#[cfg(test)]
mod tests;

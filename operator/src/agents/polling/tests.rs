//! When an agent is asked, and what counts: tables, and a property over any history.
#![allow(clippy::unnecessary_wraps, reason = "the tables hold answers and errors in one type")]

use proptest::prelude::*;

use super::*;
use crate::context::moment::tests::second;
use crate::tetragon_client::{ActionsByPolicy, PolicyState, Response, Source};

fn at(seconds: u64) -> Instant {
    second(seconds).instant
}

fn counted(state: PolicyState, count: u64) -> QueryResult {
    let counts = [(state, count)].into_iter().collect();
    let answer = Answer { counts, ..Answer::empty(Source::Grpc) };
    Ok(Response { answer, actions: ActionsByPolicy::new(), grpc_error: None })
}

fn answered(enabled: u64) -> QueryResult {
    counted(PolicyState::Enabled, enabled)
}

fn failed() -> QueryResult {
    counted(PolicyState::LoadError, 1)
}

fn lost() -> QueryResult {
    Err(Unanswered { grpc: Some(AskError::TimedOut), metrics: None })
}

fn boot(id: &str) -> Trigger {
    Trigger { boot_id: id.into(), ..Trigger::default() }
}

/// A poll at that second. Only the answer without policies is not complete.
fn poll(trigger: Trigger, result: QueryResult, at: u64) -> Poll {
    let is_complete = result != answered(0) && result != lost();
    Poll { trigger, result, is_complete, may_have_started: false, now: second(at), jitter: 1.0 }
}

fn pause(state: &PollState) -> u64 {
    state.next_at.duration_since(state.asked_at).as_secs()
}

/// The pause after each of these polls, if each is made when it is due, and whether the reply is
/// final.
fn polls(result: &QueryResult, times: usize) -> Vec<(u64, bool)> {
    let (mut state, mut now) = (None, 0);
    (0..times)
        .map(|_| {
            let next = PollState::after(state.as_ref(), &poll(boot("a"), result.clone(), now));
            let found = (pause(&next), next.is_final);
            now += pause(&next);
            state = Some(next);
            found
        })
        .collect()
}

#[test]
fn a_complete_answer_is_final_when_it_was_given_twice() {
    assert_eq!(polls(&answered(1), 4), [(10, false), (39, true), (39, true), (39, true)]);
}

#[test]
fn an_incomplete_answer_is_final_after_a_minute() {
    assert_eq!(
        polls(&answered(0), 5),
        [(10, false), (20, false), (39, false), (39, true), (39, true)]
    );
}

#[test]
fn a_silent_agent_is_asked_less_and_less_often() {
    let pauses = [10, 20, 40, 80, 160, 300, 300];
    // Silence is final a minute after the first poll.
    let expected: Vec<_> =
        pauses.into_iter().zip([false, false, false, true, true, true, true]).collect();
    assert_eq!(polls(&lost(), 7), expected);
}

#[test]
fn an_agent_is_due_within_its_period_and_ten_seconds_after_a_trigger() {
    assert_eq!(due(None, &boot("a"), at(0)).map(|due| due.since), Some(None));
    let first = PollState::after(None, &poll(boot("a"), answered(1), 990));
    let state = PollState::after(Some(&first), &poll(boot("a"), answered(1), 1000));
    for (second, same, other) in
        [(1000, false, false), (1009, false, false), (1010, false, true), (1039, true, true)]
    {
        assert_eq!(due(Some(&state), &boot("a"), at(second)).is_some(), same, "{second}");
        assert_eq!(due(Some(&state), &boot("b"), at(second)).is_some(), other, "{second}");
    }
    for jitter in [0.0, 0.5, 1.0] {
        let next = Poll { jitter, ..poll(boot("a"), answered(1), 2000) };
        let pause = pause(&PollState::after(Some(&state), &next));
        assert!((27..=39).contains(&pause), "{jitter}: {pause}");
    }
}

#[test]
fn the_first_answer_after_a_trigger_is_not_final() {
    let settled = [0, 10].into_iter().fold(None, |state: Option<PollState>, second| {
        Some(PollState::after(state.as_ref(), &poll(boot("a"), answered(1), second)))
    });
    assert!(settled.as_ref().is_some_and(|state| state.is_final));
    let changed = Trigger { policies: 7, ..boot("a") };
    let first = PollState::after(settled.as_ref(), &poll(changed.clone(), answered(1), 100));
    assert!(!first.is_final, "the agent may not have seen the change yet");
    assert!(PollState::after(Some(&first), &poll(changed, answered(1), 110)).is_final);
}

#[test]
fn the_last_answer_counts_until_three_in_a_row_are_lost_or_the_node_reboots() {
    let mut state = PollState::after(None, &poll(boot("a"), answered(1), 0));
    for (result, counts) in [
        (lost(), answered(1)),
        (lost(), answered(1)),
        (lost(), lost()),
        (lost(), lost()),
        (answered(1), answered(1)),
        (lost(), answered(1)),
        (answered(2), answered(2)),
    ] {
        state = PollState::after(Some(&state), &poll(boot("a"), result, 0));
        assert_eq!(state.reply, reply(&counts));
    }
    let rebooted = PollState::after(Some(&state), &poll(boot("b"), lost(), 0));
    assert_eq!(rebooted.reply, reply(&lost()));
}

/// Seconds from a complete answer until an incomplete one is final.
fn until_final(state: &PollState, begun: u64, may_have_started: bool) -> u64 {
    let (mut state, mut now) = (state.clone(), begun);
    loop {
        let next = Poll { may_have_started, ..poll(boot("a"), answered(0), now) };
        state = PollState::after(Some(&state), &next);
        if state.is_final {
            return now - begun;
        }
        now += pause(&state);
    }
}

#[test]
fn a_later_loss_is_final_when_confirmed_unless_the_agent_may_have_started() {
    let first = PollState::after(None, &poll(boot("a"), answered(1), 0));
    let state = PollState::after(Some(&first), &poll(boot("a"), answered(1), 10));
    assert_eq!(until_final(&state, 600, false), 10);
    assert_eq!(until_final(&state, 600, true), 69);
    // The agent was silent in between, as while it starts.
    let silent = PollState::after(Some(&state), &poll(boot("a"), lost(), 590));
    assert_eq!(until_final(&silent, 600, false), 69);
}

#[test]
fn only_a_change_that_a_condition_shows_is_news() {
    let mut state = None;
    for (second, result, expected) in [
        (0, answered(1), true),
        // The answer becomes final.
        (10, answered(1), true),
        (60, answered(1), false),
        (110, lost(), false),
        (120, answered(1), false),
        (170, answered(2), true),
        (220, failed(), true),
        (270, failed(), false),
    ] {
        let next = PollState::after(state.as_ref(), &poll(boot("a"), result, second));
        assert_eq!(next.is_news(state.as_ref()), expected, "{second}");
        state = Some(next);
    }
}

#[test]
fn load_errors_are_dated_by_their_first_and_newest_answer() {
    let mut state = None;
    let dates =
        |since, as_of| Some(LoadErrors { since: second(since).time, as_of: second(as_of).time });
    for (now, result, expected) in [
        (0, answered(1), None),
        (10, failed(), dates(10, 10)),
        (20, failed(), dates(10, 20)),
        (30, lost(), dates(10, 20)),
        (40, answered(1), None),
        (50, failed(), dates(50, 50)),
    ] {
        let next = PollState::after(state.as_ref(), &poll(boot("a"), result, now));
        assert_eq!(next.load_errors, expected, "{now}");
        state = Some(next);
    }
    let rebooted = PollState::after(state.as_ref(), &poll(boot("b"), lost(), 60));
    assert_eq!(rebooted.load_errors, None);
}

/// Silence becomes final, and the next poll is due, as if nothing had happened to the clock.
#[test]
fn a_wall_clock_that_is_set_back_delays_nothing() {
    let set_back = |at| {
        let poll = poll(boot("a"), lost(), at);
        Poll { now: Moment { time: Timestamp::UNIX_EPOCH, ..poll.now }, ..poll }
    };
    let first = PollState::after(None, &poll(boot("a"), lost(), 0));
    let second = PollState::after(Some(&first), &set_back(10));
    assert!(!second.is_final && due(Some(&second), &boot("a"), at(30)).is_some());
    assert!(PollState::after(Some(&second), &set_back(60)).is_final);
}

#[test]
fn a_silent_agent_is_asked_in_a_lane_of_its_own() {
    let answering = PollState::after(None, &poll(boot("a"), answered(1), 0));
    let silent = PollState::after(Some(&answering), &poll(boot("a"), lost(), 0));
    let lane = |state: Option<&PollState>| due(state, &boot("a"), at(600)).unwrap().lane;
    assert_eq!(lane(None), Lane::Answering);
    assert_eq!(lane(Some(&answering)), Lane::Answering);
    assert_eq!(lane(Some(&silent)), Lane::Silent);
}

proptest! {
    /// In any history: no agent is asked twice within ten seconds, an answering agent is due again
    /// within a minute, and a silent one within five.
    #[test]
    fn an_agent_is_asked_neither_too_often_nor_too_rarely(
        steps in prop::collection::vec((0usize..4, 0u8..3, 0u64..700), 1..40),
        jitter in 0.0f64..1.0,
    ) {
        let (mut state, mut now, mut last): (Option<PollState>, u64, Option<u64>) = (None, 0, None);
        for (result, trigger, wait) in steps {
            now += wait;
            let trigger = boot(&trigger.to_string());
            if due(state.as_ref(), &trigger, at(now)).is_none() {
                continue;
            }
            prop_assert!(last.is_none_or(|last| now - last >= 10));
            last = Some(now);
            let result = [lost(), answered(0), answered(1), failed()][result].clone();
            let longest = if result == lost() { 300 } else { 39 };
            let next = Poll { jitter, ..poll(trigger.clone(), result, now) };
            let next = PollState::after(state.as_ref(), &next);
            prop_assert!(due(Some(&next), &trigger, at(now + longest)).is_some());
            state = Some(next);
        }
    }
}

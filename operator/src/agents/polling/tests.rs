//! When an agent is asked, and what counts, by tables and for any history.

use crate::tetragon_client::{
    ActionsByPolicy, Answer, AskError, PolicyState, QueryResult, Response, Source,
};
use proptest::prelude::*;

use super::*;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn answered(enabled: u64) -> QueryResult {
    let answer = Answer {
        counts: [(PolicyState::Enabled, enabled)].into_iter().collect(),
        ..Answer::empty(Source::Grpc)
    };
    Ok(Response { answer, actions: ActionsByPolicy::new(), grpc_error: None })
}

fn failed() -> QueryResult {
    let answer = Answer {
        counts: [(PolicyState::LoadError, 1)].into_iter().collect(),
        ..Answer::empty(Source::Grpc)
    };
    Ok(Response { answer, actions: ActionsByPolicy::new(), grpc_error: None })
}

fn lost() -> QueryResult {
    Err(Unanswered { grpc: Some(AskError::TimedOut), metrics: None })
}

fn boot(id: &str) -> Occasion {
    Occasion { boot_id: id.into(), ..Occasion::default() }
}

fn reply(occasion: Occasion, outcome: QueryResult, second: i64) -> Reply {
    let is_complete = outcome != answered(0) && outcome != lost();
    Reply { occasion, outcome, is_complete, may_have_started: false, now: at(second), dice: 1.0 }
}

/// The pauses between questions that are each asked when they are due, and whether each answer is final.
fn questions(outcome: &QueryResult, times: usize) -> Vec<(i64, bool)> {
    let (mut heard, mut now) = (None, 0);
    (0..times)
        .map(|_| {
            let next = hear(heard.as_ref(), &reply(boot("a"), outcome.clone(), now)).0;
            let pause = next.again.duration_since(next.asked).as_secs();
            now += pause;
            let is_final = next.is_final;
            heard = Some(next);
            (pause, is_final)
        })
        .collect()
}

#[test]
fn a_complete_answer_is_final_when_it_was_given_twice() {
    assert_eq!(questions(&answered(1), 4), [(10, false), (39, true), (39, true), (39, true)]);
}

#[test]
fn an_answer_that_lacks_something_is_final_after_a_minute() {
    assert_eq!(
        questions(&answered(0), 5),
        [(10, false), (20, false), (39, false), (39, true), (39, true)]
    );
}

#[test]
fn who_does_not_answer_is_asked_ever_more_rarely() {
    let pauses = [10, 20, 40, 80, 160, 300, 300];
    // No answer is final a minute after the first question.
    let expected: Vec<_> =
        pauses.into_iter().zip([false, false, false, true, true, true, true]).collect();
    assert_eq!(questions(&lost(), 7), expected);
}

#[test]
fn an_agent_is_due_within_its_period_and_ten_seconds_after_an_occasion() {
    assert_eq!(due(None, &boot("a"), at(0)).map(|due| due.since), Some(Timestamp::MIN));
    let first = hear(None, &reply(boot("a"), answered(1), 990)).0;
    let heard = hear(Some(&first), &reply(boot("a"), answered(1), 1000)).0;
    for (second, same, other) in
        [(1000, false, false), (1009, false, false), (1010, false, true), (1039, true, true)]
    {
        assert_eq!(due(Some(&heard), &boot("a"), at(second)).is_some(), same, "{second}");
        assert_eq!(due(Some(&heard), &boot("b"), at(second)).is_some(), other, "{second}");
    }
    assert!(due(Some(&heard), &boot("a"), at(5)).is_some(), "the clock was set back");
    for dice in [0.0, 0.5, 1.0] {
        let again =
            hear(Some(&heard), &Reply { dice, ..reply(boot("a"), answered(1), 2000) }).0.again;
        let pause = again.duration_since(at(2000)).as_secs();
        assert!((27..=39).contains(&pause), "{dice}: {pause}");
    }
}

#[test]
fn what_was_said_before_an_occasion_is_not_final_after_it() {
    let settled = [0, 10].into_iter().fold(None, |heard: Option<Heard>, second| {
        Some(hear(heard.as_ref(), &reply(boot("a"), answered(1), second)).0)
    });
    assert!(settled.as_ref().is_some_and(|heard| heard.is_final));
    let changed = Occasion { question: 7, ..boot("a") };
    let first = hear(settled.as_ref(), &reply(changed.clone(), answered(1), 100)).0;
    assert!(!first.is_final, "the agent may not have seen the change yet");
    assert!(hear(Some(&first), &reply(changed, answered(1), 110)).0.is_final);
}

#[test]
fn the_last_answer_stands_until_three_in_a_row_are_lost_and_no_longer_than_its_boot() {
    let mut heard = hear(None, &reply(boot("a"), answered(1), 0)).0;
    for (outcome, counts) in [
        (lost(), answered(1)),
        (lost(), answered(1)),
        (lost(), lost()),
        (lost(), lost()),
        (answered(1), answered(1)),
        (lost(), answered(1)),
        (answered(2), answered(2)),
    ] {
        heard = hear(Some(&heard), &reply(boot("a"), outcome, 0)).0;
        assert_eq!(heard.said, Said::of(&counts));
    }
    assert_eq!(hear(Some(&heard), &reply(boot("b"), lost(), 0)).0.said, Said::of(&lost()));
}

/// Seconds until an answer that lacks a policy is final, after one that had it.
fn until_final(heard: &Heard, begun: i64, may_have_started: bool) -> i64 {
    let (mut heard, mut now) = (heard.clone(), begun);
    loop {
        let next =
            hear(Some(&heard), &Reply { may_have_started, ..reply(boot("a"), answered(0), now) }).0;
        if next.is_final {
            return now - begun;
        }
        now += next.again.duration_since(next.asked).as_secs();
        heard = next;
    }
}

#[test]
fn what_is_lost_later_is_final_when_it_is_confirmed_unless_the_agent_may_have_started() {
    let mut heard = hear(None, &reply(boot("a"), answered(1), 0)).0;
    heard = hear(Some(&heard), &reply(boot("a"), answered(1), 10)).0;
    assert_eq!(until_final(&heard, 600, false), 10);
    assert_eq!(until_final(&heard, 600, true), 69);
    // It did not answer in between, as while it starts.
    let lost = hear(Some(&heard), &reply(boot("a"), lost(), 590)).0;
    assert_eq!(until_final(&lost, 600, false), 69);
}

#[test]
fn only_what_may_change_a_condition_is_news() {
    let mut heard = None;
    for (second, outcome, expected) in [
        (0, answered(1), true),
        // It becomes final.
        (10, answered(1), true),
        (60, answered(1), false),
        (110, lost(), false),
        (120, answered(1), false),
        (170, answered(2), true),
        (220, failed(), true),
        (270, failed(), false),
    ] {
        let (next, news) = hear(heard.as_ref(), &reply(boot("a"), outcome, second));
        assert_eq!(news, expected, "{second}");
        heard = Some(next);
    }
}

#[test]
fn load_errors_are_dated_by_their_first_and_newest_answer() {
    let mut heard = None;
    let dates = |since, as_of| Some(LoadErrors { since: at(since), as_of: at(as_of) });
    for (second, outcome, expected) in [
        (0, answered(1), None),
        (10, failed(), dates(10, 10)),
        (20, failed(), dates(10, 20)),
        (30, lost(), dates(10, 20)),
        (40, answered(1), None),
        (50, failed(), dates(50, 50)),
    ] {
        let next = hear(heard.as_ref(), &reply(boot("a"), outcome, second)).0;
        assert_eq!(next.load_errors, expected, "{second}");
        heard = Some(next);
    }
    assert_eq!(hear(heard.as_ref(), &reply(boot("b"), lost(), 60)).0.load_errors, None);
}

#[test]
fn who_did_not_answer_is_asked_apart_from_the_others() {
    let answering = hear(None, &reply(boot("a"), answered(1), 0)).0;
    let silent = hear(Some(&answering), &reply(boot("a"), lost(), 0)).0;
    let lane = |heard: Option<&Heard>| due(heard, &boot("a"), at(600)).unwrap().lane;
    assert_eq!(lane(None), Lane::Answering);
    assert_eq!(lane(Some(&answering)), Lane::Answering);
    assert_eq!(lane(Some(&silent)), Lane::Silent);
}

proptest! {
    /// Whatever is answered and whatever happens: nobody is asked twice within ten seconds, who answers is due again within
    /// a minute, and who does not within five.
    #[test]
    fn neither_too_often_nor_too_rarely(
        steps in prop::collection::vec((0usize..4, 0u8..3, 0i64..700), 1..40),
        dice in 0.0f64..1.0,
    ) {
        let (mut heard, mut now, mut last): (Option<Heard>, i64, Option<i64>) = (None, 0, None);
        for (outcome, occasion, wait) in steps {
            now += wait;
            let occasion = boot(&occasion.to_string());
            if due(heard.as_ref(), &occasion, at(now)).is_some() {
                prop_assert!(last.is_none_or(|last| now - last >= 10));
                last = Some(now);
                let outcome = [lost(), answered(0), answered(1), failed()][outcome].clone();
                let longest = if outcome == lost() { 300 } else { 39 };
                let next = hear(heard.as_ref(), &Reply { dice, ..reply(occasion.clone(), outcome, now) }).0;
                prop_assert!(due(Some(&next), &occasion, at(now + longest)).is_some());
                heard = Some(next);
            }
        }
    }
}

//! A closed gate: nothing is written before it opens, and then it is looked at again.

use super::*;
use crate::tetragon::gate::Gate;

/// Ten past midnight of a Thursday is `now`.
fn in_window(start: &str, securityfs: &Value) -> Value {
    policy(
        "enforce",
        &json!({"tetragon": {"daemonSet": {"namespace": "default"}, "securityfs": securityfs,
            "window": {"start": start, "duration": "30m"}}}),
    )
}

fn annotated(mut object: Value, word: &str) -> Value {
    object["metadata"]["annotations"]["lsmready.io/apply"] = json!(word);
    object
}

#[tokio::test]
async fn outside_of_the_window_nothing_is_written_until_it_opens() {
    for (object, securityfs) in [(tetragon(), json!({})), (mounted(100), json!({"mount": "Never"}))]
    {
        let (ctx, played) = scenario(vec![in_window("01:00", &securityfs)], vec![]);
        let again = Action::requeue(std::time::Duration::from_mins(50));
        assert_eq!(look(&object, &ctx).await.unwrap(), again);
        assert_eq!(look(&object, &ctx).await.unwrap(), again);
        assert_ne!(remembered(&ctx).gate, Gate::Open);
        end(ctx, played).await;
    }
}

#[tokio::test]
async fn in_the_window_or_by_the_owners_word_it_is_written() {
    for (start, object) in [("00:00", tetragon()), ("01:00", annotated(tetragon(), "allow"))] {
        let script = vec![Exchange::new(PATCH, mount(), mounted(101)), Exchange::event()];
        let (ctx, played) = scenario(vec![in_window(start, &json!({}))], script);
        assert_eq!(look(&object, &ctx).await.unwrap(), Action::await_change());
        end(ctx, played).await;
    }
}

#[tokio::test]
async fn what_is_held_waits_for_somebody() {
    for object in [annotated(tetragon(), "hold"), annotated(tetragon(), "alow")] {
        let (ctx, played) = scenario(vec![asking(&json!({}))], vec![]);
        assert_eq!(look(&object, &ctx).await.unwrap(), Action::await_change());
        end(ctx, played).await;
    }
    let (ctx, played) = scenario(vec![], vec![]);
    assert_eq!(look(&annotated(mounted(100), "hold"), &ctx).await.unwrap(), Action::await_change());
    end(ctx, played).await;
}

#[tokio::test]
async fn a_budget_that_is_too_large_is_not_used() {
    let limited = policy(
        "enforce",
        &json!({"tetragon": {"daemonSet": {"namespace": "default"}, "maxConcurrent": 1}}),
    );
    let mut object = tetragon();
    object["spec"]["updateStrategy"] =
        json!({"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "50%"}});
    object["status"] = json!({"currentNumberScheduled": 4, "numberMisscheduled": 0, "numberReady": 4,
        "desiredNumberScheduled": 4, "updatedNumberScheduled": 4, "numberAvailable": 4, "observedGeneration": 1});
    let (ctx, played) = scenario(vec![limited], vec![]);
    assert_eq!(look(&object, &ctx).await.unwrap(), Action::await_change());
    end(ctx, played).await;
}

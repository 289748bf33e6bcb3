//! A closed gate: nothing is written before it opens.

use super::*;
use crate::tetragon::gate::Gate;

/// A policy with a window of half an hour. The time is 00:10 on a Thursday.
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
async fn outside_the_window_nothing_is_written() {
    for (object, securityfs) in [(tetragon(), json!({})), (mounted(100), json!({"mount": "Never"}))]
    {
        let (ctx, played) = scenario(vec![in_window("01:00", &securityfs)], vec![]);
        let again = Action::requeue(std::time::Duration::from_mins(50));
        assert_eq!(reconcile_once(&object, &ctx).await.unwrap(), again);
        assert_eq!(reconcile_once(&object, &ctx).await.unwrap(), again);
        assert_ne!(remembered(&ctx).gate, Gate::Open);
        end(ctx, played).await;
    }
}

#[tokio::test]
async fn in_the_window_or_with_the_owners_allow_the_mount_is_added() {
    for (start, object) in [("00:00", tetragon()), ("01:00", annotated(tetragon(), "allow"))] {
        let script = vec![Exchange::new(PATCH, with_mount(), mounted(101)), Exchange::event()];
        let (ctx, played) = scenario(vec![in_window(start, &json!({}))], script);
        assert_eq!(reconcile_once(&object, &ctx).await.unwrap(), Action::await_change());
        end(ctx, played).await;
    }
}

#[tokio::test]
async fn a_held_daemon_set_is_not_changed() {
    for object in [annotated(tetragon(), "hold"), annotated(tetragon(), "alow")] {
        let (ctx, played) = scenario(vec![policy_with(&json!({}))], vec![]);
        assert_eq!(reconcile_once(&object, &ctx).await.unwrap(), Action::await_change());
        end(ctx, played).await;
    }
    let (ctx, played) = scenario(vec![], vec![]);
    assert_eq!(
        reconcile_once(&annotated(mounted(100), "hold"), &ctx).await.unwrap(),
        Action::await_change()
    );
    end(ctx, played).await;
}

#[tokio::test]
async fn with_a_budget_that_is_too_large_nothing_is_written() {
    let limited = policy(
        "enforce",
        &json!({"tetragon": {"daemonSet": {"namespace": "default"}, "maxConcurrent": 1}}),
    );
    let mut object = tetragon();
    object["spec"]["updateStrategy"] =
        json!({"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "50%"}});
    object["status"] = json!({"currentNumberScheduled": 4, "numberMisscheduled": 0,
        "numberReady": 4,
        "desiredNumberScheduled": 4, "updatedNumberScheduled": 4, "numberAvailable": 4,
            "observedGeneration": 1});
    let (ctx, played) = scenario(vec![limited], vec![]);
    assert_eq!(reconcile_once(&object, &ctx).await.unwrap(), Action::await_change());
    end(ctx, played).await;
}

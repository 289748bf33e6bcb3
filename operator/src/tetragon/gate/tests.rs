//! Which limit closes the gate, and what is said about it.

use lsm_ready_crds::window::Window;
use lsm_ready_tetragon::view::{Access, Mounted};
use serde_json::{Value, json};

use super::*;

fn now() -> Timestamp {
    "2026-01-01T12:00:00Z".parse().unwrap()
}

/// Of 20 agents, of which `unavailable` may be unavailable, with that annotation.
fn daemon_set(unavailable: &Value, annotation: Option<&str>) -> DaemonSet {
    let annotations: Value =
        annotation.map(|word| json!({ APPLY_ANNOTATION: word })).unwrap_or_default();
    let object = json!({
        "metadata": {"namespace": "kube-system", "name": "tetragon", "annotations": annotations},
        "spec": {"selector": {}, "template": {},
            "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": unavailable}}},
        "status": {"currentNumberScheduled": 20, "numberMisscheduled": 0, "numberReady": 20,
            "desiredNumberScheduled": 20},
    });
    serde_json::from_value(object).unwrap()
}

fn windows(windows: &[(&str, &str)]) -> Limits {
    let schedule = |(start, zone): &(&str, &str)| {
        let window = json!({"start": start, "duration": "1h", "timeZone": zone});
        serde_json::from_value::<Window>(window).unwrap().schedule()
    };
    let windows =
        windows.iter().enumerate().map(|(n, window)| (format!("p{n}"), schedule(window))).collect();
    Limits { windows, ..Limits::default() }
}

fn at_most(max: i32) -> Limits {
    Limits { max_concurrent: Some((max, "p0".into())), ..Limits::default() }
}

/// Reason, whether somebody has to act, and a part of the message; empty where it is open.
fn told(limits: &Limits, daemon_set: &DaemonSet) -> (&'static str, bool, String) {
    let key = DaemonSetKey::of(daemon_set);
    gate(limits, daemon_set, now()).closed(&key).map_or(("", false, String::new()), |closed| {
        (closed.reason.code(), closed.stalled, closed.message)
    })
}

#[test]
fn each_limit_has_its_reason_and_a_way_out() {
    let (one, ds) = (json!(1), |annotation| daemon_set(&json!(1), annotation));
    let (noon, night) = (windows(&[("12:00", "UTC")]), windows(&[("22:00", "UTC")]));
    let allow = "annotate --overwrite daemonset tetragon lsmready.io/apply=allow";
    let both = Limits { max_concurrent: at_most(1).max_concurrent, ..night.clone() };
    for (limits, daemon_set, reason, stalled, parts) in vec![
        (&Limits::default(), ds(None), "", false, vec![]),
        (&noon, ds(None), "", false, vec![]),
        (
            &night,
            ds(None),
            "OutsideWindow",
            false,
            vec!["opens at 2026-01-01T22:00:00Z", "LsmPolicy p0", allow],
        ),
        (&night, ds(Some("allow")), "", false, vec![]),
        (&noon, ds(Some("hold")), "Held", true, vec!["lsmready.io/apply=hold;", allow]),
        (&noon, ds(Some("Allow")), "Held", true, vec!["neither allow nor hold", allow]),
        (
            &windows(&[("12:00", "UTC"), ("22:00", "UTC")]),
            ds(None),
            "OutsideWindow",
            true,
            vec!["p0, p1", "never"],
        ),
        (
            &windows(&[("12:00", "Mars/Olympus")]),
            ds(None),
            "OutsideWindow",
            true,
            vec!["LsmPolicy p0", "Mars/Olympus"],
        ),
        (&at_most(1), daemon_set(&one, None), "", false, vec![]),
        (&at_most(2), daemon_set(&json!("10%"), None), "", false, vec![]),
        (
            &at_most(1),
            daemon_set(&json!("10%"), None),
            "BudgetTooLarge",
            true,
            vec![
                "would restart 2 (maxUnavailable: 10%)",
                "rollingUpdate.maxUnavailable to 1 or less",
                "LsmPolicy p0",
            ],
        ),
        // The owner's word is about the window, not about how many.
        (&at_most(1), daemon_set(&json!(5), Some("allow")), "BudgetTooLarge", true, vec![]),
        // What somebody has to act on comes before what ends by itself.
        (&both, daemon_set(&json!(5), None), "BudgetTooLarge", true, vec![]),
    ] {
        let (found, acts, message) = told(limits, &daemon_set);
        assert_eq!((found, acts), (reason, stalled), "{limits:?}: {message}");
        for part in parts {
            assert!(message.contains(part), "{part} in {message}");
        }
    }
}

#[test]
fn on_delete_restarts_nothing_at_once() {
    let mut daemon_set = daemon_set(&json!(5), None);
    daemon_set.spec.as_mut().unwrap().update_strategy =
        serde_json::from_value(json!({"type": "OnDelete"})).unwrap();
    assert_eq!(gate(&at_most(1), &daemon_set, now()), Gate::Open);
}

#[test]
fn what_the_owner_has_replaced_already_waits_for_nothing_but_the_owner() {
    let mounted = Mounted {
        volume: "theirs".into(),
        path: "/sys/kernel/security".into(),
        access: Access::ReadOnly,
        bidirectional: false,
    };
    let superseded = Plan::Remove { superseded: Some(NoNeed::AlreadyMounted(mounted)) };
    let given_back = Plan::Remove { superseded: None };
    let closed = gate(&windows(&[("22:00", "UTC")]), &daemon_set(&json!(1), None), now());
    assert_eq!(closed.clone().before(&superseded), Gate::Open);
    assert_eq!(closed.clone().before(&given_back), closed);
    let held = gate(&Limits::default(), &daemon_set(&json!(1), Some("hold")), now());
    assert_eq!(held.clone().before(&superseded), held);
}

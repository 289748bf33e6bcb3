//! Which agents are stale, and when one of them may be restarted.

use serde_json::{Value, json};

use super::*;

fn at(minute: u32) -> Timestamp {
    format!("2026-01-01T00:{minute:02}:00Z").parse().unwrap()
}

/// Two nodes, of which that many have an available agent.
fn daemon_set(available: i32, strategy: &Value) -> DaemonSet {
    let object = json!({
        "metadata": {"namespace": "kube-system", "name": "tetragon", "generation": 1},
        "spec": {"selector": {}, "template": {}, "updateStrategy": strategy},
        "status": {"currentNumberScheduled": 2, "numberMisscheduled": 0, "numberReady": available,
            "desiredNumberScheduled": 2, "updatedNumberScheduled": 2, "numberAvailable": available,
            "observedGeneration": 1},
    });
    serde_json::from_value(object).unwrap()
}

/// An agent on that node whose container was started in that minute.
fn agent(node: &str, started: u32) -> Agent {
    let pod = json!({
        "metadata": {"name": format!("tetragon-{node}"), "uid": format!("uid-{node}-{started}")},
        "spec": {"nodeName": node, "containers": []},
        "status": {"conditions": [{"type": "Ready", "status": "True"}], "containerStatuses": [
            {"name": "export-stdout", "image": "", "imageID": "", "ready": true, "restartCount": 0,
                "state": {"running": {"startedAt": at(0)}}},
            {"name": "tetragon", "image": "", "imageID": "", "ready": true, "restartCount": 0,
                "state": {"running": {"startedAt": at(started)}}}]},
    });
    Agent::of(&serde_json::from_value(pod).unwrap())
}

/// What to do: the node whose agent is evicted, `later` or `settled`.
fn word(
    daemon_set: &DaemonSet,
    agents: &[Agent],
    repaired: &[(&str, u32)],
    stale: &Stale,
    gate: &Gate,
) -> String {
    let repair = |minute: u32| Repair { since: at(minute), before: Vec::new() };
    let repaired =
        repaired.iter().map(|(node, minute)| ((*node).to_owned(), repair(*minute))).collect();
    match restart((daemon_set, "tetragon"), agents, (&repaired, &Errors::new()), stale, gate) {
        Restart::Settled => "settled".into(),
        Restart::Later => "later".into(),
        Restart::Evict { agent, .. } => agent.node,
    }
}

#[test]
fn stale_is_who_started_before_the_repair() {
    let (whole, none) = (daemon_set(2, &json!({})), Stale::default());
    for (agents, repaired, expected) in [
        ([agent("n1", 1), agent("n2", 1)], vec![], "settled"),
        ([agent("n1", 1), agent("n2", 1)], vec![("n2", 5)], "n2"),
        ([agent("n1", 1), agent("n2", 1)], vec![("n1", 5), ("n2", 5)], "n1"),
        ([agent("n1", 6), agent("n2", 1)], vec![("n1", 5), ("n2", 5)], "n2"),
        ([agent("n1", 5), agent("n2", 6)], vec![("n1", 5), ("n2", 5)], "settled"),
        ([agent("n1", 1), agent("n2", 1)], vec![("gone", 5)], "settled"),
    ] {
        assert_eq!(word(&whole, &agents, &repaired, &none, &Gate::Open), expected, "{repaired:?}");
    }
}

#[test]
fn one_at_a_time_and_only_when_all_are_there() {
    let (whole, none, repaired) = (daemon_set(2, &json!({})), Stale::default(), [("n1", 5)]);
    let both = [agent("n1", 1), agent("n2", 1)];
    let mut leaving = both.clone();
    leaving[1].gone_by = Some(at(9));
    let mut unready = both.clone();
    unready[1].ready = false;
    let held = Gate::Held { word: "hold".into() };
    let surge =
        json!({"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}});
    for (case, daemon_set, agents, gate, expected) in [
        ("all there", &whole, &both[..], &Gate::Open, "n1"),
        ("the gate is closed", &whole, &both[..], &held, "later"),
        ("one is not available", &daemon_set(1, &json!({})), &both[..], &Gate::Open, "later"),
        ("one is leaving", &whole, &leaving[..], &Gate::Open, "later"),
        ("one is not ready", &whole, &unready[..], &Gate::Open, "later"),
        ("the counts lag", &whole, &both[..1], &Gate::Open, "later"),
        ("OnDelete", &daemon_set(2, &json!({"type": "OnDelete"})), &both[..], &Gate::Open, "n1"),
        ("maxSurge", &daemon_set(2, &surge), &both[..], &Gate::Open, "n1"),
    ] {
        assert_eq!(word(daemon_set, agents, &repaired, &none, gate), expected, "{case}");
    }
}

#[test]
fn each_is_tried_once_for_one_repair() {
    let (whole, both) = (daemon_set(2, &json!({})), [agent("n1", 1), agent("n2", 1)]);
    let tried = Stale { tried: [("uid-n1-1".to_owned(), at(5))].into(), ..Stale::default() };
    assert_eq!(word(&whole, &both, &[("n1", 5)], &tried, &Gate::Open), "settled");
    assert_eq!(word(&whole, &both, &[("n1", 7)], &tried, &Gate::Open), "n1", "another repair");
    let replaced = [agent("n1", 3), agent("n2", 1)];
    assert_eq!(word(&whole, &replaced, &[("n1", 5)], &tried, &Gate::Open), "n1", "another pod");
}

#[test]
fn a_repair_is_of_the_present_boot_and_stands() {
    let report = |evidence: &str, since: Option<u32>| -> LsmNodeStatus {
        let since = since.map(|minute| at(minute).to_string());
        serde_json::from_value(json!({"bootID": "b", "evidence": evidence, "deniedSince": since}))
            .unwrap()
    };
    assert_eq!(
        repair(Some(&report("Denied", Some(5))), "b"),
        Some(Repair { since: at(5), before: vec![] })
    );
    for (evidence, since, boot) in [
        ("Denied", None, "b"),
        ("Denied", Some(5), "c"),
        ("Denied", Some(5), ""),
        ("Fired", Some(5), "b"),
    ] {
        assert_eq!(
            repair(Some(&report(evidence, since)), boot),
            None,
            "{evidence} {since:?} {boot}"
        );
    }
    assert_eq!(repair(None, "b"), None);
}

#[test]
fn an_agent_that_started_while_the_node_could_deny_is_stale_only_if_it_says_so() {
    let span = |from: Option<u32>, until: u32| Span {
        from: from.map(|from| Time(at(from))),
        until: Time(at(until)),
    };
    let repair = |before: &[Span]| Repair { since: at(30), before: before.to_vec() };
    let (none, first, later) =
        (repair(&[]), repair(&[span(None, 10)]), repair(&[span(Some(5), 10), span(Some(15), 20)]));
    for (repair, started, errors, expected) in [
        (&none, 1, None, true),
        (&none, 29, None, true),
        (&none, 30, None, false),
        // Nothing is cured by a restart that was there when the node could deny already.
        (&none, 31, Some(40), false),
        // The boot's first report said Denied: so could the kernel from the start.
        (&first, 1, None, false),
        (&first, 10, None, false),
        (&first, 11, None, true),
        (&later, 1, None, true),
        (&later, 7, None, false),
        (&later, 12, None, true),
        (&later, 20, None, false),
        (&later, 25, None, true),
        // What it said before the repair was to be expected.
        (&first, 1, Some(29), false),
        (&first, 1, Some(31), true),
    ] {
        assert_eq!(
            repair.leaves_stale(at(started), errors.map(at)),
            expected,
            "{repair:?} {started} {errors:?}"
        );
    }
}

#[test]
fn a_restart_helps_whatever_the_release_where_the_agent_sees_securityfs() {
    let release = |tag: &str| Version::parse(tag);
    let itself = Plan::NotNeeded(NoNeed::MountsItself(Version::release(1, 7, 0)));
    assert!(can_be_helped(&itself, release("1.7.0")));
    assert!(!can_be_helped(
        &Plan::NotNeeded(NoNeed::NoLsmHooks(Version::release(1, 1, 0))),
        release("1.1.0")
    ));
    let mounted = lsm_ready_tetragon::view::Mounted {
        volume: "v".into(),
        path: "/sys/kernel/security".into(),
        access: lsm_ready_tetragon::view::Access::ReadOnly,
        bidirectional: false,
    };
    for still_needed in [None, Some(lsm_ready_tetragon::plan::Need::Always)] {
        let keep = Plan::Keep { mounted: mounted.clone(), still_needed };
        assert!(can_be_helped(&keep, release("1.3.0")) && can_be_helped(&keep, None));
        assert!(!can_be_helped(&keep, release("1.1.0")));
    }
    let patch =
        Plan::Patch { container: "tetragon".into(), need: lsm_ready_tetragon::plan::Need::Always };
    assert!(!can_be_helped(&patch, release("1.3.0")), "it is replaced for the mount");
}

//! Which agents are stale, and when one of them is restarted.

use lsm_ready_crds::fixture;
use serde_json::{Value, json};

use super::*;

fn at(minute: u32) -> Timestamp {
    format!("2026-01-01T00:{minute:02}:00Z").parse().unwrap()
}

/// A rollout on two nodes, of which that many have an available agent.
fn rollout(available: i32, strategy: &Value) -> Progress {
    let object = json!({
        "metadata": {"namespace": "kube-system", "name": "tetragon", "generation": 1},
        "spec": {"selector": {}, "template": {}, "updateStrategy": strategy},
        "status": {"currentNumberScheduled": 2, "numberMisscheduled": 0, "numberReady": available,
            "desiredNumberScheduled": 2, "updatedNumberScheduled": 2, "numberAvailable": available,
            "observedGeneration": 1},
    });
    Progress::of(&serde_json::from_value(object).unwrap())
}

/// An agent on that node whose container was started at that minute.
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

/// A node that was repaired at that minute.
type RepairedNode = (&'static str, u32);

/// What is done: the node whose agent is evicted, `later` or `settled`.
fn next(
    rollout: &Progress,
    agents: &[Agent],
    repaired: &[RepairedNode],
    stale: &Stale,
    gate: &Gate,
) -> String {
    let repair = |minute: u32| Repair { since: at(minute), before: Vec::new() };
    let repairs =
        repaired.iter().map(|(node, minute)| ((*node).to_owned(), repair(*minute))).collect();
    let nodes = NodeHistory { repairs, load_errors: LoadErrors::new() };
    let fleet = Fleet { rollout, container: "tetragon", agents, nodes: &nodes, gate };
    match stale.clone().next(&fleet) {
        Restart::Settled => "settled".into(),
        Restart::Later => "later".into(),
        Restart::Evict { agent, .. } => agent.node,
    }
}

#[test]
fn an_agent_that_started_before_the_repair_is_stale() {
    let (whole, none) = (rollout(2, &json!({})), Stale::default());
    for (agents, repaired, expected) in [
        ([agent("n1", 1), agent("n2", 1)], vec![], "settled"),
        ([agent("n1", 1), agent("n2", 1)], vec![("n2", 5)], "n2"),
        ([agent("n1", 1), agent("n2", 1)], vec![("n1", 5), ("n2", 5)], "n1"),
        ([agent("n1", 6), agent("n2", 1)], vec![("n1", 5), ("n2", 5)], "n2"),
        ([agent("n1", 5), agent("n2", 6)], vec![("n1", 5), ("n2", 5)], "settled"),
        ([agent("n1", 1), agent("n2", 1)], vec![("gone", 5)], "settled"),
    ] {
        assert_eq!(next(&whole, &agents, &repaired, &none, &Gate::Open), expected, "{repaired:?}");
    }
}

#[test]
fn one_agent_is_restarted_and_only_when_all_are_there() {
    let (whole, none, repaired) = (rollout(2, &json!({})), Stale::default(), [("n1", 5)]);
    let both = [agent("n1", 1), agent("n2", 1)];
    let mut leaving = both.clone();
    leaving[1].gone_by = Some(at(9));
    let mut unready = both.clone();
    unready[1].ready = false;
    let held = Gate::Held { word: "hold".into() };
    let surge =
        json!({"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}});
    for (case, rollout, agents, gate, expected) in [
        ("all there", &whole, &both[..], &Gate::Open, "n1"),
        ("the gate is closed", &whole, &both[..], &held, "later"),
        ("one is not available", &rollout(1, &json!({})), &both[..], &Gate::Open, "later"),
        ("one is leaving", &whole, &leaving[..], &Gate::Open, "later"),
        ("one is not ready", &whole, &unready[..], &Gate::Open, "later"),
        ("the counts lag", &whole, &both[..1], &Gate::Open, "later"),
        ("OnDelete", &rollout(2, &json!({"type": "OnDelete"})), &both[..], &Gate::Open, "n1"),
        ("maxSurge", &rollout(2, &surge), &both[..], &Gate::Open, "n1"),
    ] {
        assert_eq!(next(rollout, agents, &repaired, &none, gate), expected, "{case}");
    }
}

#[test]
fn each_agent_is_restarted_once_for_one_repair() {
    let (whole, both) = (rollout(2, &json!({})), [agent("n1", 1), agent("n2", 1)]);
    let tried = Stale { tried: [("uid-n1-1".to_owned(), at(5))].into(), ..Stale::default() };
    assert_eq!(next(&whole, &both, &[("n1", 5)], &tried, &Gate::Open), "settled");
    assert_eq!(next(&whole, &both, &[("n1", 7)], &tried, &Gate::Open), "n1", "another repair");
    let replaced = [agent("n1", 3), agent("n2", 1)];
    assert_eq!(next(&whole, &replaced, &[("n1", 5)], &tried, &Gate::Open), "n1", "another pod");
}

#[test]
fn a_repair_counts_only_in_the_present_boot_and_while_the_node_can_deny() {
    let report = |evidence: &str, since: Option<u32>| -> LsmNodeStatus {
        let reason = if evidence == "Denied" { "CanaryDenied" } else { "FiredNotDenied" };
        let report = fixture::report("b", fixture::evidence(evidence), reason);
        LsmNodeStatus { denied_since: since.map(|minute| Time(at(minute))), ..report }
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
    // Agents are not restarted for a claim that the checks deny.
    let mut claimed = report("Denied", Some(5));
    claimed.checks.clear();
    assert_eq!(repair(Some(&claimed), "b"), None);
}

#[test]
fn an_agent_that_started_while_the_node_could_deny_is_stale_only_if_it_reports_errors() {
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
        // A restart does not cure errors of an agent that started after the repair.
        (&none, 31, Some(40), false),
        // The boot's first report said Denied, so the kernel could deny from the start.
        (&first, 1, None, false),
        (&first, 10, None, false),
        (&first, 11, None, true),
        (&later, 1, None, true),
        (&later, 7, None, false),
        (&later, 12, None, true),
        (&later, 20, None, false),
        (&later, 25, None, true),
        // Errors from before the repair were to be expected.
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
fn a_restart_helps_agents_that_see_securityfs_and_know_lsm_policies() {
    let release = |tag: &str| Version::parse(tag);
    let itself = Plan::NotNeeded(NoNeed::MountsItself(Version::release(1, 7, 0)));
    assert!(can_help(&itself, release("1.7.0")));
    assert!(!can_help(
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
        assert!(can_help(&keep, release("1.3.0")) && can_help(&keep, None));
        assert!(!can_help(&keep, release("1.1.0")));
    }
    let patch =
        Plan::Patch { container: "tetragon".into(), need: lsm_ready_tetragon::plan::Need::Always };
    assert!(!can_help(&patch, release("1.3.0")), "it is replaced for the mount");
}

//! What has to be written after one report, and after several.

use lsm_ready_crds::Evidence;
use lsm_ready_crds::node::{SPANS, Span};
use serde_json::json;

use super::*;

const RENEW: Duration = Duration::from_mins(30);

fn node(uid: &str) -> Identity {
    Identity { name: "n1".to_owned(), uid: uid.to_owned() }
}

fn found(evidence: Evidence) -> LsmNodeStatus {
    LsmNodeStatus { evidence, boot_id: "b".to_owned(), ..LsmNodeStatus::default() }
}

fn minute(minute: i64) -> Timestamp {
    Timestamp::from_second(1_700_000_000 + 60 * minute).unwrap()
}

/// The plan at that minute, for a node with that uid.
fn plan_at(at: i64, uid: &str, present: Option<&LsmNode>, found: &LsmNodeStatus) -> Plan {
    let node = node(uid);
    plan_after(at, &node, None, present, found)
}

/// The plan of a daemon that wrote `last`.
fn plan_after(
    at: i64,
    node: &Identity,
    last: Option<&LsmNodeStatus>,
    present: Option<&LsmNode>,
    found: &LsmNodeStatus,
) -> Plan {
    let desired = Desired { node, found, last, now: minute(at), renew_after: RENEW };
    plan(present, &desired)
}

/// The LsmNode after the plan was carried out.
fn after(plan: Plan) -> LsmNode {
    LsmNode { status: plan.status, ..plan.create.unwrap() }
}

fn written() -> LsmNode {
    after(plan_at(0, "u", None, &found(Evidence::Denied)))
}

#[test]
fn a_missing_object_is_created_with_its_owner_and_status() {
    let plan = plan_at(0, "u", None, &found(Evidence::Denied));
    assert_eq!(plan.describe(), "object+status");
    let owners = plan.create.unwrap().metadata.owner_references.unwrap();
    assert_eq!((owners[0].uid.as_str(), owners[0].block_owner_deletion), ("u", None));
    assert_eq!(plan.status.unwrap().observed_time, Some(Time(minute(0))));
}

#[test]
fn nothing_is_written_while_only_time_passes() {
    let plan = plan_at(29, "u", Some(&written()), &found(Evidence::Denied));
    assert!(plan.is_empty(), "{plan:?}");
}

#[test]
fn an_unchanged_report_is_renewed_after_the_period_or_if_the_clock_was_set_back() {
    for at in [30, 31, -1] {
        let plan = plan_at(at, "u", Some(&written()), &found(Evidence::Denied));
        assert_eq!(plan.describe(), "status", "minute {at}");
    }
}

#[test]
fn what_somebody_else_has_changed_is_written_back() {
    let ours = written();
    let found = found(Evidence::Denied);
    let last = ours.status.as_ref();
    let foreign: [fn(&mut LsmNodeStatus); 5] = [
        |status| status.evidence = Evidence::None,
        |status| status.fix = "run this".to_owned(),
        |status| status.hook_profile = Some("0".repeat(64)),
        |status| status.denied_since = Some(Time(minute(-60))),
        |status| status.observed_time = None,
    ];
    for change in foreign {
        let mut object = ours.clone();
        object.status.as_mut().map(change).unwrap();
        let plan = plan_after(1, &node("u"), last, Some(&object), &found);
        let expected =
            LsmNodeStatus { observed_time: Some(Time(minute(1))), ..last.cloned().unwrap() };
        assert_eq!(plan.status, Some(expected), "{object:?}");
    }
    assert!(plan_after(1, &node("u"), last, Some(&ours), &found).is_empty());
}

#[test]
fn the_history_of_the_boot_outlives_the_object() {
    let refused = after(plan_at(0, "u", None, &booted("b", Evidence::Fired))).status.unwrap();
    let node = node("u");
    let repaired = plan_after(1, &node, Some(&refused), None, &found(Evidence::Denied));
    let repaired = repaired.status.unwrap();
    assert_eq!(repaired.denied_since, Some(Time(minute(1))), "an agent started before is stale");
    let again = plan_after(9, &node, Some(&repaired), None, &found(Evidence::Denied));
    assert_eq!(again.status.unwrap().denied_since, Some(Time(minute(1))));
    let rebooted = plan_after(9, &node, Some(&repaired), None, &booted("c", Evidence::Denied));
    assert_eq!(rebooted.status.unwrap().denied_since, None);
}

#[test]
fn a_change_is_written_at_once() {
    let plan = plan_at(1, "u", Some(&written()), &found(Evidence::Attached));
    assert_eq!(plan.status.unwrap().evidence, Evidence::Attached);
}

#[test]
fn an_object_of_an_earlier_node_gets_the_new_node_as_owner() {
    let plan = plan_at(1, "new", Some(&written()), &found(Evidence::Denied));
    assert_eq!(plan.describe(), "owner");
    assert_eq!(plan.own.unwrap().owners, [owner(&node("new"))]);
}

#[test]
fn owners_set_by_others_are_kept() {
    let theirs = OwnerReference { kind: "ConfigMap".to_owned(), ..owner(&node("x")) };
    let mut object = written();
    object.metadata.owner_references = Some(vec![theirs.clone(), owner(&node("u"))]);
    let found = found(Evidence::Denied);
    assert!(plan_at(1, "u", Some(&object), &found).is_empty());
    let plan = plan_at(1, "new", Some(&object), &found);
    assert_eq!(plan.own.unwrap().owners, [theirs, owner(&node("new"))]);
}

/// A report with that evidence. Without evidence, the report is unknown because nothing could be
/// tried.
fn booted(boot_id: &str, evidence: Evidence) -> LsmNodeStatus {
    let not_tried = json!({"name": "Loaded", "outcome": "Unknown"});
    let checks = if evidence == Evidence::None {
        vec![serde_json::from_value(not_tried).unwrap()]
    } else {
        vec![]
    };
    LsmNodeStatus { boot_id: boot_id.to_owned(), checks, ..found(evidence) }
}

/// The status after these reports, one per minute.
fn status_after(reports: &[(&str, Evidence)]) -> LsmNodeStatus {
    let mut object: Option<LsmNode> = None;
    for (at, (boot_id, evidence)) in (0..).zip(reports) {
        let plan = plan_at(at, "u", object.as_ref(), &booted(boot_id, *evidence));
        object = Some(match object {
            None => after(plan),
            Some(present) => LsmNode { status: plan.status.or(present.status.clone()), ..present },
        });
    }
    object.unwrap().status.unwrap()
}

#[test]
fn denied_since_is_the_time_of_the_last_repair_in_this_boot() {
    use Evidence::{Denied, Fired, Loaded, None as Unclear};
    for (reports, expected) in [
        // An unknown report neither shows nor hides a failure.
        (vec![("b", Denied), ("b", Unclear), ("b", Denied)], None),
        (vec![("b", Unclear), ("b", Denied)], None),
        (vec![("b", Fired), ("b", Unclear), ("b", Denied)], Some(2)),
        (vec![("b", Denied), ("b", Unclear), ("b", Fired), ("b", Unclear), ("b", Denied)], Some(4)),
        (vec![("b", Denied)], None),
        (vec![("b", Denied), ("b", Denied)], None),
        (vec![("b", Loaded), ("b", Denied)], Some(1)),
        (vec![("b", Loaded), ("b", Fired), ("b", Denied)], Some(2)),
        (vec![("a", Loaded), ("b", Denied)], None),
        (vec![("b", Loaded), ("b", Denied), ("b", Denied)], Some(1)),
        // While the node cannot deny, the time of the earlier repair is kept.
        (vec![("b", Loaded), ("b", Denied), ("b", Fired)], Some(1)),
        (vec![("b", Loaded), ("b", Denied), ("b", Fired), ("b", Denied)], Some(3)),
        (vec![("b", Denied), ("b", Fired), ("b", Denied)], Some(2)),
        (vec![("b", Loaded), ("b", Denied), ("c", Denied)], None),
    ] {
        assert_eq!(
            status_after(&reports).denied_since,
            expected.map(|at| Time(minute(at))),
            "{reports:?}"
        );
    }
}

#[test]
fn spans_in_which_the_node_could_deny_are_kept() {
    use Evidence::{Denied, Fired, Loaded};
    for (reports, expected) in [
        (vec![("b", Denied), ("b", Denied)], vec![]),
        (vec![("b", Loaded), ("b", Denied)], vec![]),
        // An unknown report does not end the span.
        (vec![("b", Denied), ("b", Evidence::None), ("b", Denied), ("b", Fired)], vec![(None, 2)]),
        // The second report of Denied does not differ and is not written: the span ends with
        // the first.
        (vec![("b", Denied), ("b", Denied), ("b", Fired), ("b", Denied)], vec![(None, 0)]),
        (vec![("b", Loaded), ("b", Denied), ("b", Fired), ("b", Denied)], vec![(Some(1), 1)]),
        (
            vec![("b", Denied), ("b", Fired), ("b", Denied), ("b", Fired), ("b", Denied)],
            vec![(None, 0), (Some(2), 2)],
        ),
        (vec![("b", Denied), ("b", Fired), ("c", Denied)], vec![]),
    ] {
        let spans: Vec<Span> = expected
            .iter()
            .map(|(from, until)| Span {
                from: from.map(|at| Time(minute(at))),
                until: Time(minute(*until)),
            })
            .collect();
        assert_eq!(status_after(&reports).denied_before, spans, "{reports:?}");
    }
}

#[test]
fn only_the_newest_spans_are_kept() {
    let reports: Vec<_> = (0..40)
        .map(|n| ("b", if n % 2 == 0 { Evidence::Denied } else { Evidence::Fired }))
        .collect();
    let spans = status_after(&reports).denied_before;
    assert_eq!((spans.len(), spans.last().unwrap().until.clone()), (SPANS, Time(minute(38))));
}

#[test]
fn an_object_without_status_gets_one() {
    let bare = LsmNode { status: None, ..written() };
    assert_eq!(plan_at(0, "u", Some(&bare), &found(Evidence::None)).describe(), "status");
}

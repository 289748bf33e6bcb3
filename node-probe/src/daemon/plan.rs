//! What to write: a pure function of the Node, the LsmNode that is there, and what was found.
//!
//! In: those, the time and the renewal period. Out: a [`Plan`], empty where nothing but time
//! differs.

use lsm_ready_crds::State;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{OwnerReference, Time};
use kube::{Resource, ResourceExt};
use lsm_ready_crds::node::{LsmNodeContent, SPANS, Span};
use lsm_ready_crds::policy::Require;
use lsm_ready_crds::verdict::Facts;
use lsm_ready_crds::{Evidence, LsmNode, LsmNodeStatus, verdict};

/// The Node that the LsmNode belongs to.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Identity {
    /// Its name.
    pub name: String,
    /// Its uid: a Node that was made anew under the old name is another one.
    pub uid: String,
}

/// Writes, in this order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// Create this object.
    pub create: Option<LsmNode>,
    /// Set these owners on the object with this resourceVersion.
    pub own: Option<(Vec<OwnerReference>, Option<String>)>,
    /// Apply this status.
    pub status: Option<LsmNodeStatus>,
}

impl Plan {
    /// There is nothing to write.
    pub fn is_empty(&self) -> bool {
        self == &Self::default()
    }

    /// What is written, in words.
    pub fn describe(&self) -> String {
        let parts = [
            (self.create.is_some(), "object"),
            (self.own.is_some(), "owner"),
            (self.status.is_some(), "status"),
        ];
        parts
            .iter()
            .filter(|(wanted, _)| *wanted)
            .map(|(_, name)| *name)
            .collect::<Vec<_>>()
            .join("+")
    }
}

/// What has to be written so that the LsmNode says `found`.
pub fn plan(
    node: &Identity,
    present: Option<&LsmNode>,
    found: &LsmNodeStatus,
    now: Timestamp,
    renew: Duration,
) -> Plan {
    let written = present.and_then(|present| present.status.as_ref());
    let status = LsmNodeStatus {
        observed_time: Some(Time(now)),
        denied_since: denied_since(written, found, now),
        refused_since: refused_since(written, found, now),
        denied_before: denied_before(written, found),
        ..found.clone()
    };
    let owner = owner(node);
    let Some(present) = present else {
        let mut create = LsmNode::new(&node.name, LsmNodeContent::default());
        create.meta_mut().owner_references = Some(vec![owner]);
        return Plan { create: Some(create), own: None, status: Some(status) };
    };
    let owners = owners(present.owner_references(), owner);
    let is_right = present.owner_references() == owners;
    Plan {
        create: None,
        own: (!is_right).then(|| (owners, present.resource_version())),
        status: is_due(present.status.as_ref(), found, now, renew).then_some(status),
    }
}

/// Since when this boot can deny, where its reports had shown before that it could not. Each such
/// repair renews it. Other reports keep it.
fn denied_since(
    written: Option<&LsmNodeStatus>,
    found: &LsmNodeStatus,
    now: Timestamp,
) -> Option<Time> {
    let written = of_this_boot(written, found)?;
    let was_refused = || written.refused_since.is_some() || is_shown_not_ready(written);
    let is_repair = found.evidence == Evidence::Denied && was_refused();
    if is_repair { Some(Time(now)) } else { written.denied_since.clone() }
}

/// Since when this boot's reports show that it cannot deny. A report that shows neither keeps it.
fn refused_since(
    written: Option<&LsmNodeStatus>,
    found: &LsmNodeStatus,
    now: Timestamp,
) -> Option<Time> {
    if found.evidence == Evidence::Denied {
        return None;
    }
    let before = of_this_boot(written, found).and_then(|written| written.refused_since.clone());
    before.or_else(|| is_shown_not_ready(found).then_some(Time(now)))
}

fn is_shown_not_ready(report: &LsmNodeStatus) -> bool {
    let facts = Facts { boot_id: &report.boot_id, report: Some(report), profile: None };
    verdict(&Require::default(), facts).state == State::NotReady
}

/// The spans of this boot in which it could deny. One ends with the last report that said so; when
/// Denied comes back without a repair, the same span goes on, and a later end replaces this one.
fn denied_before(written: Option<&LsmNodeStatus>, found: &LsmNodeStatus) -> Vec<Span> {
    let Some(written) = of_this_boot(written, found) else {
        return Vec::new();
    };
    let mut spans = written.denied_before.clone();
    let ends = written.evidence == Evidence::Denied && found.evidence != Evidence::Denied;
    let Some(until) = written.observed_time.clone().filter(|_| ends) else {
        return spans;
    };
    let from = written.denied_since.clone();
    spans.retain(|span| span.from != from);
    spans.push(Span { from, until });
    let surplus = spans.len().saturating_sub(SPANS);
    spans.drain(..surplus);
    spans
}

fn of_this_boot<'a>(
    written: Option<&'a LsmNodeStatus>,
    found: &LsmNodeStatus,
) -> Option<&'a LsmNodeStatus> {
    written.filter(|written| written.boot_id == found.boot_id)
}

/// It differs in more than time, or was last written a renewal period ago (or in the future, by a
/// clock since set back).
fn is_due(
    written: Option<&LsmNodeStatus>,
    found: &LsmNodeStatus,
    now: Timestamp,
    renew: Duration,
) -> bool {
    let Some(written) = written.filter(|written| written.equal_but_for_time(found)) else {
        return true;
    };
    let Some(Time(then)) = &written.observed_time else {
        return true;
    };
    Duration::try_from(now.duration_since(*then)).map_or(true, |age| age >= renew)
}

/// The owners there should be: those that somebody else has set stay, of Nodes there is only ours.
fn owners(present: &[OwnerReference], ours: OwnerReference) -> Vec<OwnerReference> {
    if present.contains(&ours) && present.iter().filter(|owner| is_node(owner)).count() == 1 {
        return present.to_vec();
    }
    present.iter().filter(|owner| !is_node(owner)).cloned().chain([ours]).collect()
}

fn is_node(owner: &OwnerReference) -> bool {
    owner.api_version == "v1" && owner.kind == "Node"
}

/// The Node as owner. Without blockOwnerDeletion, which would take the right to set finalizers on
/// Nodes.
fn owner(node: &Identity) -> OwnerReference {
    OwnerReference {
        api_version: "v1".to_owned(),
        kind: "Node".to_owned(),
        name: node.name.clone(),
        uid: node.uid.clone(),
        controller: None,
        block_owner_deletion: None,
    }
}

#[cfg(test)]
mod tests {
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

    /// The LsmNode after the plan was carried out.
    fn after(plan: Plan) -> LsmNode {
        LsmNode { status: plan.status, ..plan.create.unwrap() }
    }

    fn written() -> LsmNode {
        after(plan(&node("u"), None, &found(Evidence::Denied), minute(0), RENEW))
    }

    #[test]
    fn a_missing_object_is_created_with_its_owner_and_status() {
        let plan = plan(&node("u"), None, &found(Evidence::Denied), minute(0), RENEW);
        assert_eq!(plan.describe(), "object+status");
        let owners = plan.create.unwrap().metadata.owner_references.unwrap();
        assert_eq!((owners[0].uid.as_str(), owners[0].block_owner_deletion), ("u", None));
        assert_eq!(plan.status.unwrap().observed_time, Some(Time(minute(0))));
    }

    #[test]
    fn nothing_is_written_while_only_time_passes() {
        let plan = plan(&node("u"), Some(&written()), &found(Evidence::Denied), minute(29), RENEW);
        assert!(plan.is_empty(), "{plan:?}");
    }

    #[test]
    fn it_is_renewed_after_the_period_and_when_the_clock_was_set_back() {
        for at in [30, 31, -1] {
            let plan =
                plan(&node("u"), Some(&written()), &found(Evidence::Denied), minute(at), RENEW);
            assert_eq!(plan.describe(), "status", "minute {at}");
        }
    }

    #[test]
    fn a_change_is_written_at_once() {
        let plan = plan(&node("u"), Some(&written()), &found(Evidence::Attached), minute(1), RENEW);
        assert_eq!(plan.status.unwrap().evidence, Evidence::Attached);
    }

    #[test]
    fn an_object_of_an_earlier_node_gets_its_owner_set_right() {
        let plan = plan(&node("new"), Some(&written()), &found(Evidence::Denied), minute(1), RENEW);
        assert_eq!(plan.describe(), "owner");
        assert_eq!(plan.own.unwrap().0, [owner(&node("new"))]);
    }

    #[test]
    fn owners_that_others_have_set_stay() {
        let theirs = OwnerReference { kind: "ConfigMap".to_owned(), ..owner(&node("x")) };
        let mut object = written();
        object.metadata.owner_references = Some(vec![theirs.clone(), owner(&node("u"))]);
        let found = found(Evidence::Denied);
        assert!(plan(&node("u"), Some(&object), &found, minute(1), RENEW).is_empty());
        let plan = plan(&node("new"), Some(&object), &found, minute(1), RENEW);
        assert_eq!(plan.own.unwrap().0, [theirs, owner(&node("new"))]);
    }

    /// A report with that evidence; with none, one that does not know, as it could not try.
    fn booted(boot_id: &str, evidence: Evidence) -> LsmNodeStatus {
        let not_tried = json!({"name": "Loaded", "outcome": "Unknown"});
        let checks = if evidence == Evidence::None {
            vec![serde_json::from_value(not_tried).unwrap()]
        } else {
            vec![]
        };
        LsmNodeStatus { boot_id: boot_id.to_owned(), checks, ..found(evidence) }
    }

    /// The status after these reports, one a minute.
    fn told(reports: &[(&str, Evidence)]) -> LsmNodeStatus {
        let mut object: Option<LsmNode> = None;
        for (minute_, (boot_id, evidence)) in (0..).zip(reports) {
            let plan = plan(
                &node("u"),
                object.as_ref(),
                &booted(boot_id, *evidence),
                minute(minute_),
                RENEW,
            );
            object = Some(match object {
                None => after(plan),
                Some(present) => {
                    LsmNode { status: plan.status.or(present.status.clone()), ..present }
                }
            });
        }
        object.unwrap().status.unwrap()
    }

    #[test]
    fn each_repair_in_a_boot_is_dated() {
        use Evidence::{Denied, Fired, Loaded, None as Unclear};
        for (reports, expected) in [
            // A report that does not know shows nothing, and hides nothing that was shown before.
            (vec![("b", Denied), ("b", Unclear), ("b", Denied)], None),
            (vec![("b", Unclear), ("b", Denied)], None),
            (vec![("b", Fired), ("b", Unclear), ("b", Denied)], Some(2)),
            (
                vec![("b", Denied), ("b", Unclear), ("b", Fired), ("b", Unclear), ("b", Denied)],
                Some(4),
            ),
            (vec![("b", Denied)], None),
            (vec![("b", Denied), ("b", Denied)], None),
            (vec![("b", Loaded), ("b", Denied)], Some(1)),
            (vec![("b", Loaded), ("b", Fired), ("b", Denied)], Some(2)),
            (vec![("a", Loaded), ("b", Denied)], None),
            (vec![("b", Loaded), ("b", Denied), ("b", Denied)], Some(1)),
            // While it cannot deny, the repair before is still told.
            (vec![("b", Loaded), ("b", Denied), ("b", Fired)], Some(1)),
            (vec![("b", Loaded), ("b", Denied), ("b", Fired), ("b", Denied)], Some(3)),
            (vec![("b", Denied), ("b", Fired), ("b", Denied)], Some(2)),
            (vec![("b", Loaded), ("b", Denied), ("c", Denied)], None),
        ] {
            assert_eq!(
                told(&reports).denied_since,
                expected.map(|at| Time(minute(at))),
                "{reports:?}"
            );
        }
    }

    #[test]
    fn the_spans_before_a_repair_are_kept() {
        use Evidence::{Denied, Fired, Loaded};
        for (reports, expected) in [
            (vec![("b", Denied), ("b", Denied)], vec![]),
            (vec![("b", Loaded), ("b", Denied)], vec![]),
            // It goes on where nothing was shown in between.
            (
                vec![("b", Denied), ("b", Evidence::None), ("b", Denied), ("b", Fired)],
                vec![(None, 2)],
            ),
            // The second report of Denied is not written, as nothing differs, so the span ends with
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
            assert_eq!(told(&reports).denied_before, spans, "{reports:?}");
        }
    }

    #[test]
    fn no_more_spans_are_kept_than_a_report_may_have() {
        let reports: Vec<_> = (0..40)
            .map(|n| ("b", if n % 2 == 0 { Evidence::Denied } else { Evidence::Fired }))
            .collect();
        let spans = told(&reports).denied_before;
        assert_eq!((spans.len(), spans.last().unwrap().until.clone()), (SPANS, Time(minute(38))));
    }

    #[test]
    fn an_object_without_status_gets_one() {
        let bare = LsmNode { status: None, ..written() };
        assert_eq!(
            plan(&node("u"), Some(&bare), &found(Evidence::None), minute(0), RENEW).describe(),
            "status"
        );
    }
}

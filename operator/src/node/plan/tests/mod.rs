//! Tables and properties of the node plan.

mod taints;

use std::sync::Arc;

use super::*;
use crate::node::judge::judge;
use crate::node::required::AllRequired;
use crate::tracing_policies::snapshot;
use crate::tracing_policies::snapshot::Snapshot;
use crate::tracing_policies::snapshot::tests::{entry, listed};
use crate::watch::store::labels_for_selecting;
use lsm_ready_crds::fixture;
use lsm_ready_crds::names::policy_label;
use lsm_ready_crds::node::{LsmSource, Lsms};
use lsm_ready_crds::verdict::Facts;
use lsm_ready_crds::{Evidence, LsmNodeStatus, LsmPolicy, LsmPolicySpec};
use proptest::prelude::*;
use serde_json::{Value, json};

const BOOT: &str = "b00t";

fn node(labels: &Value, taints: &Value, conditions: &Value) -> Node {
    serde_json::from_value(json!({
        "metadata": {"name": "n1", "uid": "u1", "resourceVersion": "7", "labels": labels},
        "spec": {"taints": taints},
        "status": {"conditions": conditions, "nodeInfo": {
            "bootID": BOOT, "operatingSystem": "linux", "architecture": "", "osImage": "",
            "containerRuntimeVersion": "", "kernelVersion": "", "kubeProxyVersion": "",
            "kubeletVersion": "", "machineID": "", "systemUUID": ""}},
    }))
    .unwrap()
}

fn linux() -> Node {
    node(&json!({"kubernetes.io/os": "linux"}), &json!([]), &json!([]))
}

fn report(evidence: &str, reason: &str) -> LsmNodeStatus {
    LsmNodeStatus {
        message: "because".to_owned(),
        fix: "do".to_owned(),
        observed_time: Some(Time("2026-01-01T00:00:00Z".parse().unwrap())),
        lsms: Lsms { active: vec!["bpf".to_owned()], source: LsmSource::Securityfs },
        ..fixture::report(BOOT, fixture::evidence(evidence), reason)
    }
}

fn policy(name: &str, spec: Value) -> Arc<LsmPolicy> {
    let spec: LsmPolicySpec = serde_json::from_value(spec).unwrap();
    Arc::new(LsmPolicy::new(name, spec))
}

fn now() -> Timestamp {
    "2026-01-01T00:10:00Z".parse().unwrap()
}

fn plan(
    node: &Node,
    facts: Facts<'_>,
    policies: &[Arc<LsmPolicy>],
    tetragons: &Snapshot,
    now: Timestamp,
) -> Plan {
    let required = AllRequired::of(policies, tetragons);
    let is_reported = facts.report.is_some();
    let labels = labels_for_selecting(node, is_reported);
    let Some(judged) = judge(node, &labels, facts, required.selecting(&labels), 0, now) else {
        return without_ours(node);
    };
    super::plan(
        node,
        &judged,
        &Moves { is_held: false, remembered: None, may_taint: &|_| true },
        now,
    )
}

fn facts(report: Option<&LsmNodeStatus>) -> Facts<'_> {
    Facts { boot_id: BOOT, report, profile: None }
}

/// The Node after the plan was written.
pub(crate) fn applied(node: &Node, plan: &Plan) -> Node {
    let mut node = node.clone();
    let labels = node.metadata.labels.get_or_insert_default();
    for (key, value) in &plan.labels {
        match value {
            Some(value) => drop(labels.insert(key.clone(), value.clone())),
            None => drop(labels.remove(key)),
        }
    }
    if let Some(taints) = &plan.taints {
        node.spec.get_or_insert_default().taints = Some(taints.clone());
    }
    if let Some(condition) = &plan.condition {
        let conditions = node.status.get_or_insert_default().conditions.get_or_insert_default();
        conditions.retain(|present| present.type_ != condition.type_);
        conditions.push(condition.clone());
    }
    node
}

fn label<'a>(plan: &'a Plan, key: &str) -> Option<&'a str> {
    plan.labels.get(key).and_then(|value| value.as_deref())
}

#[test]
fn the_bpf_label_shows_what_this_boot_proved() {
    let denied = report("Denied", "CanaryDenied");
    let attached = report("Attached", "BpfNotInLsmList");
    let mut earlier = denied.clone();
    earlier.boot_id = "another".into();
    let mut untried = report("None", "MissingCapability");
    untried.checks =
        serde_json::from_value(json!([{"name": "Loaded", "outcome": "Unknown"}])).unwrap();
    let table = [
        ("denied", Some(&denied), "true", "True", "CanaryDenied"),
        ("never fired", Some(&attached), "false", "False", "BpfNotInLsmList"),
        ("could not be tried", Some(&untried), "unknown", "Unknown", "MissingCapability"),
        ("of an earlier boot", Some(&earlier), "unknown", "Unknown", "ReportFromEarlierBoot"),
        ("no report", None, "unknown", "Unknown", "NoReport"),
    ];
    for (what, report, value, status, reason) in table {
        let plan = plan(&linux(), facts(report), &[], &Snapshot::default(), now());
        assert_eq!(label(&plan, BPF_LABEL), Some(value), "{what}");
        let condition = plan.condition.unwrap();
        assert_eq!(
            (condition.status.as_str(), condition.reason.as_deref()),
            (status, Some(reason)),
            "{what}"
        );
    }
}

#[test]
fn a_policy_labels_exactly_the_nodes_it_selects() {
    let policies = [
        policy("enforce", json!({})),
        policy("apparmor", json!({"require": {"lsms": ["apparmor"]}})),
        policy("elsewhere", json!({"nodeSelector": {"matchLabels": {"zone": "b"}}})),
        policy(
            "nonsense",
            json!({"nodeSelector": {"matchExpressions": [{"key": "a", "operator": "Near"}]}}),
        ),
    ];
    let report = report("Denied", "CanaryDenied");
    let plan = plan(&linux(), facts(Some(&report)), &policies, &Snapshot::default(), now());
    assert_eq!(label(&plan, &policy_label("enforce")), Some("ready"));
    assert_eq!(label(&plan, &policy_label("apparmor")), Some("not-ready"));
    assert_eq!(plan.labels.len(), 3, "bpf and two policies: {:?}", plan.labels);
}

#[test]
fn a_deleted_policy_removes_its_labels_and_no_others() {
    let old = policy_label("deleted");
    let node = node(
        &json!({"kubernetes.io/os": "linux", "team": "a", old.as_str(): "ready"}),
        &json!([]),
        &json!([]),
    );
    let plan = plan(&node, facts(None), &[], &Snapshot::default(), now());
    assert_eq!(plan.labels.get(&old), Some(&None));
    assert!(!plan.labels.contains_key("team"));
}

#[test]
fn a_silent_probe_changes_the_reason_but_no_label_and_no_status() {
    let report = report("Denied", "CanaryDenied");
    let before = plan(&linux(), facts(Some(&report)), &[], &Snapshot::default(), now());
    assert_eq!(before.stale_in, Some(Duration::from_mins(80)));
    let node = applied(&linux(), &before);
    let late = "2026-01-01T01:30:00Z".parse().unwrap();
    let after = plan(&node, facts(Some(&report)), &[], &Snapshot::default(), late);
    assert!(after.labels.is_empty() && after.taints.is_none());
    let condition = after.condition.unwrap();
    assert_eq!(
        (condition.status.as_str(), condition.reason.as_deref()),
        ("True", Some("ProbeSilent")),
        "evidence holds for the whole boot"
    );
    let message = condition.message.unwrap();
    assert!(message.contains("has not reported since 2026-01-01T00:00:00Z"), "{message}");
    let earlier = LsmNodeStatus { boot_id: "another".into(), ..report };
    let condition =
        plan(&node, facts(Some(&earlier)), &[], &Snapshot::default(), late).condition.unwrap();
    assert_eq!(
        condition.reason.as_deref(),
        Some("ReportFromEarlierBoot"),
        "a report of another boot cannot become stale"
    );
}

#[test]
fn a_windows_node_loses_our_labels_and_gets_none() {
    let old =
        node(&json!({"kubernetes.io/os": "windows", BPF_LABEL: "unknown"}), &json!([]), &json!([]));
    let plan = plan(
        &old,
        facts(None),
        &[policy("a", json!({"nodeSelector": {}}))],
        &Snapshot::default(),
        now(),
    );
    assert_eq!(plan.labels, BTreeMap::from([(BPF_LABEL.to_owned(), None)]));
    assert!(plan.condition.is_none());
}

/// A kubelet writes its whole status, and can repeat our condition in it.
#[test]
fn a_condition_that_is_there_twice_is_written_once_more() {
    let report = report("Denied", "CanaryDenied");
    let changes =
        |node: &Node| plan(node, facts(Some(&report)), &[], &Snapshot::default(), now()).condition;
    let first = plan(&linux(), facts(Some(&report)), &[], &Snapshot::default(), now());
    let node = applied(&linux(), &first);
    assert_eq!(changes(&node), None);
    for status in ["True", "False"] {
        let mut node = node.clone();
        let conditions = node.status.as_mut().unwrap().conditions.as_mut().unwrap();
        conditions.push(NodeCondition { status: status.into(), ..conditions[0].clone() });
        assert_eq!(changes(&node).map(|condition| condition.status), Some("True".to_owned()));
    }
}

/// Otherwise a kubelet could have its condition written with each value that it sets.
#[test]
fn the_value_of_an_ignored_label_changes_nothing() {
    let report = report("Denied", "CanaryDenied");
    let changes = |os: &str| {
        let node = node(&json!({"kubernetes.io/os": os}), &json!([]), &json!([]));
        plan(&node, facts(Some(&report)), &[], &Snapshot::default(), now()).condition.unwrap()
    };
    assert!(changes("windows").message.unwrap().contains("is ignored"));
    assert_eq!(changes("windows"), changes("plan9"));
}

#[test]
fn a_condition_with_a_new_reason_keeps_its_transition_time() {
    let first = plan(
        &linux(),
        facts(Some(&report("None", "LoadFailed"))),
        &[],
        &Snapshot::default(),
        now(),
    );
    let since = first.condition.clone().unwrap().last_transition_time;
    let later = "2026-01-01T00:20:00Z".parse().unwrap();
    let other = report("None", "ListedButRefused");
    let second =
        plan(&applied(&linux(), &first), facts(Some(&other)), &[], &Snapshot::default(), later)
            .condition
            .unwrap();
    assert_eq!(second.last_transition_time, since);
    assert_eq!(second.reason.as_deref(), Some("ListedButRefused"));
}

prop_compose! {
    fn any_policy()(
        name in "[a-c]",
        lsm in prop::option::of("bpf|yama"),
        taint in prop::option::of("NoSchedule|PreferNoSchedule"),
        key in prop::sample::select(&TAINT_KEYS[..]),
        everywhere: bool,
    ) -> Arc<LsmPolicy> {
        let mut spec = json!({"require": {"lsms": lsm.into_iter().collect::<Vec<_>>()}});
        if let Some(effect) = taint { spec["taint"] = json!({"effect": effect, "key": key}); }
        if everywhere { spec["nodeSelector"] = json!({}); }
        policy(&name, spec)
    }
}

/// Policies with different names.
fn any_policies() -> impl Strategy<Value = Vec<Arc<LsmPolicy>>> {
    prop::collection::vec(any_policy(), 0..4).prop_map(|mut policies| {
        policies.sort_by_key(|policy| policy.name_any());
        policies.dedup_by_key(|policy| policy.name_any());
        policies
    })
}

prop_compose! {
    fn any_report()(
        evidence in "None|Loaded|Attached|Fired|Denied",
        boot in "b00t|other",
        there: bool,
    ) -> Option<LsmNodeStatus> {
        let reason = if evidence == "Denied" { "CanaryDenied" } else { "R" };
        let mut report = report(&evidence, reason);
        report.boot_id = boot;
        there.then_some(report)
    }
}

/// The new label of a policy that requires the TracingPolicies of tier `enforce`.
fn required(tetragons: &Snapshot, present: &str) -> Option<String> {
    let selector = json!({"matchLabels": {"tier": "enforce"}});
    let policies =
        [policy("enforce", json!({"nodeSelector": {}, "require": {"tracingPolicies": selector}}))];
    let key = policy_label("enforce");
    let node = node(&json!({"kubernetes.io/os": "linux", &key: present}), &json!([]), &json!([]));
    let mut report = report("Denied", "CanaryDenied");
    report.hook_profile = Some("d".into());
    report.checks.push(fixture::kernel_reads(State::Ready));
    let profile = serde_json::from_value(
        json!({"kernel": "k", "hooks": ["file_open"], "sleepableHooks": []}),
    )
    .unwrap();
    let facts = Facts { boot_id: BOOT, report: Some(&report), profile: Some(&profile) };
    let plan = plan(&node, facts, &policies, tetragons, now());
    plan.labels.get(&key).map(|value| value.clone().unwrap_or_default())
}

#[test]
fn tracing_policies_change_a_label_only_by_their_requirements() {
    let asking = |hook: &str| listed([entry("p", "enforce", &[hook], &serde_json::Value::Null)]);
    assert_eq!(required(&asking("file_open"), "ready"), None);
    assert_eq!(required(&asking("file_opn"), "ready"), Some("not-ready".into()));
    assert_eq!(required(&listed([]), "ready"), None, "no selected policy requires nothing");
    assert_eq!(
        required(&Snapshot::default(), "ready"),
        Some("unknown".into()),
        "an unknown requirement is never ready"
    );
    // A right that is revoked after the first list changes nothing.
    let (known, writer) = snapshot::channel();
    let (name, object) = entry("p", "enforce", &["file_open"], &serde_json::Value::Null);
    writer.listed(0, std::collections::BTreeMap::from([(name, object)]));
    writer.absent(1);
    writer.failed(0, snapshot::ReadError::Forbidden("tracingpolicies"));
    assert_eq!(required(&known.snapshot(), "ready"), None);
}

proptest! {
    /// After one write, the same facts need no further write.
    #[test]
    fn the_second_plan_is_empty(
        report in any_report(),
        policies in any_policies(),
        tainted: bool,
    ) {
        let taints = if tainted { json!([taints::our_taint("NoSchedule")]) } else { json!([]) };
        let labels = json!({"kubernetes.io/os": "linux", policy_label("z"): "ready"});
        let node = node(&labels, &taints, &json!([]));
        let planned = |node: &Node| {
            plan(node, facts(report.as_ref()), &policies, &Snapshot::default(), now())
        };
        let second = planned(&applied(&node, &planned(&node)));
        prop_assert!(second.labels.is_empty(), "{:?}", second);
        prop_assert!(second.taints.is_none() && second.condition.is_none(), "{:?}", second);
    }

    /// No label says ready without proof, and only our labels are changed.
    #[test]
    fn a_ready_label_needs_the_evidence_denied_in_this_boot(
        report in any_report(),
        policies in prop::collection::vec(any_policy(), 0..4),
    ) {
        let plan = plan(&linux(), facts(report.as_ref()), &policies, &Snapshot::default(), now());
        let proved = report.is_some_and(|r| r.boot_id == BOOT && r.evidence == Evidence::Denied);
        for (key, value) in &plan.labels {
            prop_assert!(key.starts_with(NODE_LABEL_PREFIX));
            let claims = matches!(value.as_deref(), Some("true" | "ready"));
            prop_assert!(!claims || proved, "{} without proof", key);
        }
    }
}

/// A policy whose spec was never parsed may have asked for its label and the taint.
#[test]
fn labels_and_taints_of_an_unread_policy_stay() {
    let labels = json!({"kubernetes.io/os": "linux", policy_label("unread"): "ready",
        policy_label("gone"): "ready"});
    let taints = json!([{"key": "foreign", "effect": "NoSchedule"},
        {"key": TAINT_KEYS[0], "effect": "NoSchedule"}]);
    let node = node(&labels, &taints, &json!([]));
    let planned = || plan(&node, facts(None), &[], &listed([]), now());
    let unread = planned().unless_unread(&["unread".to_owned()], &node);
    assert_eq!(unread.labels.get(&policy_label("gone")), Some(&None));
    assert_eq!(unread.labels.get(&policy_label("unread")), None);
    assert_eq!(unread.taints, None);
    let read = planned().unless_unread(&[], &node);
    assert_eq!(read.labels.get(&policy_label("unread")), Some(&None));
    assert_eq!(read.taints.unwrap().len(), 1);
}

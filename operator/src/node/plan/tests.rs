//! Tables and properties of the node plan.

use std::sync::Arc;

use super::*;
use crate::tracing_policies::snapshot;
use crate::tracing_policies::snapshot::Snapshot;
use crate::tracing_policies::snapshot::tests::{entry, listed};
use lsm_ready_crds::LsmPolicySpec;
use proptest::prelude::*;
use serde_json::{Value, json};

const BOOT: &str = "b00t";

fn node(labels: &Value, taints: &Value, conditions: &Value) -> Node {
    serde_json::from_value(json!({
        "metadata": {"name": "n1", "uid": "u1", "resourceVersion": "7", "labels": labels},
        "spec": {"taints": taints},
        "status": {"conditions": conditions, "nodeInfo": {
            "architecture": "", "bootID": BOOT, "containerRuntimeVersion": "", "kernelVersion": "", "kubeProxyVersion": "",
            "kubeletVersion": "", "machineID": "", "operatingSystem": "linux", "osImage": "", "systemUUID": ""}},
    }))
    .unwrap()
}

fn linux() -> Node {
    node(&json!({"kubernetes.io/os": "linux"}), &json!([]), &json!([]))
}

fn report(evidence: &str, reason: &str) -> LsmNodeStatus {
    serde_json::from_value(json!({
        "bootID": BOOT, "evidence": evidence, "reason": reason, "message": "because", "fix": "do",
        "observedTime": "2026-01-01T00:00:00Z", "lsms": {"active": ["bpf"], "source": "Securityfs"},
    }))
    .unwrap()
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
    super::plan(node, facts, &Required::all(policies, tetragons), now)
}

fn facts(report: Option<&LsmNodeStatus>) -> Facts<'_> {
    Facts { boot_id: BOOT, report, profile: None }
}

/// The Node after the plan was written.
fn applied(node: &Node, plan: &Plan) -> Node {
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
fn the_bpf_label_says_what_this_boot_proved() {
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
fn a_policy_labels_the_nodes_it_selects_and_no_others() {
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
fn labels_of_deleted_policies_go_and_foreign_ones_stay() {
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

fn tainting(name: &str, effect: &str) -> Arc<LsmPolicy> {
    policy(name, json!({"taint": {"effect": effect}}))
}

fn tainting_with_key(name: &str, key: TaintKey, effect: &str) -> Arc<LsmPolicy> {
    policy(name, json!({"taint": {"effect": effect, "key": key}}))
}

fn our_taint(effect: &str) -> Value {
    json!({"key": TAINT_KEYS[0], "effect": effect})
}

fn foreign_taint() -> Value {
    json!({"key": "dedicated", "effect": "NoExecute", "value": "x"})
}

/// The new list of taints of a node with that report and these taints; nothing where it stays.
fn taints(evidence: &str, policies: &[Arc<LsmPolicy>], present: &Value) -> Option<Value> {
    let node = node(&json!({"kubernetes.io/os": "linux"}), present, &json!([]));
    let report = match evidence {
        // A report of another boot: unknown.
        "unknown" => {
            LsmNodeStatus { boot_id: "another".into(), ..report("Denied", "CanaryDenied") }
        }
        evidence => report(evidence, "R"),
    };
    let plan = plan(&node, facts(Some(&report)), policies, &Snapshot::default(), now());
    plan.taints.map(|taints| serde_json::to_value(taints).unwrap())
}

#[test]
fn the_taint_is_there_while_a_policy_asks_for_it_and_the_node_is_not_ready() {
    let (no_schedule, prefer) = (tainting("a", "NoSchedule"), tainting("b", "PreferNoSchedule"));
    let (foreign, ours) = (foreign_taint(), our_taint("NoSchedule"));
    let only = std::slice::from_ref::<Arc<LsmPolicy>>;
    let both = [prefer.clone(), no_schedule.clone()];
    let weaker = our_taint("PreferNoSchedule");
    for (what, evidence, policies, present, wanted) in [
        ("not known", "unknown", only(&no_schedule), json!([]), Some(json!([ours]))),
        ("comes", "Attached", only(&no_schedule), json!([foreign]), Some(json!([foreign, ours]))),
        ("strongest", "Attached", &both, json!([]), Some(json!([ours]))),
        ("stays", "Attached", only(&no_schedule), json!([ours, foreign]), None),
        (
            "weakens",
            "Attached",
            only(&prefer),
            json!([ours, foreign]),
            Some(json!([foreign, weaker])),
        ),
        ("goes", "Denied", only(&no_schedule), json!([ours, foreign]), Some(json!([foreign]))),
        ("startup taint without a policy", "Denied", &[], json!([ours]), Some(json!([]))),
        ("both effects", "Denied", &[], json!([ours, weaker]), Some(json!([]))),
        ("nothing to do", "Denied", only(&prefer), json!([foreign]), None),
    ] {
        assert_eq!(taints(evidence, policies, &present), wanted, "{what}");
    }
}

#[test]
fn policies_with_different_taint_keys_each_keep_their_taint() {
    use TaintKey::{ClusterAutoscaler, NotReady, Readiness};
    let policies = [
        tainting_with_key("a", ClusterAutoscaler, "NoSchedule"),
        tainting_with_key("b", NotReady, "PreferNoSchedule"),
        tainting_with_key("c", Readiness, "PreferNoSchedule"),
        tainting_with_key("d", Readiness, "NoSchedule"),
    ];
    let taint = |key: TaintKey, effect: &str| json!({"key": key, "effect": effect});
    let first = taint(NotReady, "PreferNoSchedule");
    let second = taint(Readiness, "NoSchedule");
    let third = taint(ClusterAutoscaler, "NoSchedule");
    let foreign = foreign_taint();
    for (what, evidence, policies, present, wanted) in [
        (
            "all come, the stronger effect of one key",
            "Attached",
            &policies[..],
            json!([foreign]),
            Some(json!([foreign, first, second, third])),
        ),
        (
            "all stay in any order",
            "Attached",
            &policies,
            json!([third, foreign, first, second]),
            None,
        ),
        (
            "one is missing",
            "Attached",
            &policies,
            json!([third, foreign, first]),
            Some(json!([foreign, first, second, third])),
        ),
        (
            "the key of a deleted policy goes",
            "Attached",
            &policies[1..],
            json!([first, second, third, foreign]),
            Some(json!([foreign, first, second])),
        ),
        (
            "a key was changed in the policy",
            "Attached",
            &policies[..1],
            json!([first]),
            Some(json!([third])),
        ),
        (
            "all go from a ready node",
            "Denied",
            &policies,
            json!([first, second, third, foreign]),
            Some(json!([foreign])),
        ),
    ] {
        assert_eq!(taints(evidence, policies, &present), wanted, "{what}");
    }
}

#[test]
fn silence_turns_the_condition_and_no_label() {
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
        ("Unknown", Some("ProbeSilent"))
    );
    let earlier = LsmNodeStatus { boot_id: "another".into(), ..report };
    let condition =
        plan(&node, facts(Some(&earlier)), &[], &Snapshot::default(), late).condition.unwrap();
    assert_eq!(
        condition.reason.as_deref(),
        Some("ReportFromEarlierBoot"),
        "silence is only of the present boot"
    );
}

#[test]
fn a_windows_node_is_left_alone_and_cleaned() {
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

#[test]
fn a_condition_that_only_rewords_keeps_its_time() {
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

prop_compose! {
    fn any_report()(evidence in "None|Loaded|Attached|Fired|Denied", boot in "b00t|other", there: bool) -> Option<LsmNodeStatus> {
        let mut report = report(&evidence, "R");
        report.boot_id = boot;
        there.then_some(report)
    }
}

/// The label of a policy that requires the TracingPolicies of tier `enforce`, by what is known of those.
fn required(tetragons: &Snapshot, present: &str) -> Option<String> {
    let selector = json!({"matchLabels": {"tier": "enforce"}});
    let policies =
        [policy("enforce", json!({"nodeSelector": {}, "require": {"tracingPolicies": selector}}))];
    let key = policy_label("enforce");
    let node = node(&json!({"kubernetes.io/os": "linux", &key: present}), &json!([]), &json!([]));
    let mut report = report("Denied", "CanaryDenied");
    report.hook_profile = Some("d".into());
    report.checks =
        serde_json::from_value(json!([{"name": "KernelReads", "outcome": "Pass"}])).unwrap();
    let profile = serde_json::from_value(
        json!({"kernel": "k", "hooks": ["file_open"], "sleepableHooks": []}),
    )
    .unwrap();
    let facts = Facts { boot_id: BOOT, report: Some(&report), profile: Some(&profile) };
    let plan = plan(&node, facts, &policies, tetragons, now());
    plan.labels.get(&key).map(|value| value.clone().unwrap_or_default())
}

#[test]
fn tetragons_policies_move_a_label_only_by_what_they_ask_for() {
    let asking = |hook: &str| listed([entry("p", "enforce", &[hook], &serde_json::Value::Null)]);
    assert_eq!(required(&asking("file_open"), "ready"), None);
    assert_eq!(required(&asking("file_opn"), "ready"), Some("not-ready".into()));
    assert_eq!(required(&listed([]), "ready"), None, "who selects none asks for nothing");
    assert_eq!(
        required(&Snapshot::default(), "ready"),
        Some("unknown".into()),
        "never ready by not knowing"
    );
    // A right that is taken away after the list moves nothing.
    let (known, writer) = snapshot::channel();
    let (name, object) = entry("p", "enforce", &["file_open"], &serde_json::Value::Null);
    writer.listed(0, std::collections::BTreeMap::from([(name, object)]));
    writer.absent(1);
    writer.failed(0, snapshot::ReadError::Forbidden("tracingpolicies"));
    assert_eq!(required(&known.snapshot(), "ready"), None);
}

proptest! {
    /// Once written, the same facts ask for no further write.
    #[test]
    fn settles_in_one_step(report in any_report(), policies in prop::collection::vec(any_policy(), 0..4), tainted: bool) {
        let taints = if tainted { json!([our_taint("NoSchedule")]) } else { json!([]) };
        let node = node(&json!({"kubernetes.io/os": "linux", policy_label("z"): "ready"}), &taints, &json!([]));
        let first = plan(&node, facts(report.as_ref()), &policies, &Snapshot::default(), now());
        let second = plan(&applied(&node, &first), facts(report.as_ref()), &policies, &Snapshot::default(), now());
        prop_assert!(second.labels.is_empty() && second.taints.is_none() && second.condition.is_none(), "{:?}", second);
    }

    /// Each key's taint is there exactly while a policy with that key selects the node and the node is
    /// not ready for it. Foreign taints stay as they are.
    #[test]
    fn each_key_follows_its_own_policies(
        evidence in "Attached|Denied|unknown",
        policies in prop::collection::vec(any_policy(), 0..5),
        present in prop::collection::vec(
            (prop::sample::select(&TAINT_KEYS[..]), "NoSchedule|PreferNoSchedule|NoExecute"), 0..4),
    ) {
        let present: Vec<Value> =
            present.iter().map(|(key, effect)| json!({"key": key, "effect": effect})).chain([foreign_taint()]).collect();
        let present = Value::Array(present);
        let after = taints(&evidence, &policies, &present).unwrap_or(present);
        let after = after.as_array().unwrap();
        for key in TAINT_KEYS {
            let effects = policies.iter().filter_map(|policy| {
                let ready = evidence == "Denied" && !policy.spec.require.lsms.contains(&"yama".to_owned());
                policy.spec.taint.as_ref().filter(|taint| !ready && taint.key.as_str() == key).map(|taint| taint.effect)
            });
            let wanted: Vec<&str> = effects.max().iter().map(|effect| effect.as_str()).collect();
            let found: Vec<&str> =
                after.iter().filter(|taint| taint["key"] == key).filter_map(|taint| taint["effect"].as_str()).collect();
            prop_assert_eq!(found, wanted, "{}", key);
        }
        prop_assert!(after.contains(&foreign_taint()));
    }

    /// Never a false ready, and never a name that is not ours.
    #[test]
    fn ready_needs_denied_in_this_boot(report in any_report(), policies in prop::collection::vec(any_policy(), 0..4)) {
        let plan = plan(&linux(), facts(report.as_ref()), &policies, &Snapshot::default(), now());
        let proved = report.is_some_and(|r| r.boot_id == BOOT && r.evidence == lsm_ready_crds::Evidence::Denied);
        for (key, value) in &plan.labels {
            prop_assert!(key.starts_with(NODE_LABEL_PREFIX));
            let claims = matches!(value.as_deref(), Some("true" | "ready"));
            prop_assert!(!claims || proved, "{} without proof", key);
        }
    }
}

//! Which taints a Node gets, by policies, keys and effects.

use super::*;

fn tainting(name: &str, effect: &str) -> Arc<LsmPolicy> {
    policy(name, json!({"taint": {"effect": effect}}))
}

fn tainting_with_key(name: &str, key: TaintKey, effect: &str) -> Arc<LsmPolicy> {
    policy(name, json!({"taint": {"effect": effect, "key": key}}))
}

pub(super) fn our_taint(effect: &str) -> Value {
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
        "Denied" => report("Denied", "CanaryDenied"),
        evidence => report(evidence, "R"),
    };
    let plan = plan(&node, facts(Some(&report)), policies, &Snapshot::default(), now());
    plan.taints.map(|taints| serde_json::to_value(taints).unwrap())
}

#[test]
fn a_node_has_the_taint_while_a_policy_asks_for_it_and_the_node_is_not_ready() {
    let (no_schedule, prefer) = (tainting("a", "NoSchedule"), tainting("b", "PreferNoSchedule"));
    let (foreign, ours) = (foreign_taint(), our_taint("NoSchedule"));
    let only = std::slice::from_ref::<Arc<LsmPolicy>>;
    let both = [prefer.clone(), no_schedule.clone()];
    let weaker = our_taint("PreferNoSchedule");
    let evicting = our_taint("NoExecute");
    let with_value =
        |value: &str| json!({"key": TAINT_KEYS[0], "effect": "NoSchedule", "value": value});
    let (valued, empty) = (with_value("true"), with_value(""));
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
        ("with a value", "Attached", only(&no_schedule), json!([valued]), Some(json!([ours]))),
        ("an empty value", "Attached", only(&no_schedule), json!([empty]), None),
        ("no longer needed", "Denied", only(&no_schedule), json!([valued]), Some(json!([]))),
        ("evicts", "Attached", only(&no_schedule), json!([evicting]), Some(json!([ours]))),
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
    let all = json!([foreign, first, second, third]);
    let (changed, without_a) = (json!([first]), json!([foreign, first, second]));
    for (what, evidence, policies, present, wanted) in [
        ("all come", "Attached", &policies[..], json!([foreign]), Some(all.clone())),
        ("any order stays", "Attached", &policies, json!([third, foreign, first, second]), None),
        ("a missing one comes", "Attached", &policies, without_a.clone(), Some(all.clone())),
        ("a deleted policy", "Attached", &policies[1..], all.clone(), Some(without_a)),
        ("another key in the policy", "Attached", &policies[..1], changed, Some(json!([third]))),
        ("a ready node", "Denied", &policies, all, Some(json!([foreign]))),
    ] {
        assert_eq!(taints(evidence, policies, &present), wanted, "{what}");
    }
}

proptest! {
    /// Each key's taint is there exactly while a policy with that key selects the node and the node
    /// is not ready for it. Foreign taints stay as they are.
    #[test]
    fn each_key_follows_its_own_policies(
        evidence in "Attached|Denied|unknown",
        policies in prop::collection::vec(any_policy(), 0..5),
        present in prop::collection::vec(
            (prop::sample::select(&TAINT_KEYS[..]), "NoSchedule|PreferNoSchedule|NoExecute"), 0..4),
    ) {
        let present = present.iter().map(|(key, effect)| json!({"key": key, "effect": effect}));
        let present = Value::Array(present.chain([foreign_taint()]).collect());
        let after = taints(&evidence, &policies, &present).unwrap_or(present);
        let after = after.as_array().unwrap();
        for key in TAINT_KEYS {
            let unready = policies.iter().filter(|policy| {
                let requires_yama = policy.spec.require.lsms.contains(&"yama".to_owned());
                evidence != "Denied" || requires_yama
            });
            let effect = unready
                .filter_map(|policy| policy.spec.taint.as_ref())
                .filter(|taint| taint.key.as_str() == key)
                .map(|taint| taint.effect)
                .max();
            let wanted: Vec<&str> = effect.iter().map(|effect| effect.as_str()).collect();
            let ours = after.iter().filter(|taint| taint["key"] == key);
            let found: Vec<&str> = ours.filter_map(|taint| taint["effect"].as_str()).collect();
            prop_assert_eq!(found, wanted, "{}", key);
        }
        prop_assert!(after.contains(&foreign_taint()));
    }
}

use serde_json::json;

use super::*;

fn object(value: Value) -> DynamicObject {
    serde_json::from_value(value).unwrap()
}

fn installation() -> Installation {
    Installation { namespace: "lsm-ready-system".into(), keep_job: false }
}

fn binding(name: &str, subjects: &Value) -> DynamicObject {
    object(json!({"metadata": {"name": name, "namespace": "kube-system"}, "subjects": subjects}))
}

#[test]
fn a_binding_is_ours_by_its_subjects() {
    let operator = json!({"kind": "ServiceAccount", "name": "lsm-ready-operator",
        "namespace": "lsm-ready-system"});
    let foreign = json!({"kind": "ServiceAccount", "name": "x", "namespace": "default"});
    let person = json!({"kind": "User", "name": "jane"});
    for (name, subjects, expected) in [
        ("lsm-ready-agents", json!([operator]), true),
        ("named-by-a-person", json!([operator]), true),
        ("named-by-a-person", json!([operator, foreign]), false),
        ("named-by-a-person", json!([]), false),
        // A person keeps a binding to a role of ours: it gives nothing without the role.
        ("lsm-ready-editors", json!([person]), false),
    ] {
        let found = installation().has(Sign::Subjects, &binding(name, &subjects));
        assert_eq!(found, expected, "{name} {subjects}");
    }
}

#[test]
fn a_namespace_is_deleted_only_with_our_label() {
    let label = json!({"app.kubernetes.io/part-of": "lsm-ready"});
    for (name, labels, expected) in [
        ("lsm-ready-system", &label, true),
        ("lsm-ready-system", &json!({}), false),
        ("default", &label, false),
    ] {
        let namespace = object(json!({"metadata": {"name": name, "labels": labels}}));
        assert_eq!(installation().has(Sign::Label, &namespace), expected, "{name} {labels}");
    }
}

#[test]
fn a_crd_is_ours_by_its_group() {
    for (group, expected) in [("lsmready.io", true), ("cilium.io", false)] {
        let crd = object(json!({"metadata": {"name": "x"}, "spec": {"group": group}}));
        assert_eq!(installation().has(Sign::Group, &crd), expected);
    }
}

#[test]
fn the_job_keeps_its_own_objects() {
    let role = object(json!({"metadata": {"name": "lsm-ready-cleanup"}}));
    assert!(installation().has(Sign::Name, &role));
    let job = Installation { keep_job: true, ..installation() };
    assert!(!job.has(Sign::Name, &role));
    assert!(job.has(Sign::Name, &object(json!({"metadata": {"name": "lsm-ready-operator"}}))));
}

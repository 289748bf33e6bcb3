use lsm_ready_crds::fixture;
use serde_json::{Value, json};

use super::*;

const NOW: &str = "2026-01-01T12:00:00Z";

fn node(name: &str, label: Option<&str>) -> Node {
    let node = json!({"metadata": {"name": name, "labels": {BPF_LABEL: label}},
        "status": {"nodeInfo": {"bootID": "1"}}});
    let mut node = node;
    if label.is_none() {
        node["metadata"]["labels"] = json!({});
    }
    let info = node["status"]["nodeInfo"].as_object_mut().unwrap();
    for field in ["architecture", "containerRuntimeVersion", "kernelVersion", "kubeProxyVersion"] {
        info.insert(field.into(), json!(""));
    }
    for field in ["kubeletVersion", "machineID", "operatingSystem", "osImage", "systemUUID"] {
        info.insert(field.into(), json!(""));
    }
    serde_json::from_value(node).unwrap()
}

fn report(name: &str, boot: &str, observed: &Value) -> LsmNode {
    let mut status = serde_json::to_value(fixture::denied(boot)).unwrap();
    status["observedTime"] = observed.clone();
    let report = json!({"apiVersion": "lsmready.io/v1alpha1", "kind": "LsmNode",
        "metadata": {"name": name}, "spec": {}, "status": status});
    serde_json::from_value(report).unwrap()
}

fn find(nodes: &[Node], reports: &[LsmNode]) -> Found {
    verify(nodes, reports, NOW.parse().unwrap())
}

/// Label, boot of the report, time of the report, what is missing.
#[test]
fn each_node_has_a_verdict_or_a_reason_why_it_has_none() {
    let fresh = "2026-01-01T11:59:00Z";
    for (label, boot, observed, expected) in [
        (Some("true"), "1", fresh, None),
        (Some("false"), "1", fresh, None),
        (Some("unknown"), "1", fresh, Some(Missing::Verdict("CanaryDenied".into()))),
        (None, "1", fresh, Some(Missing::Label)),
        (Some("true"), "0", fresh, Some(Missing::ReportOfThisBoot)),
        (Some("true"), "1", "2026-01-01T10:30:00Z", Some(Missing::FreshReport)),
        (Some("true"), "1", "2026-01-01T10:30:01Z", None),
        // The node's clock is ahead.
        (Some("true"), "1", "2026-01-02T00:00:00Z", None),
    ] {
        let found = find(&[node("n", label)], &[report("n", boot, &json!(observed))]);
        let without: Vec<_> = found.without.iter().map(|(_, missing)| missing.clone()).collect();
        assert_eq!(without, Vec::from_iter(expected), "{label:?} {boot} {observed}");
        assert_eq!(found.is_complete(), without.is_empty());
    }
}

#[test]
fn a_node_without_a_report_is_named_and_one_without_a_time_too() {
    let found = find(
        &[node("b", Some("true")), node("a", Some("true")), node("c", Some("false"))],
        &[report("a", "1", &Value::Null), report("c", "1", &json!(NOW))],
    );
    let text = "1 of 3 nodes have a verdict: 0 can deny through LSM BPF, 1 cannot\n  \
        a: the report is too old; look at the log of the probe's pod on it\n  \
        b: no report; look at the pod of the DaemonSet lsm-ready-probe on it";
    assert_eq!(found.to_string(), text);
}

#[test]
fn a_cluster_without_nodes_proves_nothing() {
    let found = find(&[], &[]);
    assert!(!found.is_complete());
    assert_eq!(found.to_string(), "there are no nodes with these labels");
}

#[test]
fn a_reason_of_a_node_is_printable() {
    let mut hostile = report("n", "1", &json!(NOW));
    hostile.status.as_mut().unwrap().reason = "a\u{1b}[31m\nb".into();
    let found = find(&[node("n", Some("unknown"))], &[hostile]);
    let text = found.to_string();
    assert!(!text.contains('\u{1b}') && text.lines().count() == 2, "{text:?}");
}

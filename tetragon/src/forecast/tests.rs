//! Cases and properties of the forecast.

use lsm_ready_crds::LsmNodeStatus;
use lsm_ready_crds::fixture;
use lsm_ready_crds::policy::Require;
use lsm_ready_crds::profile::LsmHookProfileSpec;
use lsm_ready_crds::selection::Labels;
use lsm_ready_crds::verdict::{Facts, verdict};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

const BOOT: &str = "b00t";

fn policy(hooks: &[(&str, bool)], node_selector: &Value) -> TracingPolicy {
    let entry = |(hook, ima): &(&str, bool)| {
        json!({"hook": hook,
        "selectors": [{"matchActions": [{"imaHash": ima}]}]})
    };
    let spec = json!({"lsmhooks": hooks.iter().map(entry).collect::<Vec<_>>(),
        "nodeSelector": node_selector});
    TracingPolicy::from_file(&json!({"metadata": {"name": "p"}, "spec": spec})).unwrap()
}

fn profile() -> LsmHookProfileSpec {
    serde_json::from_value(
        json!({"kernel": "6.12 x86_64", "hooks": ["file_open", "file_lock", "task_alloc"],
        "sleepableHooks": ["file_open"], "refusedHooks": ["getprocattr"]}),
    )
    .unwrap()
}

/// A report that names a profile. `reads` is the outcome of the check KernelReads.
fn report(evidence: &str, reads: &str) -> LsmNodeStatus {
    let reason = if evidence == "Denied" { "CanaryDenied" } else { "BpfNotInLsmList" };
    let mut report = fixture::report(BOOT, fixture::evidence(evidence), reason);
    report.hook_profile = Some("digest".to_owned());
    let reads = json!({"name": "KernelReads", "outcome": reads, "detail": "lockdown"});
    report.checks.push(serde_json::from_value(reads).unwrap());
    report
}

fn known<'a>(
    name: &'a str,
    report: &'a LsmNodeStatus,
    profile: Option<&'a LsmHookProfileSpec>,
) -> KnownNode<'a> {
    KnownNode { name, labels: None, facts: Facts { boot_id: BOOT, report: Some(report), profile } }
}

#[test]
fn each_node_has_the_reason_that_its_label_has() {
    let (profile, good) = (profile(), report("Denied", "Pass"));
    let (locked, attached) = (report("Denied", "Fail"), report("Attached", "Pass"));
    let nodes = Nodes::of([
        known("n4", &good, None),
        known("n3", &attached, Some(&profile)),
        known("n2", &locked, Some(&profile)),
        known("n1", &good, Some(&profile)),
        known("n0", &good, Some(&profile)),
    ]);
    assert_eq!(nodes.class_count(), 4, "n0 and n1 are in one class");
    let found =
        forecast(&policy(&[("file_open", true), ("file_lock", true)], &Value::Null), &nodes);
    assert_eq!((found.nodes, found.loadable, found.not_loadable, found.unknown), (5, 0, 4, 1));
    assert_eq!(found.state(), State::NotReady);
    let reasons = |hook: &HookForecast| -> Vec<(String, usize, String)> {
        hook.others.iter().map(|o| (o.reason.clone(), o.count, o.sample.join(" "))).collect()
    };
    let one = |reason: &str, node: &str| (reason.to_owned(), 1, node.to_owned());
    let everywhere = [
        one("BpfNotInLsmList", "n3"),
        one("KernelReadsForbidden", "n2"),
        one("HookProfileMissing", "n4"),
    ];
    assert_eq!((found.hooks[1].loadable, reasons(&found.hooks[1])), (2, everywhere.to_vec()));
    let not_sleepable = ("HookNotSleepable".to_owned(), 2, "n0 n1".to_owned());
    assert_eq!(
        (found.hooks[0].loadable, reasons(&found.hooks[0])),
        (0, [&[not_sleepable], &everywhere[..]].concat())
    );
}

#[test]
fn a_misspelt_hook_is_reported_with_a_similar_one() {
    let (profile, good) = (profile(), report("Denied", "Pass"));
    let nodes = Nodes::of([known("n1", &good, Some(&profile))]);
    let found = forecast(&policy(&[("file_opn", false)], &Value::Null), &nodes);
    let others = &found.hooks[0].others[0];
    assert_eq!(others.reason, "HookNotInKernel");
    let explained = nodes.explain(&found.hooks[0].requirement, others);
    assert!(explained.message.contains("did you mean file_open?"), "{}", explained.message);
}

#[test]
fn only_nodes_that_the_policy_selects_are_counted() {
    let (profile, good) = (profile(), report("Denied", "Pass"));
    let zone = |zone: &str| Labels::from([("zone".to_owned(), zone.to_owned())]);
    let (a, b) = (zone("a"), zone("b"));
    let node = |name, labels| KnownNode { labels, ..known(name, &good, Some(&profile)) };
    let nodes = Nodes::of([node("n1", Some(&a)), node("n2", Some(&b)), node("n3", None)]);
    let selector = json!({"matchLabels": {"zone": "a"}});
    let found = forecast(&policy(&[("file_open", false)], &selector), &nodes);
    assert_eq!((found.nodes, found.loadable, found.state()), (2, 2, State::Ready));
    let nowhere = forecast(
        &policy(&[("file_open", false)], &json!({"matchLabels": {"zone": "c"}})),
        &Nodes::of([]),
    );
    assert_eq!((nowhere.nodes, nowhere.state()), (0, State::Unknown));
}

proptest! {
    /// Exactly the nodes whose verdict is ready for all required hooks are loadable.
    #[test]
    fn exactly_the_ready_nodes_are_loadable(
        nodes in prop::collection::vec(("None|Attached|Denied", "Pass|Fail|Unknown",
            any::<bool>()), 0..12),
        hooks in prop::collection::vec(("file_open|task_alloc|getprocattr|other", any::<bool>()),
            0..4),
        seed: prop::sample::Index,
    ) {
        let profile = profile();
        let reports: Vec<_> = nodes.iter().map(|(evidence, reads, _)| report(evidence,
            reads)).collect();
        let names: Vec<String> = (0..nodes.len()).map(|number| format!("n{number:02}")).collect();
        let mut all: Vec<KnownNode<'_>> = names.iter().zip(&reports).zip(&nodes)
            .map(|((name, report), (.., has_profile))| known(name, report,
                has_profile.then_some(&profile)))
            .collect();
        let hooks: Vec<(&str, bool)> = hooks.iter().map(|(hook, ima)| (hook.as_str(),
            *ima)).collect();
        let policy = policy(&hooks, &Value::Null);
        let mut require = Require::default();
        policy.required_hooks.add_to(&mut require, Some(&profile));
        let is_ready = |node: &&KnownNode<'_>| {
            policy.required_hooks.is_empty()
                || verdict(&require, node.facts).state == State::Ready
        };
        let ready = all.iter().filter(is_ready).count();
        let found = forecast(&policy, &Nodes::of(all.clone()));
        prop_assert_eq!(found.loadable, ready);
        prop_assert_eq!(found.loadable + found.not_loadable + found.unknown, found.nodes);
        for hook in &found.hooks {
            let others: usize = hook.others.iter().map(|others| others.count).sum();
            prop_assert_eq!(hook.loadable + others, found.nodes);
        }
        if !all.is_empty() {
            let middle = seed.index(all.len());
            all.rotate_left(middle);
        }
        let again = forecast(&policy, &Nodes::of(all));
        prop_assert_eq!(found, again, "the order of the nodes matters");
    }
}

//! Tables and properties of the verdict.

use super::*;
use proptest::prelude::*;
use serde_json::{Value, json};

const BOOT: &str = "b00t";

fn report(value: &Value) -> LsmNodeStatus {
    let mut report = json!({"bootID": BOOT, "evidence": "Denied", "reason": "CanaryDenied",
        "lsms": {"active": ["lockdown", "bpf"], "source": "Syscall"}});
    report.as_object_mut().unwrap().extend(value.as_object().unwrap().clone());
    serde_json::from_value(report).unwrap()
}

fn require(value: Value) -> Require {
    serde_json::from_value(value).unwrap()
}

fn profile() -> LsmHookProfileSpec {
    serde_json::from_value(json!({"kernel": "6.12 x86_64", "hooks": ["file_open", "task_alloc"],
        "sleepableHooks": ["file_open"], "refusedHooks": ["getprocattr"]}))
    .unwrap()
}

fn judge(
    require: &Require,
    report: &LsmNodeStatus,
    profile: Option<&LsmHookProfileSpec>,
) -> (State, String) {
    let verdict = verdict(require, Facts { boot_id: BOOT, report: Some(report), profile });
    (verdict.state, verdict.reason)
}

#[test]
fn table() {
    use State::{NotReady, Ready, Unknown};
    let confidential =
        json!({"checks": [{"name": "KernelReads", "outcome": "Fail", "detail": "lockdown"}]});
    let readable = json!({"checks": [{"name": "KernelReads", "outcome": "Pass"}]});
    let untried = json!({"evidence": "None", "reason": "MissingCapability",
        "checks": [{"name": "Loaded", "outcome": "Unknown"}]});
    let refused = json!({"evidence": "None", "reason": "ListedButRefused",
        "checks": [{"name": "Loaded", "outcome": "Fail"}]});
    let cases = [
        ("the default", json!({}), json!({}), Ready, "CanaryDenied"),
        ("another boot", json!({}), json!({"bootID": "x"}), Unknown, "ReportFromEarlierBoot"),
        (
            "a report without a boot",
            json!({}),
            json!({"bootID": ""}),
            Unknown,
            "ReportFromEarlierBoot",
        ),
        ("refused", json!({}), refused, NotReady, "ListedButRefused"),
        ("not tried", json!({}), untried, Unknown, "MissingCapability"),
        (
            "a reason is missing",
            json!({}),
            json!({"evidence": "Fired", "reason": ""}),
            NotReady,
            "EvidenceTooLow",
        ),
        (
            "a lower rung is enough",
            json!({"evidence": "Attached"}),
            json!({"evidence": "Attached", "reason": "BpfNotInLsmList"}),
            Ready,
            "BpfNotInLsmList",
        ),
        (
            "an LSM is missing",
            json!({"lsms": ["apparmor"]}),
            json!({}),
            NotReady,
            "RequiredLsmInactive",
        ),
        (
            "LSMs unknown",
            json!({"lsms": ["apparmor"]}),
            json!({"lsms": {"active": []}}),
            Unknown,
            "LsmListUnknown",
        ),
        ("an LSM is there", json!({"lsms": ["lockdown"]}), json!({}), Ready, "CanaryDenied"),
        (
            "reads forbidden",
            json!({"kernelReads": true}),
            confidential,
            NotReady,
            "KernelReadsForbidden",
        ),
        ("reads unknown", json!({"kernelReads": true}), json!({}), Unknown, "KernelReadsUnknown"),
        ("reads allowed", json!({"kernelReads": true}), readable, Ready, "CanaryDenied"),
        ("a hook", json!({"hooks": ["file_open"]}), json!({}), Ready, "CanaryDenied"),
        ("no such hook", json!({"hooks": ["file_opn"]}), json!({}), NotReady, "HookNotInKernel"),
        (
            "a hook that refuses",
            json!({"hooks": ["getprocattr"]}),
            json!({}),
            NotReady,
            "HookNotAttachable",
        ),
        (
            "the gravest of several",
            json!({"hooks": ["getprocattr"], "sleepableHooks": ["task_alloc", "file_opn"]}),
            json!({}),
            NotReady,
            "HookNotInKernel",
        ),
        (
            "not sleepable",
            json!({"sleepableHooks": ["task_alloc"]}),
            json!({}),
            NotReady,
            "HookNotSleepable",
        ),
        (
            "what is shown comes before what is unknown",
            json!({"kernelReads": true, "lsms": ["apparmor"]}),
            json!({}),
            NotReady,
            "RequiredLsmInactive",
        ),
    ];
    for (what, required, reported, state, reason) in cases {
        let found = judge(&require(required), &report(&reported), Some(&profile()));
        assert_eq!(found, (state, reason.to_owned()), "{what}");
    }
}

/// The fix that the verdict gives.
fn fix(require: &Require, reported: &Value) -> String {
    let report = report(reported);
    verdict(require, Facts { boot_id: BOOT, report: Some(&report), profile: None }).fix
}

#[test]
fn fixes_are_the_nodes_own() {
    let lsms = fix(&require(json!({"lsms": ["apparmor"]})), &json!({}));
    assert!(lsms.starts_with("boot the node with lsm=lockdown,integrity,apparmor,bpf;"), "{lsms}");
    let rival = fix(
        &require(json!({"lsms": ["apparmor"]})),
        &json!({"lsms": {"active": ["selinux", "bpf"]}}),
    );
    assert!(rival.starts_with("boot the node with lsm=integrity,apparmor,bpf;"), "{rival}");
    assert!(rival.contains("apparmor takes the place of selinux"), "{rival}");
    let newer = fix(
        &require(json!({"lsms": ["apparmor"]})),
        &json!({"lsms": {"active": ["lsm-id-200", "bpf"]}}),
    );
    assert_eq!(newer, Reason::RequiredLsmInactive.remedy());
    let check = |more: Value| {
        let mut check = json!({"name": "KernelReads", "outcome": "Fail", "detail": "lockdown"});
        check.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({"checks": [check]})
    };
    let reads = require(json!({"kernelReads": true}));
    assert_eq!(fix(&reads, &check(json!({"fix": "grubby"}))), "grubby");
    assert_eq!(fix(&reads, &check(json!({}))), Reason::KernelReadsForbidden.remedy());
}

#[test]
fn a_mistyped_hook_is_told_with_the_one_that_was_meant() {
    let (require, report, profile) =
        (require(json!({"hooks": ["file_opn"]})), report(&json!({})), profile());
    let facts = Facts { boot_id: BOOT, report: Some(&report), profile: Some(&profile) };
    let message = verdict(&require, facts).message;
    assert_eq!(
        message,
        "kernel 6.12 x86_64: file_opn is no hook of this kernel; did you mean file_open?"
    );
}

#[test]
fn hooks_are_unknown_without_a_profile() {
    let found = judge(&require(json!({"hooks": ["file_open"]})), &report(&json!({})), None);
    assert_eq!(found, (State::Unknown, "HookProfileMissing".to_owned()));
}

#[test]
fn without_a_report_nothing_is_known() {
    let verdict = verdict(&Require::default(), Facts { boot_id: BOOT, ..Facts::default() });
    assert_eq!((verdict.state, verdict.reason.as_str()), (State::Unknown, "NoReport"));
}

#[test]
fn ready_is_not_said_where_it_is_not_known_what_is_asked() {
    let ready = verdict(
        &Require::default(),
        Facts { boot_id: BOOT, report: Some(&report(&json!({}))), profile: None },
    );
    assert_eq!(downgrade_if_incomplete(ready.clone(), None), ready);
    let unread = downgrade_if_incomplete(ready.clone(), Some("forbidden"));
    assert_eq!((unread.state, unread.reason.as_str()), (State::Unknown, "TracingPoliciesUnknown"));
    let lacking = Verdict { state: State::NotReady, ..ready };
    assert_eq!(downgrade_if_incomplete(lacking.clone(), Some("forbidden")), lacking);
}

proptest! {
    /// Ready is only ever said of a report about this boot that reaches the required rung.
    #[test]
    fn never_a_false_ready(
        evidence in "None|Loaded|Attached|Fired|Denied",
        required in "Loaded|Attached|Fired|Denied",
        boot in "b00t|other|",
        lsm in "bpf|apparmor",
        outcome in "Pass|Fail|Unknown",
        reads: bool,
    ) {
        let report = report(&json!({"bootID": boot, "evidence": evidence,
            "checks": [{"name": "KernelReads", "outcome": outcome}]}));
        let require = require(json!({"evidence": required, "lsms": [lsm], "kernelReads": reads}));
        let (state, _) = judge(&require, &report, None);
        let holds = boot == BOOT && report.evidence >= Evidence::from(require.evidence) && lsm == "bpf"
            && (!reads || outcome == "Pass");
        prop_assert_eq!(state == State::Ready, holds);
    }
}

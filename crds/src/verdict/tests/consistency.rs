//! Reports that disagree with themselves never make a node ready.

use proptest::prelude::*;
use serde_json::json;

use super::{BOOT, Ready, Unknown, judge, require};
use crate::consistency::{contradiction, evidence_state};
use crate::evidence::Evidence;
use crate::fixture;
use crate::node::{Check, LsmNodeStatus};
use crate::policy::Require;
use crate::probe_version::unknown_version;
use crate::state::State::{self, NotReady};
use crate::verdict::{Facts, outcome, verdict};

const INCONSISTENT: &str = "EvidenceInconsistent";
const TOO_LOW: &str = "EvidenceTooLow";
const LISTED: &str = "BpfNotInLsmList";

/// A report with that evidence and reason. Of the outcomes, one letter each from Loaded to Denied,
/// `p` is Pass, `f` is Fail, `u` is Unknown, and `-` is no check.
fn report(evidence: &str, reason: &str, outcomes: &str) -> LsmNodeStatus {
    let mut report = fixture::report(BOOT, fixture::evidence(evidence), reason);
    let outcomes = outcomes.chars().map(|letter| match letter {
        'p' => Some(Ready),
        'f' => Some(NotReady),
        'u' => Some(Unknown),
        _ => None,
    });
    let rungs = report.checks.into_iter().zip(outcomes);
    report.checks =
        rungs.filter_map(|(check, outcome)| Some(Check { outcome: outcome?, ..check })).collect();
    report
}

#[test]
fn each_combination_of_evidence_reason_and_checks_has_its_verdict() {
    let denied = "CanaryDenied";
    for (evidence, reason, checks, state, found) in [
        // Every statement agrees.
        ("Denied", denied, "pppp", Ready, denied),
        ("Fired", "FiredNotDenied", "pppf", NotReady, "FiredNotDenied"),
        ("Fired", "CanaryTimedOut", "pppu", Unknown, "CanaryTimedOut"),
        ("Attached", LISTED, "ppfu", NotReady, LISTED),
        ("Loaded", "AttachFailed", "pfuu", NotReady, "AttachFailed"),
        ("None", "BtfMissing", "fuuu", NotReady, "BtfMissing"),
        ("None", "NoMemory", "uuuu", Unknown, "NoMemory"),
        // The checks deny the evidence.
        ("Denied", denied, "pppf", Unknown, INCONSISTENT),
        ("Denied", denied, "pppu", Unknown, INCONSISTENT),
        ("Denied", denied, "uuuu", Unknown, INCONSISTENT),
        ("Denied", denied, "ffff", Unknown, INCONSISTENT),
        ("Denied", denied, "fppp", Unknown, INCONSISTENT),
        ("Attached", LISTED, "fpfu", Unknown, INCONSISTENT),
        // The report does not say what a report with this evidence says.
        ("Denied", denied, "----", Unknown, INCONSISTENT),
        ("Denied", denied, "ppp-", Unknown, INCONSISTENT),
        ("Denied", denied, "-ppp", Unknown, INCONSISTENT),
        ("Denied", "", "pppp", Unknown, INCONSISTENT),
        // The reason denies the evidence.
        ("Denied", LISTED, "pppp", Unknown, INCONSISTENT),
        ("Denied", "canarydenied", "pppp", Unknown, INCONSISTENT),
        ("Fired", denied, "pppf", Unknown, INCONSISTENT),
        ("None", denied, "uuuu", Unknown, INCONSISTENT),
        ("None", denied, "----", Unknown, INCONSISTENT),
        // The evidence is too low, and the report hides that the node may be able to deny.
        ("Fired", "FiredNotDenied", "pppp", Unknown, INCONSISTENT),
        ("Attached", LISTED, "ppfp", Unknown, INCONSISTENT),
        ("Attached", LISTED, "ppp-", Unknown, INCONSISTENT),
        ("None", "BtfMissing", "pppp", Unknown, INCONSISTENT),
        // The evidence is too low, and what the report does not say could not make it higher.
        ("Attached", LISTED, "----", NotReady, LISTED),
        ("Attached", LISTED, "ppf-", NotReady, LISTED),
        ("Attached", LISTED, "--f-", NotReady, LISTED),
        ("Attached", "", "ppfu", NotReady, TOO_LOW),
        ("None", "", "----", NotReady, TOO_LOW),
    ] {
        let judged = judge(&Require::default(), &report(evidence, reason, checks), None);
        assert_eq!(judged, (state, found.to_owned()), "{evidence} {reason:?} {checks}");
    }
}

#[test]
fn a_lower_required_rung_needs_the_same_consistency() {
    let attached = require(json!({"evidence": "Attached"}));
    for (evidence, reason, checks, state, found) in [
        ("Attached", LISTED, "ppfu", Ready, LISTED),
        ("Denied", "CanaryDenied", "pppp", Ready, "CanaryDenied"),
        ("Attached", LISTED, "pp--", Ready, LISTED),
        ("Attached", "", "ppfu", Unknown, INCONSISTENT),
        ("Attached", LISTED, "-pfu", Unknown, INCONSISTENT),
        ("Attached", LISTED, "----", Unknown, INCONSISTENT),
        ("Denied", "CanaryDenied", "pppf", Unknown, INCONSISTENT),
        ("Denied", "CanaryDenied", "pp--", Unknown, INCONSISTENT),
    ] {
        let judged = judge(&attached, &report(evidence, reason, checks), None);
        assert_eq!(judged, (state, found.to_owned()), "{evidence} {reason:?} {checks}");
    }
}

#[test]
fn two_checks_of_one_name_are_inconsistent() {
    for name in ["Loaded", "Denied", "KernelReads"] {
        let mut report = fixture::denied(BOOT);
        for outcome in [NotReady, Ready] {
            let check = Check { name: name.to_owned(), outcome, ..report.checks[0].clone() };
            report.checks.insert(0, check);
        }
        let verdict = verdict_of(&report);
        assert_eq!(verdict.reason, INCONSISTENT);
        assert_eq!(verdict.message, format!("the report has more than one check {name}"));
    }
}

#[test]
fn a_version_that_is_not_understood_is_unknown_where_the_evidence_would_be_enough() {
    let judged = |evidence: &str, reason: &str, version: &str| {
        let report = fixture::report(BOOT, fixture::evidence(evidence), reason);
        judge(&Require::default(), &LsmNodeStatus { probe_version: version.into(), ..report }, None)
    };
    let unknown = (Unknown, "ProbeVersionUnknown".to_owned());
    for version in ["", "9.0.0", "0.9.0", "latest", "0.1.0\n", "\u{202e}0.1.0"] {
        assert_eq!(judged("Denied", "CanaryDenied", version), unknown, "{version:?}");
        assert_eq!(judged("Attached", LISTED, version), (NotReady, LISTED.to_owned()));
    }
    for version in ["0.1.9", "0.2.0-rc.1", "0.0.1+build"] {
        let ready = (Ready, "CanaryDenied".to_owned());
        assert_eq!(judged("Denied", "CanaryDenied", version), ready, "{version:?}");
    }
}

#[test]
fn the_message_says_what_disagrees() {
    let message = |evidence, reason, checks| verdict_of(&report(evidence, reason, checks)).message;
    let claims = "the report has the evidence";
    let denied = format!("{claims} Denied, but");
    assert_eq!(
        message("Denied", "CanaryDenied", "pppf"),
        format!("{denied} its check Denied says Fail")
    );
    assert_eq!(
        message("Attached", LISTED, "pppu"),
        format!("{claims} Attached, but its check Fired says Pass")
    );
    assert_eq!(message("Denied", "CanaryDenied", "-ppp"), format!("{denied} no check Loaded"));
    assert_eq!(message("Denied", "x", "pppp"), format!("{denied} its reason is not CanaryDenied"));
    assert_eq!(
        message("Fired", "CanaryDenied", "pppf"),
        format!("{claims} Fired, but its reason is CanaryDenied")
    );
}

fn verdict_of(report: &LsmNodeStatus) -> crate::Verdict {
    verdict(&Require::default(), Facts { boot_id: BOOT, report: Some(report), profile: None })
}

/// Any check, often one of a rung.
fn any_check() -> impl Strategy<Value = Check> {
    let name = prop_oneof![
        8 => "Loaded|Attached|Fired|Denied",
        1 => "KernelReads|denied|Denied |Btf|",
    ];
    let outcome = prop_oneof![4 => Just(Ready), 1 => Just(NotReady), 1 => Just(Unknown)];
    (name, outcome).prop_map(|(name, outcome)| Check {
        name,
        outcome,
        reason: String::new(),
        detail: String::new(),
        fix: String::new(),
    })
}

/// Checks of the four rungs, of which some may be changed, with other checks.
fn any_checks() -> impl Strategy<Value = Vec<Check>> {
    let rungs = prop::sample::select(Evidence::RUNGS.to_vec())
        .prop_map(|evidence| fixture::rungs(evidence, LISTED));
    let mixed = (rungs, prop::collection::vec(any_check(), 0..2), prop::option::of(0usize..5))
        .prop_map(|(mut rungs, more, removed)| {
            if let Some(removed) = removed.filter(|removed| *removed < rungs.len()) {
                rungs.remove(removed);
            }
            rungs.extend(more);
            rungs
        });
    prop_oneof![3 => mixed, 1 => prop::collection::vec(any_check(), 0..6)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    /// Ready means that every condition holds, written here a second time and in another way.
    #[test]
    fn ready_only_if_every_statement_agrees(
        evidence in "None|Loaded|Attached|Fired|Denied|Denied|Denied",
        required in "Loaded|Attached|Fired|Denied",
        reason in "CanaryDenied|CanaryDenied|BpfNotInLsmList||\\PC{0,8}",
        version in "0[.][0-3][.][0-9]|1[.]1[.]0|0.1.0-rc|\\PC{0,8}",
        boot in "b00t|b00t|b00t|other|",
        checks in any_checks(),
    ) {
        let evidence = fixture::evidence(&evidence);
        let report = LsmNodeStatus {
            boot_id: boot.clone(),
            evidence,
            reason: reason.clone(),
            probe_version: version.clone(),
            checks: checks.clone(),
            ..LsmNodeStatus::default()
        };
        let require = require(json!({"evidence": required}));
        let required = Evidence::from(require.evidence);
        let facts = Facts { boot_id: BOOT, report: Some(&report), profile: None };
        let verdict = verdict(&require, facts);
        let rung_outcomes = |rung: Evidence| -> Vec<State> {
            let of_rung = checks.iter().filter(|check| check.name == rung.as_str());
            of_rung.map(|check| check.outcome).collect()
        };
        let agree = Evidence::RUNGS.into_iter().all(|rung| {
            let outcomes = rung_outcomes(rung);
            if rung <= evidence {
                outcomes == [Ready]
            } else {
                outcomes.len() <= 1 && !outcomes.contains(&Ready)
            }
        });
        let one_reads = checks.iter().filter(|check| check.name == "KernelReads").count() <= 1;
        let reason_agrees = (evidence == Evidence::Denied) == (reason == "CanaryDenied")
            && !reason.is_empty();
        let all = boot == BOOT && evidence >= required && agree && one_reads && reason_agrees
            && unknown_version(&version).is_none();
        prop_assert_eq!(verdict.state == Ready, all, "{:?}", verdict);
        // The cheap path, and the state of the evidence that `node-probe check` uses, agree.
        let cheap = outcome(&require, facts);
        prop_assert_eq!((cheap.state, &cheap.reason), (verdict.state, &verdict.reason));
        let state = evidence_state(evidence, &checks, required);
        prop_assert!(verdict.state != Ready || state == Ready);
        prop_assert!(boot != BOOT || contradiction(&report).is_none() || verdict.state == Unknown);
    }

    /// What our own probe writes is never called inconsistent.
    #[test]
    fn a_consistent_report_is_judged_by_its_evidence(
        evidence in prop::sample::select(Evidence::RUNGS.to_vec()),
        required in "Loaded|Attached|Fired|Denied",
    ) {
        let reason = if evidence == Evidence::Denied { "CanaryDenied" } else { LISTED };
        let require = require(json!({"evidence": required}));
        let (state, found) = judge(&require, &fixture::report(BOOT, evidence, reason), None);
        let expected = State::from(evidence >= Evidence::from(require.evidence));
        prop_assert_eq!((state, found.as_str()), (expected, reason));
    }
}

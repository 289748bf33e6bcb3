//! Tables of what is required and what the report says then.

use lsm_ready_crds::State;
use lsm_ready_crds::profile::LsmHookProfileSpec;

use super::diagnose::tests::proved;
use super::*;
use crate::canary::{CanaryResult, End};
use crate::facts::tests::raw;
use crate::facts::{BtfNames, Raw, Unread};
use crate::hooks::TrialError;
use crate::sys::Answer;

fn unread(message: &str) -> Unread {
    Unread { missing: true, message: message.to_owned() }
}

fn report(trial: CanaryResult, facts: &Facts) -> Report {
    Report::of(&Observed { trial, end: End::Finished }, facts, 0)
}

fn silent() -> CanaryResult {
    CanaryResult { fired: Some(0), ours: Some(Answer(libc::EINVAL)), ..proved() }
}

fn unlisted() -> Facts {
    Facts::of(&Raw { lsm_ids: Ok(vec![100, 110]), cmdline: Ok("quiet".to_owned()), ..raw() })
}

fn requiring(trial: CanaryResult, facts: &Facts, lsms: &[&str]) -> (State, Report) {
    let mut report = report(trial, facts);
    let lsms: Vec<String> = lsms.iter().map(|name| (*name).to_owned()).collect();
    report.require_lsms(&lsms, Evidence::Denied, facts);
    (report.holds(Evidence::Denied), report)
}

#[test]
fn further_lsms_are_judged_by_the_list() {
    let listed = Facts::of(&raw());
    let unreadable_with = |cmdline: &str| {
        Facts::of(&Raw {
            lsm_ids: Err(Answer(libc::ENOSYS)),
            lsm_file: Err(unread("/sys/kernel/security/lsm: no such file")),
            cmdline: Ok(cmdline.to_owned()),
            ..raw()
        })
    };
    let (unreadable, left_out) =
        (unreadable_with("lsm=apparmor,bpf"), unreadable_with("lsm=landlock,bpf"));
    let untried = || CanaryResult { finished: true, ..CanaryResult::default() };
    for (trial, facts, lsms, holds, reason) in [
        (proved(), &listed, &[][..], State::Ready, "CanaryDenied"),
        (proved(), &listed, &["landlock", "bpf"], State::Ready, "CanaryDenied"),
        (proved(), &listed, &["landlock", "apparmor"], State::NotReady, "RequiredLsmInactive"),
        (proved(), &unreadable, &["apparmor"], State::Unknown, "LsmListUnknown"),
        (proved(), &left_out, &["apparmor"], State::NotReady, "RequiredLsmInactive"),
        (silent(), &unlisted(), &["apparmor"], State::NotReady, "BpfNotInLsmList"),
        (untried(), &listed, &["apparmor"], State::NotReady, "RequiredLsmInactive"),
        (untried(), &unreadable, &["apparmor"], State::Unknown, "CanaryCrashed"),
    ] {
        let (found, report) = requiring(trial, facts, lsms);
        assert_eq!(
            (found, report.reason.as_str()),
            (holds, reason),
            "{lsms:?}: {}",
            report.message
        );
        assert_eq!(report.checks.iter().any(|check| check.name == REQUIRED_LSMS), !lsms.is_empty());
    }
}

#[test]
fn a_required_hook_is_told_where_nothing_before_it_fails() {
    let listed = Facts::of(&raw());
    let untried = || CanaryResult { finished: true, ..CanaryResult::default() };
    let takes_file_open =
        || Ok(LsmHookProfileSpec { hooks: ["file_open".to_owned()].into(), ..Default::default() });
    let no_trial = || Err(TrialError("no memory".to_owned()));
    for (trial, facts, hook, hooks, holds, reason) in [
        (proved(), &listed, "file_open", takes_file_open(), State::Ready, "CanaryDenied"),
        (proved(), &listed, "file_opn", takes_file_open(), State::NotReady, "HookNotInKernel"),
        (proved(), &listed, "file_open", no_trial(), State::Unknown, "HookProfileMissing"),
        (silent(), &unlisted(), "file_opn", takes_file_open(), State::NotReady, "BpfNotInLsmList"),
        (untried(), &listed, "file_opn", takes_file_open(), State::NotReady, "HookNotInKernel"),
        (untried(), &listed, "file_open", no_trial(), State::Unknown, "CanaryCrashed"),
    ] {
        let mut report = report(trial, facts);
        report.require_hooks(Hooks::of(&[hook.to_owned()], &[], &hooks), Evidence::Denied, facts);
        let found = (report.holds(Evidence::Denied), report.reason.as_str());
        assert_eq!(found, (holds, reason), "{hook}: {}", report.message);
    }
}

#[test]
fn one_boot_parameter_has_all_that_is_missing() {
    let (_, report) = requiring(silent(), &unlisted(), &["apparmor"]);
    assert!(
        report.fix.starts_with("Boot with lsm=landlock,integrity,apparmor,bpf."),
        "{}",
        report.fix
    );
    let (_, report) = requiring(proved(), &Facts::of(&raw()), &["apparmor"]);
    assert!(
        report.fix.starts_with("Boot with lsm=landlock,lockdown,apparmor,bpf in place of"),
        "{}",
        report.fix
    );
}

/// The outcome and the reason of a check.
fn outcome(trial: &CanaryResult, raw: &Raw, name: &str) -> (State, String) {
    let checks = checks::of(trial, &Facts::of(raw));
    let check = checks.iter().find(|check| check.name == name).unwrap();
    (check.outcome, check.reason.clone())
}

#[test]
fn checks_say_what_the_texts_and_the_trial_showed() {
    use State::{NotReady as Fail, Ready as Pass, Unknown};
    let nothing = CanaryResult::default();
    let no_hook = Ok(BtfNames { bytes: 9, bpf_lsm: 0, canary_hook: false });
    let arm = lsm_ready_crds::node::Kernel {
        release: "5.15.1".to_owned(),
        machine: "aarch64".to_owned(),
    };
    let confidential = Ok("none integrity [confidentiality]".to_owned());
    let filtered = Ok("CapEff:\t000000c000000000\nSeccomp:\t2\n".to_owned());
    let no_btf = || Err(unread("/sys/kernel/btf/vmlinux: no such file"));
    let no_config = || Err(unread("/proc/config.gz: no such file"));
    let eperm = || CanaryResult { bpf_call: Some(Answer(libc::EPERM)), ..CanaryResult::default() };
    for (trial, raw, name, outcome_wanted, reason) in [
        (&nothing, raw(), "BpfLsmBuiltIn", Pass, ""),
        (&nothing, Raw { btf: no_hook, ..raw() }, "BpfLsmBuiltIn", Fail, "HookNotInBtf"),
        (&nothing, Raw { btf: no_btf(), ..raw() }, "BpfLsmBuiltIn", Pass, ""),
        (
            &nothing,
            Raw { btf: no_btf(), kernel_config: no_config(), ..raw() },
            "BpfLsmBuiltIn",
            Unknown,
            "",
        ),
        (&nothing, Raw { btf: no_btf(), ..raw() }, "Btf", Fail, "BtfMissing"),
        (&nothing, raw(), "Architecture", Pass, ""),
        (
            &nothing,
            Raw { kernel: arm.clone(), ..raw() },
            "Architecture",
            Fail,
            "TrampolineUnsupported",
        ),
        (&proved(), Raw { kernel: arm, ..raw() }, "Architecture", Pass, ""),
        (&nothing, raw(), "Lockdown", Pass, ""),
        (
            &nothing,
            Raw { lockdown: confidential, ..raw() },
            "Lockdown",
            Fail,
            "KernelReadsForbidden",
        ),
        (&nothing, Raw { lockdown: Err(unread("x")), ..raw() }, "Lockdown", Unknown, ""),
        (&proved(), raw(), "LsmProgramsAllowed", Pass, ""),
        (&nothing, raw(), "LsmProgramsAllowed", Unknown, ""),
        (&proved(), raw(), "BpfSyscall", Pass, ""),
        (&eperm(), Raw { status: filtered, ..raw() }, "BpfSyscall", Fail, "SeccompRefusesBpf"),
        (&eperm(), raw(), "BpfSyscall", Fail, ""),
        (&nothing, raw(), "UnprivilegedBpf", Pass, ""),
        (
            &nothing,
            Raw { unprivileged_bpf: Err(unread("x")), ..raw() },
            "UnprivilegedBpf",
            Unknown,
            "",
        ),
    ] {
        assert_eq!(
            outcome(trial, &raw, name),
            (outcome_wanted, reason.to_owned()),
            "{name} {raw:?}"
        );
    }
}

#[test]
fn forbidden_reads_have_the_machines_own_fix() {
    let facts = Facts::of(&Raw {
        cmdline: Ok("BOOT_IMAGE=/v lockdown=confidentiality".to_owned()),
        ..raw()
    });
    let report = report(CanaryResult { kernel_reads: Some(Ok(false)), ..proved() }, &facts);
    let check = report.checks.iter().find(|check| check.name == "KernelReads").unwrap();
    assert!(check.fix.contains("update-grub"), "{}", check.fix);
    assert_eq!(report.reason, "CanaryDenied");
}

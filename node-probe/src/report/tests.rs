//! What a report says about each requirement.

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

fn report(result: CanaryResult, facts: &Facts) -> Report {
    Report::of(&Observed { result, end: End::Finished }, facts, Duration::ZERO)
}

fn silent() -> CanaryResult {
    CanaryResult { fired: Some(0), ours: Some(Answer(libc::EINVAL)), ..proved() }
}

fn unlisted() -> Facts {
    Facts::of(&Raw { lsm_ids: Ok(vec![100, 110]), cmdline: Ok("quiet".to_owned()), ..raw() })
}

fn requiring(result: CanaryResult, facts: &Facts, lsms: &[&str]) -> Report {
    let mut report = report(result, facts);
    let lsms: Vec<String> = lsms.iter().map(|name| (*name).to_owned()).collect();
    report.require_lsms(&lsms, Evidence::Denied, facts);
    report
}

/// A canary that ended without an answer.
fn untried() -> CanaryResult {
    CanaryResult { finished: true, ..CanaryResult::default() }
}

/// A machine whose list of active LSMs cannot be read.
fn unreadable_list(cmdline: &str) -> Facts {
    Facts::of(&Raw {
        lsm_ids: Err(Answer(libc::ENOSYS)),
        lsm_file: Err(unread("/sys/kernel/security/lsm: no such file")),
        cmdline: Ok(cmdline.to_owned()),
        ..raw()
    })
}

#[test]
fn required_lsms_are_judged_by_the_list_of_active_ones() {
    let listed = Facts::of(&raw());
    let unreadable = unreadable_list("lsm=apparmor,bpf");
    let left_out = unreadable_list("lsm=landlock,bpf");
    for (result, facts, lsms, holds, reason) in [
        (proved(), &listed, &[][..], State::Ready, "CanaryDenied"),
        (proved(), &listed, &["landlock", "bpf"], State::Ready, "CanaryDenied"),
        (proved(), &listed, &["landlock", "apparmor"], State::NotReady, "RequiredLsmInactive"),
        (proved(), &unreadable, &["apparmor"], State::Unknown, "LsmListUnknown"),
        (proved(), &left_out, &["apparmor"], State::NotReady, "RequiredLsmInactive"),
        (silent(), &unlisted(), &["apparmor"], State::NotReady, "BpfNotInLsmList"),
        (untried(), &listed, &["apparmor"], State::NotReady, "RequiredLsmInactive"),
        (untried(), &unreadable, &["apparmor"], State::Unknown, "CanaryCrashed"),
    ] {
        let report = requiring(result, facts, lsms);
        let found = (report.holds(Evidence::Denied), report.reason.code());
        assert_eq!(found, (holds, reason), "{lsms:?}: {}", report.message);
        assert_eq!(report.checks.iter().any(|check| check.name == REQUIRED_LSMS), !lsms.is_empty());
    }
}

#[test]
fn a_required_hook_is_the_reason_if_nothing_before_it_fails() {
    let listed = Facts::of(&raw());
    let takes_file_open =
        || Ok(LsmHookProfileSpec { hooks: ["file_open".to_owned()].into(), ..Default::default() });
    let no_trial = || Err(TrialError("no memory".to_owned()));
    for (result, facts, hook, hooks, holds, reason) in [
        (proved(), &listed, "file_open", takes_file_open(), State::Ready, "CanaryDenied"),
        (proved(), &listed, "file_opn", takes_file_open(), State::NotReady, "HookNotInKernel"),
        (proved(), &listed, "file_open", no_trial(), State::Unknown, "HookProfileMissing"),
        (silent(), &unlisted(), "file_opn", takes_file_open(), State::NotReady, "BpfNotInLsmList"),
        (untried(), &listed, "file_opn", takes_file_open(), State::NotReady, "HookNotInKernel"),
        (untried(), &listed, "file_open", no_trial(), State::Unknown, "CanaryCrashed"),
    ] {
        let mut report = report(result, facts);
        report.require_hooks(Hooks::of(&[hook.to_owned()], &[], &hooks), Evidence::Denied, facts);
        let found = (report.holds(Evidence::Denied), report.reason.code());
        assert_eq!(found, (holds, reason), "{hook}: {}", report.message);
    }
}

#[test]
fn one_boot_parameter_adds_all_missing_lsms() {
    let report = requiring(silent(), &unlisted(), &["apparmor"]);
    assert!(
        report.fix.starts_with("Boot with lsm=landlock,integrity,apparmor,bpf."),
        "{}",
        report.fix
    );
    let report = requiring(proved(), &Facts::of(&raw()), &["apparmor"]);
    assert!(
        report.fix.starts_with("Boot with lsm=landlock,lockdown,apparmor,bpf in place of"),
        "{}",
        report.fix
    );
}

/// A check's outcome, and the code of its reason.
#[track_caller]
fn assert_check(result: &CanaryResult, raw: &Raw, name: &str, expected: (State, &str)) {
    let checks = checks::explain(result, &Facts::of(raw));
    let check = checks.iter().find(|check| check.name == name).unwrap();
    let found = (check.outcome, check.reason.map_or("", Reason::code));
    assert_eq!(found, expected, "{name} {raw:?}");
}

#[test]
fn checks_of_the_kernel_follow_from_the_facts() {
    use State::{NotReady as Fail, Ready as Pass, Unknown};
    let nothing = CanaryResult::default();
    let no_hook = Ok(BtfNames { bytes: 9, bpf_lsm: 0, canary_hook: false });
    let confidential = Ok("none integrity [confidentiality]".to_owned());
    let no_btf = || Err(unread("/sys/kernel/btf/vmlinux: no such file"));
    let no_config = || Err(unread("/proc/config.gz: no such file"));
    let neither = Raw { btf: no_btf(), kernel_config: no_config(), ..raw() };
    let unset = Raw { unprivileged_bpf: Err(unread("x")), ..raw() };
    let locked = Raw { lockdown: confidential, ..raw() };
    for (raw, name, outcome, reason) in [
        (raw(), "BpfLsmBuiltIn", Pass, ""),
        (Raw { btf: no_hook, ..raw() }, "BpfLsmBuiltIn", Fail, "HookNotInBtf"),
        (Raw { btf: no_btf(), ..raw() }, "BpfLsmBuiltIn", Pass, ""),
        (neither, "BpfLsmBuiltIn", Unknown, ""),
        (Raw { btf: no_btf(), ..raw() }, "Btf", Fail, "BtfMissing"),
        (raw(), "Lockdown", Pass, ""),
        (locked, "Lockdown", Fail, "KernelReadsForbidden"),
        (Raw { lockdown: Err(unread("x")), ..raw() }, "Lockdown", Unknown, ""),
        (raw(), "LsmProgramsAllowed", Unknown, ""),
        (raw(), "UnprivilegedBpf", Pass, ""),
        (unset, "UnprivilegedBpf", Unknown, ""),
    ] {
        assert_check(&nothing, &raw, name, (outcome, reason));
    }
}

#[test]
fn checks_of_the_canary_follow_from_its_answers() {
    use State::{NotReady as Fail, Ready as Pass};
    let nothing = CanaryResult::default();
    let refused = CanaryResult { bpf_call: Some(Answer(libc::EPERM)), ..CanaryResult::default() };
    let kernel = Kernel { release: "5.15.1".to_owned(), machine: "aarch64".to_owned() };
    let arm = || Raw { kernel: kernel.clone(), ..raw() };
    let status = Ok("CapEff:\t000000c000000000\nSeccomp:\t2\n".to_owned());
    let filtered = Raw { status, ..raw() };
    for (result, raw, name, outcome, reason) in [
        (&nothing, raw(), "Architecture", Pass, ""),
        (&nothing, arm(), "Architecture", Fail, "TrampolineUnsupported"),
        (&proved(), arm(), "Architecture", Pass, ""),
        (&proved(), raw(), "LsmProgramsAllowed", Pass, ""),
        (&proved(), raw(), "BpfSyscall", Pass, ""),
        (&refused, filtered, "BpfSyscall", Fail, "SeccompRefusesBpf"),
        (&refused, raw(), "BpfSyscall", Fail, ""),
    ] {
        assert_check(result, &raw, name, (outcome, reason));
    }
}

#[test]
fn forbidden_kernel_reads_have_a_fix_of_their_own() {
    let facts = Facts::of(&Raw {
        cmdline: Ok("BOOT_IMAGE=/v lockdown=confidentiality".to_owned()),
        ..raw()
    });
    let report = report(CanaryResult { kernel_reads: Some(Ok(false)), ..proved() }, &facts);
    let check = report.checks.iter().find(|check| check.name == "KernelReads").unwrap();
    assert!(check.fix.contains("update-grub"), "{}", check.fix);
    assert_eq!(report.reason, Reason::CanaryDenied);
}

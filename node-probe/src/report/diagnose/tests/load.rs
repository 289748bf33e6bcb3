//! Why the program could not be loaded.

use lsm_ready_crds::node::Kernel;

use super::*;

#[test]
fn each_refused_load_has_its_reason() {
    use FailureKind::{BtfInvalid, BtfUnreadable, HookNotInBtf, Map, Other, Program};
    let listed = facts();
    let unlisted = listing(Some("capability,yama"));
    for (kind, errno, log, facts, reason, outcome) in [
        (Program, libc::EPERM, "", &listed, Reason::ListedButRefused, State::NotReady),
        (Program, libc::EACCES, "", &listed, Reason::ListedButRefused, State::NotReady),
        (Program, libc::EPERM, "", &unlisted, Reason::LsmProgramsRefused, State::NotReady),
        (Program, libc::EPERM, "", &listing(None), Reason::LsmProgramsRefused, State::NotReady),
        (Program, libc::EACCES, "invalid access", &listed, Reason::LoadFailed, State::NotReady),
        (Program, libc::EINVAL, "", &listed, Reason::ProgramTypeUnsupported, State::NotReady),
        (Program, libc::EINVAL, "bad insn", &listed, Reason::LoadFailed, State::NotReady),
        (Program, libc::ENOMEM, "", &listed, Reason::NoMemory, State::Unknown),
        (Map, libc::ENOMEM, "", &listed, Reason::NoMemory, State::Unknown),
        (BtfUnreadable, libc::ENOMEM, "", &listed, Reason::NoMemory, State::Unknown),
        (Program, libc::EAGAIN, "", &listed, Reason::LoadFailed, State::Unknown),
        (Map, libc::EMFILE, "", &listed, Reason::TooManyFiles, State::Unknown),
        (BtfUnreadable, libc::ENFILE, "", &listed, Reason::TooManyFiles, State::Unknown),
        (Map, libc::ENOSPC, "", &listed, Reason::NoSpace, State::Unknown),
        (Program, libc::ENOSPC, "", &listed, Reason::NoSpace, State::Unknown),
        (Map, libc::EPERM, "", &listed, Reason::BpfRefused, State::Unknown),
        (Map, libc::EACCES, "", &unlisted, Reason::BpfRefused, State::Unknown),
        (Map, libc::EINVAL, "", &listed, Reason::LoadFailed, State::NotReady),
        (HookNotInBtf, 0, "", &listed, Reason::HookNotInBtf, State::NotReady),
        (BtfInvalid, 0, "", &listed, Reason::LoadFailed, State::NotReady),
        (Other, 0, "", &listed, Reason::LoadFailed, State::NotReady),
    ] {
        let judged = judged(&finished(refused_load(kind, errno, log)), facts);
        assert_eq!(judged, (Evidence::None, reason, Some(outcome)), "{kind:?} {errno} {log:?}");
    }
}

#[test]
fn a_missing_capability_says_nothing_about_the_kernel() {
    let refused = finished(refused_load(FailureKind::Map, libc::EPERM, ""));
    for (facts, reason) in [
        (with_status("CapEff:\t0000000000000000\n"), Reason::MissingCapability),
        (with_status("CapEff:\t0000008000000000\n"), Reason::MissingCapability),
        (
            Facts::of(&Raw { user_namespace: Ok("user:[4026532222]".to_owned()), ..raw() }),
            Reason::MissingCapability,
        ),
    ] {
        assert_eq!(judged(&refused, &facts), (Evidence::None, reason, Some(State::Unknown)));
    }
}

#[test]
fn too_little_lockable_memory_is_not_taken_for_a_refusal() {
    let machine = |release: &str, capabilities: &str, hard: &str| {
        let kernel = Kernel { release: release.to_owned(), machine: "x86_64".to_owned() };
        let limits = Ok(format!("Max locked memory  65536  {hard}  bytes\n"));
        Facts::of(&Raw {
            kernel,
            status: Ok(format!("CapEff:\t{capabilities}\n")),
            limits,
            ..raw()
        })
    };
    let (few, all) = ("000000c000000000", "000001ffffffffff");
    let map = || refused_load(FailureKind::Map, libc::EPERM, "");
    let program = || refused_load(FailureKind::Program, libc::EPERM, "");
    let plain_too = Some(Err(Failure {
        kind: FailureKind::Program,
        errno: Some(libc::EPERM),
        message: "refused".to_owned(),
        verifier_log: String::new(),
    }));
    for (result, facts, reason) in [
        (map(), machine("5.10.205-eks", few, "65536"), Reason::MemlockTooLow),
        (map(), machine("5.10.205-eks", few, "unlimited"), Reason::BpfRefused),
        (map(), machine("5.10.205-eks", all, "65536"), Reason::BpfRefused),
        (map(), machine("5.11.0", few, "65536"), Reason::BpfRefused),
        (map(), machine("unknown", few, "65536"), Reason::BpfRefused),
        (program(), machine("5.10.205-eks", few, "65536"), Reason::ListedButRefused),
        (
            CanaryResult { plain_load: plain_too, ..program() },
            machine("5.10.0", few, "65536"),
            Reason::MemlockTooLow,
        ),
    ] {
        let what = format!("{:?} {:?}", facts.kernel, facts.process);
        assert_eq!(judged(&finished(result), &facts).1, reason, "{what}");
    }
}

#[test]
fn a_seccomp_filter_is_not_taken_for_a_refusal_by_the_kernel() {
    let filtered = with_status("CapEff:\t000000c000000000\nSeccomp:\t2\n");
    let answered = |errno| {
        finished(CanaryResult {
            bpf_call: Some(Answer(errno)),
            ..refused_load(FailureKind::Map, errno, "")
        })
    };
    for errno in [libc::EPERM, libc::ENOSYS] {
        let judged = judged(&answered(errno), &filtered);
        assert_eq!(
            judged,
            (Evidence::None, Reason::SeccompRefusesBpf, Some(State::Unknown)),
            "{errno}"
        );
    }
    // bpf(2) itself is reached, so the filter is not to blame.
    let refused = finished(refused_load(FailureKind::Program, libc::EPERM, ""));
    assert_eq!(judged(&refused, &filtered).1, Reason::ListedButRefused);
    // No filter: the kernel has no bpf(2).
    assert_eq!(judged(&answered(libc::ENOSYS), &facts()).1, Reason::ProgramTypeUnsupported);
    let killed = Observed { result: CanaryResult::default(), end: End::Signal(libc::SIGSYS) };
    assert_eq!(
        judged(&killed, &filtered),
        (Evidence::None, Reason::SeccompRefusesBpf, Some(State::Unknown))
    );
}

#[test]
fn missing_sysfs_is_not_taken_for_missing_btf() {
    let observed = finished(refused_load(FailureKind::BtfUnreadable, libc::ENOENT, ""));
    let missing =
        || Unread { missing: true, message: "/sys/kernel/btf/vmlinux: no such file".to_owned() };
    let without_btf = Facts::of(&Raw { btf: Err(missing()), ..raw() });
    assert_eq!(
        judged(&observed, &without_btf),
        (Evidence::None, Reason::BtfMissing, Some(State::NotReady))
    );
    let without_sysfs = Facts::of(&Raw {
        btf: Err(missing()),
        securityfs: Err(missing()),
        mountinfo: Err(missing()),
        ..raw()
    });
    assert_eq!(
        judged(&observed, &without_sysfs),
        (Evidence::None, Reason::BtfMissing, Some(State::Unknown))
    );
}

use lsm_ready_crds::State;
use lsm_ready_crds::node::{KERNEL_READS_CHECK, Kernel};
use proptest::prelude::*;

use super::*;
use crate::facts::{BtfNames, ConfigText, Raw, Unread, tests::raw};
use crate::sys::Answer;

fn judged(raw: &Raw) -> (Reason, State) {
    let facts = Facts::of(raw);
    (diagnose(&facts).reason, report(&facts, Duration::ZERO).holds(Evidence::Denied))
}

fn unread(missing: bool) -> Unread {
    Unread { missing, message: "x: no".to_owned() }
}

/// The list of active LSMs cannot be read.
fn list_unread() -> Raw {
    Raw { lsm_ids: Ok(vec![]), lsm_file: Err(unread(true)), ..raw() }
}

/// A container without sysfs.
fn without_sysfs() -> Raw {
    Raw {
        securityfs: Err(unread(true)),
        mountinfo: Ok("1 0 0:2 / / rw - overlay o rw\n".to_owned()),
        ..list_unread()
    }
}

/// A kernel without CONFIG_SECURITYFS.
fn without_securityfs() -> Raw {
    Raw { mountinfo: Ok("2 1 0:3 / /sys rw - sysfs s rw\n".to_owned()), ..without_sysfs() }
}

#[test]
fn the_message_names_everything_that_the_kernel_lacks() {
    let text = "# CONFIG_BPF_LSM is not set\n# CONFIG_DEBUG_INFO_BTF is not set\n".to_owned();
    let kernel_config = Ok(ConfigText { path: "/proc/config.gz".to_owned(), text });
    let found = diagnose(&Facts::of(&Raw { btf: Err(unread(true)), kernel_config, ..raw() }));
    let said = "built without CONFIG_BPF_LSM and CONFIG_DEBUG_INFO_BTF (by /proc/config.gz)";
    assert!(
        found.reason == Reason::BtfMissing && found.message.contains(said),
        "{}",
        found.message
    );
}

#[test]
fn lockdown_decides_whether_programs_may_read_kernel_memory() {
    let reads = |level: &str| {
        let facts = Facts::of(&Raw { lockdown: Ok(format!("[{level}]")), ..raw() });
        let check = report(&facts, Duration::ZERO)
            .checks
            .into_iter()
            .find(|check| check.name == KERNEL_READS_CHECK)
            .unwrap();
        (check.outcome, !check.fix.is_empty())
    };
    assert_eq!(reads("confidentiality"), (State::NotReady, true));
    assert_eq!(reads("integrity"), (State::Unknown, false));
}

#[test]
fn the_fix_for_a_kernel_without_securityfs_does_not_mount_it() {
    let facts = Facts::of(&without_securityfs());
    let mut report = report(&facts, Duration::ZERO);
    report.require_lsms(&["bpf".to_owned()], Evidence::Denied, &facts);
    let found = report.checks.iter().find(|check| check.name == "RequiredLsms").unwrap();
    assert!(
        found.outcome == State::Unknown && found.fix.contains("The verdict does not need it"),
        "{found:?}"
    );
    let text = crate::report::text::render(&report, Evidence::Denied);
    assert!(text.contains("What to do about RequiredLsms") && !text.contains("mount -t"), "{text}");
}

#[track_caller]
fn assert_judged(cases: impl IntoIterator<Item = (Raw, Reason, State)>) {
    for (raw, reason, holds) in cases {
        assert_eq!(judged(&raw), (reason, holds), "{raw:?}");
    }
}

fn config(text: &str) -> Result<ConfigText, Unread> {
    Ok(ConfigText { path: "/proc/config.gz".to_owned(), text: text.to_owned() })
}

/// The facts of a kernel whose BTF could not be read, which does not mean that it is missing.
fn btf_unread() -> Raw {
    Raw { btf: Err(unread(false)), ..raw() }
}

#[test]
fn facts_about_btf_show_that_programs_cannot_be_loaded() {
    use State::{NotReady, Unknown};
    let no_hook = Ok(BtfNames { bytes: 9, bpf_lsm: 1, canary_hook: false });
    let no_lsm = || config("# CONFIG_BPF_LSM is not set\n");
    let no_btf_built = config("# CONFIG_DEBUG_INFO_BTF is not set\n");
    let no_btf = || Err(unread(true));
    assert_judged([
        (raw(), Reason::NotTried, Unknown),
        (Raw { btf: no_btf(), ..raw() }, Reason::BtfMissing, NotReady),
        (btf_unread(), Reason::NotTried, Unknown),
        (Raw { kernel_config: no_lsm(), ..btf_unread() }, Reason::HookNotInBtf, NotReady),
        (Raw { kernel_config: no_lsm(), ..raw() }, Reason::NotTried, Unknown),
        (Raw { btf: no_hook, ..raw() }, Reason::HookNotInBtf, NotReady),
        (
            Raw { btf: no_btf(), kernel_config: no_btf_built, ..without_sysfs() },
            Reason::BtfMissing,
            NotReady,
        ),
        (Raw { btf: no_btf(), ..without_sysfs() }, Reason::NotTried, Unknown),
        (Raw { btf: no_btf(), ..without_securityfs() }, Reason::BtfMissing, NotReady),
        (without_securityfs(), Reason::NotTried, Unknown),
    ]);
}

#[test]
fn the_version_shows_what_a_kernel_lacks() {
    use State::{NotReady, Unknown};
    let kernel = |machine: &str, release: &str| Kernel {
        release: release.to_owned(),
        machine: machine.to_owned(),
    };
    let arm = |release: &str| Raw { kernel: kernel("aarch64", release), ..raw() };
    let amd = |release: &str| Raw { kernel: kernel("x86_64", release), ..btf_unread() };
    assert_judged([
        (arm("5.15.0-1051-aws"), Reason::TrampolineUnsupported, NotReady),
        (arm("5.14.0-503.el9.aarch64"), Reason::NotTried, Unknown),
        (arm("5.10.0-216.oe2203sp4.aarch64"), Reason::NotTried, Unknown),
        (arm("6.1.0-28-arm64"), Reason::NotTried, Unknown),
        (amd("5.4.0-42-generic"), Reason::HookNotInBtf, NotReady),
        (amd("4.18.0-553.el8_10"), Reason::NotTried, Unknown),
    ]);
}

#[test]
fn a_list_of_lsms_without_bpf_shows_that_programs_never_run() {
    use State::{NotReady, Unknown};
    let lsm_file = Ok("capability,yama".to_owned());
    let listed = Raw { lsm_ids: Err(Answer(libc::ENOSYS)), lsm_file, ..raw() };
    let booted = Raw { cmdline: Ok("lsm=yama".to_owned()), ..list_unread() };
    let kernel_config = config("CONFIG_LSM=\"yama\"\n");
    let built = Raw { cmdline: Ok("quiet".to_owned()), kernel_config, ..list_unread() };
    assert_judged([
        (listed, Reason::BpfNotInLsmList, NotReady),
        (list_unread(), Reason::NotTried, Unknown),
        (booted, Reason::BpfNotInLsmList, NotReady),
        (built, Reason::BpfNotInLsmList, NotReady),
    ]);
}

#[test]
fn a_list_without_bpf_does_not_rule_out_loading() {
    let facts = Facts::of(&Raw { lsm_ids: Ok(vec![100, 105]), ..raw() });
    let report = report(&facts, Duration::ZERO);
    assert_eq!(report.holds(Evidence::Attached), State::Unknown);
    assert_eq!(report.holds(Evidence::Fired), State::NotReady);
    assert!(
        report.fix.starts_with("Boot with lsm=landlock,lockdown,bpf")
            || report.fix.contains("dmesg"),
        "{}",
        report.fix
    );
}

proptest! {
    #[test]
    fn no_facts_are_evidence(
        ids in proptest::option::of(proptest::collection::vec(100..115u64, 0..9)), canary_hook: bool,
        machine in "x86_64|aarch64|s390x", release in "[4-6]\\.[0-9]{1,2}(\\.el9)?", lockdown in "\\[(none|confidentiality)\\]",
    ) {
        let facts = Facts::of(&Raw {
            lsm_ids: ids.ok_or(Answer(libc::ENOSYS)), lockdown: Ok(lockdown), kernel: Kernel { release, machine },
            btf: Ok(BtfNames { canary_hook, ..BtfNames::default() }), ..raw()
        });
        let report = report(&facts, Duration::ZERO);
        prop_assert_eq!(report.evidence, Evidence::None);
            let state = if report.holds(Evidence::Denied) == State::NotReady { State::NotReady } else { State::Unknown };
        prop_assert!(report.holds(Evidence::Denied) != State::Ready && report.reason.states().contains(&state));
        prop_assert!(!report.fix.is_empty());
    }
}

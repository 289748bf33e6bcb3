//! `node-probe check --from`: what recorded texts suggest about a machine that nothing is tried on.
//!
//! In: the facts. Out: a report whose evidence is always `None`. Texts can show that it cannot work, and never that it
//! does: where nothing contradicts, the reason is `NotTried`.

use lsm_ready_crds::State;
use lsm_ready_crds::node::Check;
use lsm_ready_crds::{Evidence, Reason};

use super::diagnose::{Diagnosis, with_missing};
use super::{Report, checks};
use crate::canary::CanaryResult;
use crate::facts::Facts;
use crate::facts::missing::{Missing, describe, missing};

/// The report on texts alone.
pub fn report(facts: &Facts, duration_ms: u64) -> Report {
    let nothing_tried = checks::of(&CanaryResult::default(), facts);
    Report::from_diagnosis(diagnose(facts), nothing_tried, facts, duration_ms)
}

/// What the texts say: the lowest rung that they show to be out of reach.
pub fn diagnose(facts: &Facts) -> Diagnosis {
    let obstacle =
        not_loadable(facts).or_else(|| not_attachable(facts)).or_else(|| not_active(facts));
    let (reason, message) = match &obstacle {
        Some((_, reason, detail)) => (*reason, format!("by the recorded texts it cannot work: {detail}")),
        None => (
            Reason::NotTried,
            "only recorded texts were looked at; nothing in them says that it cannot work, and nothing was tried"
                .to_owned(),
        ),
    };
    let check = |rung: Evidence| {
        let (outcome, reason, detail) = match &obstacle {
            Some((at, reason, detail)) if *at == rung => {
                (State::NotReady, reason.code().to_owned(), detail.clone())
            }
            _ => (State::Unknown, String::new(), "only texts were looked at".to_owned()),
        };
        Check { name: rung.as_str().to_owned(), outcome, reason, detail, fix: String::new() }
    };
    let rungs = Evidence::RUNGS.into_iter().map(check).collect();
    Diagnosis { evidence: Evidence::None, reason, message, rungs }
}

type Obstacle = (Evidence, Reason, String);

fn not_loadable(facts: &Facts) -> Option<Obstacle> {
    if let Some(absent) = facts.absent_btf() {
        return Some((Evidence::Loaded, Reason::BtfMissing, with_missing(&absent, facts)));
    }
    match facts.btf.as_ref()? {
        Ok(btf) if !btf.canary_hook => {
            let detail = format!(
                "the kernel's BTF has no hook bpf_lsm_task_prctl ({} names bpf_lsm_*)",
                btf.bpf_lsm
            );
            Some((Evidence::Loaded, Reason::HookNotInBtf, with_missing(&detail, facts)))
        }
        // BTF is the running kernel's own, and goes before a configuration that may be another kernel's.
        Ok(_) => None,
        Err(_) => not_built(facts),
    }
}

/// BTF could not be read, so the configuration and the version are all that there is.
fn not_built(facts: &Facts) -> Option<Obstacle> {
    let missing = missing(facts);
    let needed = |option: &'static str| missing.contains(&Missing::Option(option));
    let is_too_old = facts.kernel.machine == "x86_64"
        && missing.iter().any(|one| matches!(one, Missing::Version { .. }));
    let reason = match () {
        () if needed("CONFIG_BPF_SYSCALL") => Reason::ProgramTypeUnsupported,
        () if needed("CONFIG_BPF_LSM") || is_too_old => Reason::HookNotInBtf,
        () => return None,
    };
    Some((Evidence::Loaded, reason, describe(facts)))
}

fn not_attachable(facts: &Facts) -> Option<Obstacle> {
    (facts.has_trampolines() == Some(false)).then(|| {
        let detail = format!(
            "{} has no BPF trampolines on Linux {}",
            facts.kernel.machine, facts.kernel.release
        );
        (Evidence::Attached, Reason::TrampolineUnsupported, detail)
    })
}

fn not_active(facts: &Facts) -> Option<Obstacle> {
    let detail = match facts.lists_bpf() {
        Some(true) => return None,
        Some(false) => format!("bpf is not among the active LSMs {}", facts.lsms_detail),
        None => facts.left_out_by("bpf")?,
    };
    Some((Evidence::Fired, Reason::BpfNotInLsmList, detail))
}

#[cfg(test)]
mod tests {
    use lsm_ready_crds::State;
    use lsm_ready_crds::node::{KERNEL_READS_CHECK, Kernel};
    use proptest::prelude::*;

    use super::*;
    use crate::facts::{BtfNames, ConfigText, Raw, Unread, tests::raw};
    use crate::sys::Answer;

    fn judged(raw: &Raw) -> (Reason, State) {
        let facts = Facts::of(raw);
        (diagnose(&facts).reason, report(&facts, 0).holds(Evidence::Denied))
    }

    fn unread(missing: bool) -> Unread {
        Unread { missing, message: "x: no".to_owned() }
    }

    /// The list of active LSMs cannot be read.
    fn list_unread() -> Raw {
        Raw { lsm_ids: Ok(vec![]), lsm_file: Err(unread(true)), ..raw() }
    }

    /// A container to which no sysfs was given.
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
    fn everything_that_the_kernel_lacks_is_named_at_once() {
        let text = "# CONFIG_BPF_LSM is not set\n# CONFIG_DEBUG_INFO_BTF is not set\n".to_owned();
        let kernel_config = Ok(ConfigText { path: "/proc/config.gz".to_owned(), text });
        let found = diagnose(&Facts::of(&Raw { btf: Err(unread(true)), kernel_config, ..raw() }));
        let said =
            "built without CONFIG_BPF_LSM and CONFIG_DEBUG_INFO_BTF (/proc/config.gz says so)";
        assert!(
            found.reason == Reason::BtfMissing && found.message.contains(said),
            "{}",
            found.message
        );
    }

    #[test]
    fn lockdown_alone_decides_whether_programs_may_read_kernel_memory() {
        let reads = |level: &str| {
            let facts = Facts::of(&Raw { lockdown: Ok(format!("[{level}]")), ..raw() });
            let check = report(&facts, 0)
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
    fn a_kernel_without_securityfs_is_told_what_helps_there() {
        let facts = Facts::of(&without_securityfs());
        let mut report = report(&facts, 0);
        report.require_lsms(&["bpf".to_owned()], Evidence::Denied, &facts);
        let found = report.checks.iter().find(|check| check.name == "RequiredLsms").unwrap();
        assert!(
            found.outcome == State::Unknown && found.fix.contains("The verdict does not need it"),
            "{found:?}"
        );
        let text = crate::report::text::render(&report, Evidence::Denied);
        assert!(
            text.contains("What to do about RequiredLsms") && !text.contains("mount -t"),
            "{text}"
        );
    }

    #[test]
    fn texts_show_what_cannot_work_and_never_that_it_does() {
        let config = |text: &str| {
            Ok(ConfigText { path: "/proc/config.gz".to_owned(), text: text.to_owned() })
        };
        let kernel = |release: &str, machine: &str| Kernel {
            release: release.to_owned(),
            machine: machine.to_owned(),
        };
        let (arm, amd) =
            (|release: &str| kernel(release, "aarch64"), |release: &str| kernel(release, "x86_64"));
        let no_hook = Ok(BtfNames { bytes: 9, bpf_lsm: 1, canary_hook: false });
        let listing = |list: &str| (Err(Answer(libc::ENOSYS)), Ok(list.to_owned()));
        let (no_call, without_bpf) = listing("capability,yama");
        for (raw, reason, holds) in [
            (raw(), Reason::NotTried, State::Unknown),
            (Raw { btf: Err(unread(true)), ..raw() }, Reason::BtfMissing, State::NotReady),
            (Raw { btf: Err(unread(false)), ..raw() }, Reason::NotTried, State::Unknown),
            (
                Raw {
                    btf: Err(unread(false)),
                    kernel_config: config("# CONFIG_BPF_LSM is not set\n"),
                    ..raw()
                },
                Reason::HookNotInBtf,
                State::NotReady,
            ),
            (
                Raw { kernel_config: config("# CONFIG_BPF_LSM is not set\n"), ..raw() },
                Reason::NotTried,
                State::Unknown,
            ),
            (Raw { btf: no_hook, ..raw() }, Reason::HookNotInBtf, State::NotReady),
            (
                Raw { kernel: arm("5.15.0-1051-aws"), ..raw() },
                Reason::TrampolineUnsupported,
                State::NotReady,
            ),
            (
                Raw { kernel: arm("5.14.0-503.el9.aarch64"), ..raw() },
                Reason::NotTried,
                State::Unknown,
            ),
            (
                Raw { kernel: arm("5.10.0-216.oe2203sp4.aarch64"), ..raw() },
                Reason::NotTried,
                State::Unknown,
            ),
            (Raw { kernel: arm("6.1.0-28-arm64"), ..raw() }, Reason::NotTried, State::Unknown),
            (
                Raw { lsm_ids: no_call, lsm_file: without_bpf, ..raw() },
                Reason::BpfNotInLsmList,
                State::NotReady,
            ),
            (list_unread(), Reason::NotTried, State::Unknown),
            (
                Raw { cmdline: Ok("lsm=yama".to_owned()), ..list_unread() },
                Reason::BpfNotInLsmList,
                State::NotReady,
            ),
            (
                Raw {
                    cmdline: Ok("quiet".to_owned()),
                    kernel_config: config("CONFIG_LSM=\"yama\"\n"),
                    ..list_unread()
                },
                Reason::BpfNotInLsmList,
                State::NotReady,
            ),
            (
                Raw { kernel: amd("5.4.0-42-generic"), btf: Err(unread(false)), ..raw() },
                Reason::HookNotInBtf,
                State::NotReady,
            ),
            (
                Raw { kernel: amd("4.18.0-553.el8_10"), btf: Err(unread(false)), ..raw() },
                Reason::NotTried,
                State::Unknown,
            ),
            (
                Raw {
                    btf: Err(unread(true)),
                    kernel_config: config("# CONFIG_DEBUG_INFO_BTF is not set\n"),
                    ..without_sysfs()
                },
                Reason::BtfMissing,
                State::NotReady,
            ),
            (Raw { btf: Err(unread(true)), ..without_sysfs() }, Reason::NotTried, State::Unknown),
            (
                Raw { btf: Err(unread(true)), ..without_securityfs() },
                Reason::BtfMissing,
                State::NotReady,
            ),
            (without_securityfs(), Reason::NotTried, State::Unknown),
        ] {
            assert_eq!(judged(&raw), (reason, holds), "{raw:?}");
        }
    }

    #[test]
    fn a_list_without_bpf_says_nothing_about_loading() {
        let facts = Facts::of(&Raw { lsm_ids: Ok(vec![100, 105]), ..raw() });
        let report = report(&facts, 0);
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
        fn no_text_is_evidence(
            ids in proptest::option::of(proptest::collection::vec(100..115u64, 0..9)), canary_hook: bool,
            machine in "x86_64|aarch64|s390x", release in "[4-6]\\.[0-9]{1,2}(\\.el9)?", lockdown in "\\[(none|confidentiality)\\]",
        ) {
            let facts = Facts::of(&Raw {
                lsm_ids: ids.ok_or(Answer(libc::ENOSYS)), lockdown: Ok(lockdown), kernel: Kernel { release, machine },
                btf: Ok(BtfNames { canary_hook, ..BtfNames::default() }), ..raw()
            });
            let report = report(&facts, 0);
            prop_assert_eq!(report.evidence, Evidence::None);
            let reason = Reason::from_code(&report.reason).unwrap();
            let state = if report.holds(Evidence::Denied) == State::NotReady { State::NotReady } else { State::Unknown };
            prop_assert!(report.holds(Evidence::Denied) != State::Ready && reason.states().contains(&state));
            prop_assert!(!report.fix.is_empty());
        }
    }
}

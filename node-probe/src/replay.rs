//! `node-probe check --from`: what recorded texts suggest about a machine that nothing is tried on.
//!
//! In: the facts. Out: a report whose evidence is always `None`. Texts can show that it cannot work, and never that it
//! does: where nothing contradicts, the reason is `NotTried`.

use lsm_ready_crds::node::{Check, Outcome};
use lsm_ready_crds::{Evidence, Reason};

use crate::canary::Trial;
use crate::diagnose::Diagnosis;
use crate::facts::{Facts, Securityfs};
use crate::report::{Report, checks};

/// The report on texts alone.
#[must_use]
pub fn report(facts: &Facts, duration_ms: u64) -> Report {
    let nothing_tried = checks::of(&Trial::default(), facts);
    Report::from_diagnosis(diagnose(facts), nothing_tried, facts, duration_ms)
}

/// What the texts say: the lowest rung that they show to be out of reach.
#[must_use]
pub fn diagnose(facts: &Facts) -> Diagnosis {
    let obstacle = not_loadable(facts).or_else(|| not_attachable(facts)).or_else(|| not_active(facts));
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
            Some((at, reason, detail)) if *at == rung => (Outcome::Fail, reason.code().to_owned(), detail.clone()),
            _ => (Outcome::Unknown, String::new(), "only texts were looked at".to_owned()),
        };
        Check { name: rung.as_str().to_owned(), outcome, reason, detail, fix: String::new() }
    };
    let rungs = Evidence::RUNGS.into_iter().map(check).collect();
    Diagnosis { evidence: Evidence::None, reason, message, rungs }
}

type Obstacle = (Evidence, Reason, String);

fn not_loadable(facts: &Facts) -> Option<Obstacle> {
    match facts.btf.as_ref()? {
        // Without sysfs the absence of a file below it says nothing about the kernel.
        Err(unread) if unread.missing && facts.securityfs != Securityfs::Missing => {
            Some((Evidence::Loaded, Reason::BtfMissing, format!("the kernel offers no BTF: {}", unread.message)))
        }
        Ok(btf) if !btf.canary_hook => {
            let detail = format!("the kernel's BTF has no hook bpf_lsm_task_prctl ({} names bpf_lsm_*)", btf.bpf_lsm);
            Some((Evidence::Loaded, Reason::HookNotInBtf, detail))
        }
        Ok(_) => None,
        // A file beside the kernel may be another kernel's, but this much is all that there is.
        Err(_) => {
            let config = facts.kernel_config.as_ref().filter(|config| !config.has("CONFIG_BPF_LSM"))?;
            let detail = format!("{} says that CONFIG_BPF_LSM is not set", config.path);
            Some((Evidence::Loaded, Reason::HookNotInBtf, detail))
        }
    }
}

fn not_attachable(facts: &Facts) -> Option<Obstacle> {
    (facts.has_trampolines() == Some(false)).then(|| {
        let detail = format!("{} has no BPF trampolines on Linux {}", facts.kernel.machine, facts.kernel.release);
        (Evidence::Attached, Reason::TrampolineUnsupported, detail)
    })
}

fn not_active(facts: &Facts) -> Option<Obstacle> {
    (facts.lists_bpf() == Some(false)).then(|| {
        let detail = format!("bpf is not among the active LSMs {}", facts.lsms_detail);
        (Evidence::Fired, Reason::BpfNotInLsmList, detail)
    })
}

#[cfg(test)]
mod tests {
    use lsm_ready_crds::node::Kernel;
    use lsm_ready_crds::verdict::State;
    use proptest::prelude::*;

    use super::*;
    use crate::facts::{BtfNames, ConfigText, Raw, Unread, tests::raw};
    use crate::report::Holds;
    use crate::sys::Answer;

    fn judged(raw: &Raw) -> (Reason, Holds) {
        let facts = Facts::of(raw);
        (diagnose(&facts).reason, report(&facts, 0).holds(Evidence::Denied))
    }

    fn unread(missing: bool) -> Unread {
        Unread { missing, message: "x: no".to_owned() }
    }

    #[test]
    fn texts_show_what_cannot_work_and_never_that_it_does() {
        let config = |text: &str| Ok(ConfigText { path: "/proc/config.gz".to_owned(), text: text.to_owned() });
        let arm = |release: &str| Kernel { release: release.to_owned(), machine: "aarch64".to_owned() };
        let no_hook = Ok(BtfNames { bytes: 9, bpf_lsm: 1, canary_hook: false });
        let listing = |list: &str| (Err(Answer(libc::ENOSYS)), Ok(list.to_owned()));
        let (no_call, without_bpf) = listing("capability,yama");
        for (raw, reason, holds) in [
            (raw(), Reason::NotTried, Holds::Untried),
            (Raw { btf: Err(unread(true)), ..raw() }, Reason::BtfMissing, Holds::No),
            (Raw { btf: Err(unread(false)), ..raw() }, Reason::NotTried, Holds::Untried),
            (
                Raw { btf: Err(unread(false)), kernel_config: config("# CONFIG_BPF_LSM is not set\n"), ..raw() },
                Reason::HookNotInBtf,
                Holds::No,
            ),
            (Raw { kernel_config: config("# CONFIG_BPF_LSM is not set\n"), ..raw() }, Reason::NotTried, Holds::Untried),
            (Raw { btf: no_hook, ..raw() }, Reason::HookNotInBtf, Holds::No),
            (Raw { kernel: arm("5.15.0-1051-aws"), ..raw() }, Reason::TrampolineUnsupported, Holds::No),
            (Raw { kernel: arm("5.14.0-503.el9.aarch64"), ..raw() }, Reason::NotTried, Holds::Untried),
            (Raw { kernel: arm("6.1.0-28-arm64"), ..raw() }, Reason::NotTried, Holds::Untried),
            (Raw { lsm_ids: no_call, lsm_file: without_bpf, ..raw() }, Reason::BpfNotInLsmList, Holds::No),
            (Raw { lsm_ids: Ok(vec![]), lsm_file: Err(unread(true)), ..raw() }, Reason::NotTried, Holds::Untried),
        ] {
            assert_eq!(judged(&raw), (reason, holds), "{raw:?}");
        }
    }

    #[test]
    fn a_list_without_bpf_says_nothing_about_loading() {
        let facts = Facts::of(&Raw { lsm_ids: Ok(vec![100, 105]), ..raw() });
        let report = report(&facts, 0);
        assert_eq!(report.holds(Evidence::Attached), Holds::Untried);
        assert_eq!(report.holds(Evidence::Fired), Holds::No);
        assert!(
            report.fix.starts_with("Boot with lsm=landlock,lockdown,bpf") || report.fix.contains("dmesg"),
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
            let state = if report.holds(Evidence::Denied) == Holds::No { State::NotReady } else { State::Unknown };
            prop_assert!(report.holds(Evidence::Denied) != Holds::Yes && reason.states().contains(&state));
            prop_assert!(!report.fix.is_empty());
        }
    }
}

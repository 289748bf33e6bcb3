//! The right answer of a case, derived by rule from its boot parameters, its place and the truth.
//!
//! In: kernel, boot, place, truth. Out: answer, evidence, reason and [`Fix`] of the case's cause.
//! No verdict is written by hand for any kernel.

use serde::Serialize;

use e2e_guest::place::Hindrance;

use super::machines::Truth;
use super::{Boot, Place};
use crate::stock_kernel::Kernel;

/// An answer to "can this machine deny something?".
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
pub enum Answer {
    /// Yes.
    Ready,
    /// No.
    NotReady,
    /// Not known.
    Unknown,
}

/// What to change, as the text has to put it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Fix {
    /// Nothing.
    Nothing,
    /// Other boot parameters: the text begins with these words.
    Boot(String),
    /// Something else: the text contains these words.
    Says(&'static str),
}

impl Fix {
    /// Whether the text is right.
    pub fn is(&self, text: &str) -> bool {
        match self {
            Self::Nothing => text.is_empty(),
            Self::Boot(words) => text.starts_with(words),
            Self::Says(words) => text.contains(words),
        }
    }
}

/// What node-probe has to say.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Expected {
    /// The answer.
    pub answer: Answer,
    /// The highest rung proved.
    pub evidence: &'static str,
    /// The reason's code.
    pub reason: &'static str,
    /// The fix.
    pub fix: Fix,
}

const PROFILE: &str = "seccomp profile that allows bpf(2)";
const CAPABILITIES: &str = "capabilities BPF and PERFMON";
const OPTIONS: &str = "Find what answers prctl(2)";
const TRAMPOLINES: &str = "on arm64 at least Linux 6.4";
const BTF: &str = "CONFIG_DEBUG_INFO_BTF=y";

/// What node-probe has to say in a case with that truth.
pub fn expect(kernel: &Kernel, boot: &Boot, place: Place, truth: &Truth) -> Expected {
    // The canary calls prctl(2) only after it was attached.
    let comes_first = |hindrance: &Hindrance| *hindrance != Hindrance::Prctl || truth.attached;
    if let Some(hindrance) = place.hindrance().filter(comes_first) {
        return untried(hindrance);
    }
    let not_ready =
        |evidence, reason, fix| Expected { answer: Answer::NotReady, evidence, reason, fix };
    if place == Place::BtfMissing {
        return not_ready("None", "BtfMissing", Fix::Says(BTF));
    }
    if truth.loaded && !truth.attached {
        return not_ready("Loaded", "TrampolineUnsupported", Fix::Says(TRAMPOLINES));
    }
    if truth.denied {
        return Expected {
            answer: Answer::Ready,
            evidence: "Denied",
            reason: "CanaryDenied",
            fix: Fix::Nothing,
        };
    }
    let can_be_read = place.has_securityfs() || kernel.lists_lsms_by_call();
    let reason = if can_be_read { "BpfNotInLsmList" } else { "NeverFired" };
    not_ready("Attached", reason, Fix::Boot(boot_fix(boot)))
}

/// Something keeps the probe from trying, so that it cannot know what the kernel can do.
fn untried(hindrance: Hindrance) -> Expected {
    let (evidence, reason, words) = match hindrance {
        Hindrance::Capability => ("None", "MissingCapability", CAPABILITIES),
        Hindrance::Seccomp => ("None", "SeccompRefusesBpf", PROFILE),
        Hindrance::Prctl => ("Attached", "CallIntercepted", OPTIONS),
        Hindrance::Sysfs => ("None", "BtfMissing", BTF),
    };
    Expected { answer: Answer::Unknown, evidence, reason, fix: Fix::Says(words) }
}

/// How the fix begins: with the list of the boot, all names kept, and `bpf` among them. Where that
/// list is empty, the fix may begin with any list.
fn boot_fix(boot: &Boot) -> String {
    let present = boot.lsm_parameter().unwrap_or_default();
    let mut names: Vec<&str> = present.split(',').filter(|name| !name.is_empty()).collect();
    if names.is_empty() {
        return "Boot with lsm=".to_owned();
    }
    match names.iter_mut().find(|name| **name == "bfp") {
        Some(misspelt) => *misspelt = "bpf",
        None => names.push("bpf"),
    }
    format!("Boot with lsm={} in place of lsm={present}.", names.join(","))
}

/// Whether something can be denied, by the boot parameters: where the list that counts has `bpf`,
/// and where there are BTF and trampolines.
pub fn promised(kernel: &Kernel, boot: &Boot, place: Place) -> bool {
    let list = boot.lsm_parameter().unwrap_or_else(|| kernel.default_lsms());
    list.split(',').any(|name| name == "bpf")
        && place != Place::BtfMissing
        && kernel.has_trampolines()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stock_kernel::tests::kernel;

    const WITHOUT: Boot = Boot { parameters: "lsm=yama,bfp", places: &Place::ALL };

    fn reason(release: &str, place: Place, denied: bool) -> (Answer, &'static str) {
        let truth = Truth { loaded: true, attached: true, denied, ..Truth::default() };
        let expected = expect(&kernel(release), &WITHOUT, place, &truth);
        (expected.answer, expected.reason)
    }

    #[test]
    fn a_hindered_probe_has_to_say_that_it_does_not_know() {
        for denied in [true, false] {
            assert_eq!(
                reason("6.1.0", Place::Nobody, denied),
                (Answer::Unknown, "MissingCapability")
            );
            assert_eq!(
                reason("6.1.0", Place::SeccompKill, denied),
                (Answer::Unknown, "SeccompRefusesBpf")
            );
        }
    }

    #[test]
    fn a_program_that_never_fires_is_explained_by_the_list_where_it_can_be_read() {
        assert_eq!(reason("6.1.0", Place::Host, false), (Answer::NotReady, "BpfNotInLsmList"));
        assert_eq!(
            reason("6.1.0", Place::SecurityfsEmpty, false),
            (Answer::NotReady, "NeverFired")
        );
        assert_eq!(
            reason("6.12.0", Place::SecurityfsEmpty, false),
            (Answer::NotReady, "BpfNotInLsmList")
        );
        assert_eq!(reason("6.1.0", Place::SecurityfsEmpty, true), (Answer::Ready, "CanaryDenied"));
    }

    #[test]
    fn a_program_that_cannot_be_attached_needs_another_kernel() {
        let truth = Truth { loaded: true, ..Truth::default() };
        for place in [Place::Host, Place::SeccompPrctl] {
            let expected = expect(&kernel("6.1.0"), &WITHOUT, place, &truth);
            assert_eq!((expected.evidence, expected.reason), ("Loaded", "TrampolineUnsupported"));
        }
        assert_eq!(
            expect(&kernel("6.1.0"), &WITHOUT, Place::Nobody, &truth).reason,
            "MissingCapability"
        );
    }

    #[test]
    fn the_fix_keeps_all_names_of_the_list() {
        let fix = |parameters| boot_fix(&Boot { parameters, places: &[] });
        assert_eq!(fix("lsm=yama,bfp"), "Boot with lsm=yama,bpf in place of lsm=yama,bfp.");
        assert_eq!(fix("lsm=bpf lsm=yama"), "Boot with lsm=yama,bpf in place of lsm=yama.");
        assert_eq!(fix("lsm=yama, bpf"), "Boot with lsm=yama,bpf in place of lsm=yama,.");
        assert_eq!(fix("lsm="), "Boot with lsm=");
        assert_eq!(fix("quiet"), "Boot with lsm=");
    }

    #[test]
    fn the_last_list_decides_what_the_parameters_promise() {
        let promised =
            |parameters, place| promised(&kernel("6.1"), &Boot { parameters, places: &[] }, place);
        assert!(promised("", Place::Host), "the kernel's default list");
        assert!(promised("lsm=yama lsm=bpf", Place::SecurityfsEmpty));
        assert!(!promised("lsm=bpf lsm=yama", Place::Host));
        assert!(!promised("lsm=yama, bpf", Place::Host));
        assert!(!promised("lsm=bpf", Place::BtfMissing));
    }
}

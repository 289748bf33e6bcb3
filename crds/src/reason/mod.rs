//! Why a node is ready or not: a closed list of reasons, each with a code.
//!
//! In: a code. Out: what the reason means, how to tell it apart, the node's state, and what to do.
//! The probe writes the code to `LsmNode.status.reason`. The verdict adds the reasons that only
//! follow from a policy. Codes are part of the API, because people alert on them. `table` has the
//! texts, and `docs` generates docs/reasons.md from them.

pub mod docs;
mod table;

pub use table::Reason;

use serde::{Serialize, Serializer};

use crate::State;
use crate::text;

/// Which part of lsm-ready finds a reason.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Source {
    /// The probe, by its trial.
    Probe,
    /// The verdict, by what a policy requires.
    Policy,
    /// `node-probe check --from`, from recorded texts.
    Texts,
}

impl Reason {
    /// The reason with that code. `None` for a code of another version.
    #[must_use]
    pub fn from_code(code: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|reason| reason.code() == code)
    }

    /// The node's state in words, for example `not ready or unknown`.
    #[must_use]
    pub fn node_is(self) -> String {
        let words: Vec<&str> = self.states().iter().map(|state| state.words()).collect();
        words.join(" or ")
    }

    /// Whether another boot argument is what a node with this reason needs, and the kernel and the
    /// platform may stay as they are.
    #[must_use]
    pub const fn is_of_boot_arguments(self) -> bool {
        match self {
            Self::BpfNotInLsmList
            | Self::NeverFired
            | Self::RequiredLsmInactive
            | Self::KernelReadsForbidden => true,
            Self::CanaryDenied
            | Self::ListedButNotFired
            | Self::ListedButRefused
            | Self::LsmProgramsRefused
            | Self::BtfMissing
            | Self::HookNotInBtf
            | Self::ProgramTypeUnsupported
            | Self::TrampolineUnsupported
            | Self::FiredNotDenied
            | Self::LoadFailed
            | Self::AttachFailed
            | Self::MissingCapability
            | Self::SeccompRefusesBpf
            | Self::BpfRefused
            | Self::CallIntercepted
            | Self::MemlockTooLow
            | Self::NoMemory
            | Self::NoSpace
            | Self::TooManyFiles
            | Self::CanaryTimedOut
            | Self::CanaryCrashed
            | Self::CanaryNotStarted
            | Self::NoReport
            | Self::ReportFromEarlierBoot
            | Self::EvidenceInconsistent
            | Self::ProbeVersionUnknown
            | Self::EvidenceTooLow
            | Self::LsmListUnknown
            | Self::HookNotInKernel
            | Self::HookNotAttachable
            | Self::HookNotSleepable
            | Self::HookProfileMissing
            | Self::KernelReadsUnknown
            | Self::TracingPoliciesUnknown
            | Self::NotTried => false,
        }
    }

    /// At most three reasons whose codes are similar to a mistyped one, the most similar first.
    #[must_use]
    pub fn nearest(text: &str) -> Vec<Self> {
        // Longer texts cannot be codes, and comparing them would be slow.
        let text = text.chars().take(64).collect::<String>().to_lowercase();
        let codes: Vec<String> =
            Self::ALL.iter().map(|reason| reason.code().to_lowercase()).collect();
        text::nearest(&text, codes.iter().map(String::as_str))
            .into_iter()
            .filter_map(|code| Self::ALL.get(codes.iter().position(|other| other == code)?))
            .copied()
            .collect()
    }
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.code())
    }
}

impl Serialize for Reason {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.code())
    }
}

impl State {
    /// The state in words.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::NotReady => "not ready",
            Self::Unknown => "unknown",
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn each_code_is_unique_and_its_texts_are_sentences() {
        for reason in Reason::ALL {
            assert_eq!(Reason::from_code(reason.code()), Some(*reason));
            for text in [reason.meaning(), reason.distinguish(), reason.remedy()] {
                assert!(
                    text.ends_with('.') && !text.contains('\n') && !text.contains("  "),
                    "{reason}: {text}"
                );
            }
            assert!(!reason.states().is_empty(), "{reason}");
        }
        let ready: Vec<_> =
            Reason::ALL.iter().filter(|reason| reason.states().contains(&State::Ready)).collect();
        assert_eq!(ready, [&Reason::CanaryDenied]);
    }

    #[test]
    fn a_reason_of_boot_arguments_has_a_fix_that_says_how_to_boot() {
        for reason in Reason::ALL.iter().filter(|reason| reason.is_of_boot_arguments()) {
            assert!(reason.states() == [State::NotReady], "{reason}");
            let fix = reason.remedy().to_lowercase();
            assert!(fix.contains("boot"), "{reason}: {fix}");
        }
    }

    #[test]
    fn a_mistyped_code_suggests_the_right_one() {
        for (text, nearest) in [
            ("BpfNotInLsmLst", Some(Reason::BpfNotInLsmList)),
            ("bpfnotinlsmlist", Some(Reason::BpfNotInLsmList)),
            ("NoMemroy", Some(Reason::NoMemory)),
            ("memlock", Some(Reason::MemlockTooLow)),
            ("", None),
            ("an altogether different thing", None),
        ] {
            assert_eq!(Reason::nearest(text).first().copied(), nearest, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "\\PC*") {
            prop_assert!(Reason::nearest(&text).len() <= 3);
        }
    }
}

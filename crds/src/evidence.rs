//! The ladder of evidence: what a node has proved in this boot that it can do through LSM BPF.

use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What the canary program proved. Each rung includes the lower ones. Texts such as the list of
/// active LSMs or the kernel's configuration never raise the evidence.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    Deserialize,
    Eq,
    Hash,
    JsonSchema,
    Ord,
    PartialEq,
    PartialOrd,
    Serialize,
)]
pub enum Evidence {
    /// Nothing is proved.
    #[default]
    None,
    /// The kernel loaded an LSM program: BTF, program type, capabilities and platform allow it.
    Loaded,
    /// The program was attached to its hook, which fails on arm64 before Linux 6.4.
    Attached,
    /// The program ran when its hook was called, which needs `bpf` among the active LSMs.
    Fired,
    /// The program denied our test call and no other, and only while it was attached.
    Denied,
}

/// The evidence that a policy or a command can require: every rung except `None`.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    Deserialize,
    Eq,
    Hash,
    JsonSchema,
    Ord,
    PartialEq,
    PartialOrd,
    Serialize,
)]
pub enum RequiredEvidence {
    /// An LSM program can be loaded.
    Loaded,
    /// An LSM program can be attached.
    Attached,
    /// An attached LSM program runs.
    Fired,
    /// An attached LSM program denies.
    #[default]
    Denied,
}

impl From<RequiredEvidence> for Evidence {
    fn from(required: RequiredEvidence) -> Self {
        match required {
            RequiredEvidence::Loaded => Self::Loaded,
            RequiredEvidence::Attached => Self::Attached,
            RequiredEvidence::Fired => Self::Fired,
            RequiredEvidence::Denied => Self::Denied,
        }
    }
}

impl Evidence {
    /// The rungs above `None`, lowest first.
    pub const RUNGS: [Self; 4] = [Self::Loaded, Self::Attached, Self::Fired, Self::Denied];

    /// The name of the rung in objects, checks and output.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "None",
            Self::Loaded => "Loaded",
            Self::Attached => "Attached",
            Self::Fired => "Fired",
            Self::Denied => "Denied",
        }
    }
}

/// A word that is not the name of a rung.
#[derive(Debug, thiserror::Error)]
#[error("invalid evidence {0:?}: use loaded, attached, fired or denied")]
pub struct NotEvidence(String);

impl FromStr for RequiredEvidence {
    type Err = NotEvidence;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        match word.to_ascii_lowercase().as_str() {
            "loaded" => Ok(Self::Loaded),
            "attached" => Ok(Self::Attached),
            "fired" => Ok(Self::Fired),
            "denied" => Ok(Self::Denied),
            _ => Err(NotEvidence(word.to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rungs_are_sorted_from_low_to_high() {
        assert!(Evidence::RUNGS.is_sorted());
        assert!(Evidence::None < Evidence::RUNGS[0]);
    }

    #[test]
    fn required_evidence_is_parsed_in_upper_and_lower_case() {
        assert_eq!("DeniEd".parse::<RequiredEvidence>().unwrap(), RequiredEvidence::Denied);
        assert!("none".parse::<RequiredEvidence>().is_err());
    }
}

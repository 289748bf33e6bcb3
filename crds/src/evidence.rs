//! The ladder of evidence: what this boot of a node has shown that it can do through LSM BPF.

use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What the canary has proved. Each rung includes the ones below it; nothing that is merely read from a text
/// (the `lsm` list, the kernel's configuration) ever raises it.
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
    /// The verifier took an LSM program: BTF, program type, capability and platform policy allow it.
    Loaded,
    /// The trampoline attached (arm64 before Linux 6.4 fails here).
    Attached,
    /// The program ran when its hook was called (without `bpf` among the active LSMs it never does).
    Fired,
    /// The program denied our call, and only ours, and only while it was attached.
    Denied,
}

/// The evidence a policy or a caller may ask for: every rung but the lowest, which is no evidence at all.
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
    /// The rungs that have to be climbed, lowest first.
    pub const RUNGS: [Self; 4] = [Self::Loaded, Self::Attached, Self::Fired, Self::Denied];

    /// The name used in objects, checks and output.
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

/// A word that names no rung.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is not a kind of evidence: use loaded, attached, fired or denied")]
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
    fn rungs_are_ordered() {
        assert!(Evidence::RUNGS.is_sorted());
        assert!(Evidence::None < Evidence::RUNGS[0]);
    }

    #[test]
    fn required_evidence_is_read_in_any_case() {
        assert_eq!("DeniEd".parse::<RequiredEvidence>().unwrap(), RequiredEvidence::Denied);
        assert!("none".parse::<RequiredEvidence>().is_err());
    }
}

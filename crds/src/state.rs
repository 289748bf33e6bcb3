//! The answer with three values: yes, no, or unknown.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Whether something holds: of a node, a check, a condition or a policy.
///
/// In the checks of an `LsmNode` the values are written `Pass`, `Fail` and `Unknown`, and in
/// conditions `True`, `False` and `Unknown`.
#[derive(
    Clone, Copy, Debug, Deserialize, Eq, Hash, JsonSchema, Ord, PartialEq, PartialOrd, Serialize,
)]
pub enum State {
    /// It was tried, and it holds.
    #[serde(rename = "Pass")]
    Ready,
    /// It was tried, and it does not hold.
    #[serde(rename = "Fail")]
    NotReady,
    /// It could not be tried or read.
    Unknown,
}

impl State {
    /// The worse of the two. `NotReady` is worse than `Unknown`, and `Unknown` is worse than
    /// `Ready`.
    #[must_use]
    pub fn worst(self, other: Self) -> Self {
        match (self, other) {
            (Self::NotReady, _) | (_, Self::NotReady) => Self::NotReady,
            (Self::Unknown, _) | (_, Self::Unknown) => Self::Unknown,
            (Self::Ready, Self::Ready) => Self::Ready,
        }
    }

    /// The state as the outcome of a check.
    #[must_use]
    pub const fn check_outcome(self) -> &'static str {
        match self {
            Self::Ready => "Pass",
            Self::NotReady => "Fail",
            Self::Unknown => "Unknown",
        }
    }

    /// The state as the status of a condition.
    #[must_use]
    pub const fn condition_status(self) -> &'static str {
        match self {
            Self::Ready => "True",
            Self::NotReady => "False",
            Self::Unknown => "Unknown",
        }
    }
}

impl From<bool> for State {
    fn from(holds: bool) -> Self {
        if holds { Self::Ready } else { Self::NotReady }
    }
}

#[cfg(test)]
mod tests {
    use super::State::{self, NotReady, Ready, Unknown};

    #[test]
    fn not_ready_is_worse_than_unknown_and_unknown_is_worse_than_ready() {
        for (one, other, worst) in [
            (Ready, Ready, Ready),
            (Ready, Unknown, Unknown),
            (Ready, NotReady, NotReady),
            (Unknown, NotReady, NotReady),
            (Unknown, Unknown, Unknown),
        ] {
            assert_eq!(one.worst(other), worst);
            assert_eq!(other.worst(one), worst);
        }
    }

    #[test]
    fn a_check_is_written_as_pass_fail_or_unknown() {
        let written = serde_json::to_string(&[Ready, NotReady, Unknown]).unwrap();
        assert_eq!(written, r#"["Pass","Fail","Unknown"]"#);
        assert_eq!(
            [Ready, NotReady, Unknown].map(State::check_outcome),
            ["Pass", "Fail", "Unknown"]
        );
        assert_eq!(State::from(true).condition_status(), "True");
    }
}

//! One check of a report. In: what was found. Out: a [`Check`], which is written in the form of the
//! API's [`node::Check`].

use lsm_ready_crds::node;
use lsm_ready_crds::{Reason, State};
use schemars::JsonSchema;
use serde::Serialize;

/// A rung, or a fact that explains the rungs.
#[derive(Clone, Debug, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(into = "node::Check")]
pub struct Check {
    pub name: &'static str,
    pub outcome: State,
    /// Why it did not pass. `None` if it passed, or if there is no reason to give.
    #[schemars(with = "Option<String>")]
    pub reason: Option<Reason>,
    /// The raw value, errno or log. Empty if there is nothing to add.
    pub detail: String,
    /// What to change so that it passes. Only checks that a policy can require have a fix of their
    /// own.
    pub fix: String,
}

impl Check {
    pub fn new(name: &'static str, outcome: State, detail: impl Into<String>) -> Self {
        Self { name, outcome, reason: None, detail: detail.into(), fix: String::new() }
    }

    pub fn passed(name: &'static str, detail: impl Into<String>) -> Self {
        Self::new(name, State::Ready, detail)
    }

    pub fn failed(name: &'static str, reason: Reason, detail: impl Into<String>) -> Self {
        Self { reason: Some(reason), ..Self::new(name, State::NotReady, detail) }
    }

    pub fn unknown(name: &'static str, detail: impl Into<String>) -> Self {
        Self::new(name, State::Unknown, detail)
    }
}

impl From<Check> for node::Check {
    fn from(check: Check) -> Self {
        Self {
            name: check.name.to_owned(),
            outcome: check.outcome,
            reason: check.reason.map_or_else(String::new, |reason| reason.code().to_owned()),
            detail: check.detail,
            fix: check.fix,
        }
    }
}

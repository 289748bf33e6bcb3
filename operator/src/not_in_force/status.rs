//! The status of a policy whose newest version is not in force. Pure.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::core::DynamicObject;
use lsm_ready_crds::conditions::{self, Finding, READY, STALLED};
use lsm_ready_crds::names::MAX_POLICIES;
use lsm_ready_crds::{ConditionReason, State};
use serde_json::{Value, json};

/// Why a policy's newest version is not in force.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Cause {
    /// It cannot be parsed.
    Unparsable {
        error: String,
        /// An earlier version is in force.
        is_held: bool,
    },
    /// There are more policies than the operator acts on.
    TooMany,
}

/// The status to apply. `None` if the object has it already.
pub fn status(live: &DynamicObject, cause: &Cause, now: &Time) -> Option<Value> {
    let old = conditions_of(live);
    let generation = live.metadata.generation;
    let new = conditions::merge(&old, &findings(cause), generation, now);
    let is_observed = live.data["status"]["observedGeneration"].as_i64() == generation;
    let differs = new != old || !is_observed;
    differs.then(|| json!({"observedGeneration": generation, "conditions": new}))
}

fn findings(cause: &Cause) -> [Finding; 2] {
    let (state, reason, message) = match cause {
        Cause::Unparsable { error, is_held } => {
            let rest = if *is_held {
                "the version before it stays in force"
            } else {
                "nothing is known of what it asks for, so no label, taint or mount is removed that \
                 it may have asked for"
            };
            let message = format!(
                "this version of the operator cannot read the policy, so {rest}. Correct the \
                 policy, or install the operator and the CRDs of one release: {error}"
            );
            (State::Unknown, ConditionReason::Unparsable, message)
        }
        Cause::TooMany => {
            let message = format!(
                "the operator acts on the {MAX_POLICIES} oldest policies, and this is not one of \
                 them: delete policies that are not needed"
            );
            (State::NotReady, ConditionReason::TooManyPolicies, message)
        }
    };
    [
        Finding::new(READY, state, reason, message.clone()),
        Finding::new(STALLED, State::Ready, reason, message),
    ]
}

/// Each condition is read for itself.
fn conditions_of(live: &DynamicObject) -> Vec<Condition> {
    let conditions = live.data["status"]["conditions"].as_array();
    conditions
        .into_iter()
        .flatten()
        .filter_map(|condition| serde_json::from_value(condition.clone()).ok())
        .collect()
}

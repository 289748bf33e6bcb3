//! How a new or changed policy reaches the nodes. Pure.
//!
//! In: the policy, what its nodes have of it, and the time. Out: the change that the status shows
//! until every node has it, and the nodes that may get the taint now.
//!
//! Labels follow at once, and the circuit breaker does not count them: a person wanted them. The
//! taint follows by tenths if it is for more nodes than the breaker's share. A mistake in a policy
//! can then be corrected before no new pod is scheduled anywhere.
//!
//! ## Guarantees
//! - Nothing is lost in a restart: when the change began is in the status, and which nodes have the
//!   taint is on the Nodes.
//! - Nodes get the taint in the order of their names.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use lsm_ready_crds::LsmPolicy;
use lsm_ready_crds::policy::{SpecChange, TaintRollout};

use crate::breaker::decide::Limit;

/// Number of steps in which a taint goes on.
const STEPS: usize = 10;
/// Time between two steps.
const STEP: Duration = Duration::from_mins(1);
/// A node that cannot be written must not keep a change open for ever.
const LONGEST: Duration = Duration::from_mins(20);

/// The change that has not reached every node, as the status has it.
pub fn current(policy: &LsmPolicy) -> Option<&SpecChange> {
    let change = policy.status.as_ref()?.spec_change.as_ref()?;
    (Some(change.generation) == policy.metadata.generation).then_some(change)
}

/// Whether the policy is new or was changed, and not every node has what it asks for.
pub fn is_changing(policy: &LsmPolicy) -> bool {
    let observed = policy.status.as_ref().and_then(|status| status.observed_generation);
    observed != policy.metadata.generation || current(policy).is_some()
}

/// Whether a node joined after the change began. The API server's clock says when it was created,
/// and ours when the change began. A creation in the future shows that the two clocks differ: such
/// a node gets the taint in its turn, as if it had been there.
pub fn joined_after(change: &SpecChange, created: Timestamp, now: Timestamp) -> bool {
    let latest = now.saturating_add(STEP).unwrap_or(now);
    change.start_time.0 < created && created <= latest
}

/// What the selected nodes have of the policy. Nodes that are held do not count.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Progress {
    pub selected: usize,
    /// Nodes whose label is not what was found out.
    pub unlabelled: usize,
    /// Nodes that need the taint and have it.
    pub tainted: usize,
    /// Names of the nodes that need the taint and do not have it.
    pub untainted: BTreeSet<String>,
}

/// What follows.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Next {
    /// For the status.
    pub change: Option<SpecChange>,
    /// The nodes that may get the taint now. None: all.
    pub permitted: Option<BTreeSet<String>>,
    /// Where the taint is staged: how far it is.
    pub stage: Option<Stage>,
    /// When to look again, if no node changes.
    pub again_in: Option<Duration>,
}

/// How far a staged taint is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Stage {
    pub tainted: usize,
    pub of: usize,
    /// When the last tenth gets the taint.
    pub ends: Timestamp,
}

/// Decides how the change goes on.
pub fn next(policy: &LsmPolicy, progress: &Progress, limit: Limit, now: Timestamp) -> Next {
    let Some(change) = change(policy, progress, now) else {
        return Next::default();
    };
    let elapsed = elapsed(&change, now);
    // Nodes can recover meanwhile, so the number of nodes to taint is that of now.
    let before = usize::try_from(change.tainted_before).unwrap_or_default().min(progress.tainted);
    let to_taint = progress.tainted + progress.untainted.len() - before;
    let is_staged = !progress.untainted.is_empty()
        && limit.is_exceeded(to_taint, progress.selected)
        && rollout(policy) == TaintRollout::Staged;
    let step = usize::try_from(elapsed.as_secs() / STEP.as_secs()).unwrap_or(STEPS) + 1;
    if !is_staged || step >= STEPS {
        let again_in = Some(LONGEST.saturating_sub(elapsed));
        return Next { change: Some(change), again_in, ..Next::default() };
    }
    let allowed = before + (to_taint * step).div_ceil(STEPS);
    let more = allowed.saturating_sub(progress.tainted);
    let of_this_step = elapsed.as_secs() % STEP.as_secs();
    Next {
        permitted: Some(progress.untainted.iter().take(more).cloned().collect()),
        stage: Some(Stage {
            tainted: progress.tainted,
            of: progress.tainted + progress.untainted.len(),
            ends: ends(&change),
        }),
        again_in: Some(STEP.saturating_sub(Duration::from_secs(of_this_step))),
        change: Some(change),
    }
}

/// The change, until every node has it.
fn change(policy: &LsmPolicy, progress: &Progress, now: Timestamp) -> Option<SpecChange> {
    if !is_changing(policy) || (progress.unlabelled == 0 && progress.untainted.is_empty()) {
        return None;
    }
    // The API server keeps whole seconds only.
    let start_time = Time(Timestamp::from_second(now.as_second()).unwrap_or(now));
    let Some(known) = current(policy) else {
        return Some(SpecChange {
            generation: policy.metadata.generation?,
            start_time,
            tainted_before: i64::try_from(progress.tainted).unwrap_or(i64::MAX),
        });
    };
    if known.start_time.0 > now {
        // The clock was set back. The taint must not wait until the clock is there again.
        return Some(SpecChange { start_time, ..known.clone() });
    }
    (elapsed(known, now) < LONGEST).then(|| known.clone())
}

/// The time since the change began.
fn elapsed(change: &SpecChange, now: Timestamp) -> Duration {
    Duration::try_from(now.duration_since(change.start_time.0)).unwrap_or_default()
}

fn ends(change: &SpecChange) -> Timestamp {
    let all_steps = STEP * u32::try_from(STEPS - 1).unwrap_or(u32::MAX);
    change.start_time.0.saturating_add(all_steps).unwrap_or(change.start_time.0)
}

fn rollout(policy: &LsmPolicy) -> TaintRollout {
    policy.spec.taint.as_ref().map(|taint| taint.rollout).unwrap_or_default()
}

#[cfg(test)]
mod tests;

//! The Tetragon controller: adds the securityfs mount to Tetragon's DaemonSet where the agent lacks
//! it.
//!
//! ## Flow
//! [`observe()`] the DaemonSet, the policies and the nodes → [`decide`] what to write now →
//! [`apply`] it → record the result in the DaemonSet's [`state`] → follow the rollout: survey the
//! agents' [`pods`], [`restart`] a stale agent → publish Events. The policies' conditions come from
//! the same observation and the same state ([`condition`]). docs/tetragon-controller.md shows the
//! states.
//!
//! ## Guarantees
//! Nothing is written where nothing differs. We own one label, one volume and one mount. The label
//! marks them, so they are removed when no policy asks for them, also after a restart of the
//! operator. No other field is changed, and no DaemonSet is created. Only DaemonSets of the
//! [`allow_list`] and those whose owners allow it get a mount, and only their agents are restarted.
//!
//! ## Assumptions
//! Every store is filled before the first reconcile. Without the policies, every mount would be
//! removed.
//!
//! ## Errors
//! Errors that need an administrator are reported in the policies' status. The write is tried again
//! once a minute, and at once when the DaemonSet or the request changes. All other errors are
//! retried with backoff.

pub mod allow_list;
pub mod apply;
pub mod condition;
pub mod decide;
mod dry_run;
mod events;
pub mod gate;
pub mod merge;
pub mod nodes;
pub mod observe;
mod restart;
pub mod revert_backoff;
pub mod rollout;
#[cfg(test)]
mod scenarios;
pub mod stale;
pub mod state;
pub mod write;

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::DaemonSet;
use kube_runtime::controller::Action;
use kube_runtime::events::Event;
use lsm_ready_crds::LsmPolicy;
use tracing::debug;

use crate::context::Context;
use crate::watch::key::DaemonSetKey;
use apply::apply;
use condition::Findings;
use decide::Decision;
use observe::{Observation, observe};
use rollout::{downtime, pods};
use state::DaemonSetState;

pub use write::Error;

/// Reconciles one DaemonSet. Fails when a write failed and a later try may succeed.
pub async fn reconcile(daemon_set: Arc<DaemonSet>, ctx: Arc<Context>) -> Result<Action, Error> {
    if daemon_set.metadata.deletion_timestamp.is_some() {
        return Ok(Action::await_change());
    }
    // 1. Observe (no client required).
    let now = ctx.moment();
    let observed = observe(&daemon_set, &ctx, now);
    let before = ctx.tetragon.recall(&daemon_set);
    let mut state = before.clone();

    // 2. Decide (no client required).
    let decision =
        state.decide(&observed).unless_unread(&ctx.stores.unread_policies(), &daemon_set);
    let Observation { key, plan, gate, .. } = &observed;
    debug!(daemon_set = %key, ?plan, ?gate, ?decision, "decided");

    // 3. Write (client required), and record the result (no client required).
    let mut news = Vec::new();
    let mut result = Ok(decision.wait_until());
    if let Decision::Write(write) = &decision {
        let outcome = apply(write, &observed, &ctx).await;
        if state.record(write, &outcome, &observed) {
            news.push(events::written(write));
        }
        result = outcome.map(|outcome| outcome.retry_at(write, now.time));
    }

    // 4. Follow what earlier writes caused (client required). A new write has had no effect yet.
    let next_look = match decision {
        Decision::Write(_) => None,
        Decision::Rest | Decision::Wait(_) => follow(&observed, &mut state, &mut news, &ctx).await,
    };

    // 5. Remember the state (no client required). The policies report a state that changed.
    if ctx.tetragon.remember(&daemon_set, state.clone()) {
        ctx.queues.policies_of(key, &ctx.stores.policies);
    }
    ctx.tetragon.retain(|key| ctx.stores.daemon_sets.get(&key.object_ref()).is_some());

    // 6. Publish Events (client required).
    let retry = result?;
    news.extend(events::contested(&before, &state));
    for event in &news {
        events::publish(event, &daemon_set, &ctx).await;
    }
    let next = [retry, next_look].into_iter().flatten().min();
    Ok(next.map_or_else(Action::await_change, |next| {
        Action::requeue(Duration::try_from(next.duration_since(now.time)).unwrap_or_default())
    }))
}

/// Counts the downtime that we caused, surveys the agents' pods where a policy reports on them, and
/// restarts a stale agent where all is well. Returns when to look again.
async fn follow(
    observed: &Observation<'_>,
    state: &mut DaemonSetState,
    news: &mut Vec<Event>,
    ctx: &Context,
) -> Option<Timestamp> {
    let (rollout, now) = (&observed.rollout, observed.now);
    ctx.metrics.agents_unready(downtime::count(&mut state.disruption, rollout, now));
    if observed.requests.is_empty() {
        state.survey = None;
        return None;
    }
    let wrote = state.disruption.as_ref().and_then(|own| own.wrote(rollout));
    let next_survey = pods::survey(observed, &mut state.survey, wrote, &ctx.client).await;
    if next_survey.is_some() {
        return next_survey;
    }
    restart::restart_stale_agent(observed, state, news, ctx).await
}

/// The conditions about Tetragon in the status of a policy that names this DaemonSet.
pub fn findings(
    policy: &LsmPolicy,
    key: &DaemonSetKey,
    daemon_set: Option<&DaemonSet>,
    ctx: &Context,
) -> Findings {
    match daemon_set {
        Some(daemon_set) => {
            let observed = observe(daemon_set, ctx, ctx.moment());
            condition::findings(policy, &observed, &ctx.tetragon.recall(daemon_set))
        }
        None => condition::without_daemon_set(policy, key),
    }
}

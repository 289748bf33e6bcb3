//! The Tetragon controller: gives the agent of a DaemonSet that a policy names the securityfs mount it lacks.
//!
//! ## Flow
//! DaemonSet and policies from the stores → the merged [`merge`] → the [`plan()`] → whether to do it now ([`decide`], with
//! the [`mod@gate`] and the [`revert_backoff`]) → at most one server-side apply → a look at how agents are being replaced ([`rollout`]) → the
//! [`state`] of what came of it, which the policies' status tells ([`condition`]).
//!
//! ## Guarantees
//! Nothing is written where nothing differs. Ours are the label, one volume and one mount, found by the label, so they are
//! given back when no policy wants them, also after a restart. No other field is touched and no DaemonSet created.
//!
//! ## Assumptions
//! Every store has listed before the first reconcile: with no policies known, everything would be given back.
//!
//! ## Errors
//! What needs somebody to act is told in the policies' status and tried once a minute, or at once when the DaemonSet or
//! the wish changes; everything else is tried again with backoff.

mod events;
pub mod app_armor;
pub mod apply;
pub mod revert_backoff;
pub mod condition;
pub mod gate;
pub mod state;
pub mod nodes;
mod restart;
pub mod rollout;
#[cfg(test)]
mod scenarios;
pub mod stale;
pub mod decide;
pub mod merge;

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::DaemonSet;
use kube::ResourceExt;
use kube_runtime::controller::Action;
use kube_runtime::reflector::ObjectRef;
use lsm_ready_crds::LsmPolicy;
use lsm_ready_tetragon::agent::agent;
use lsm_ready_tetragon::plan::{Plan, plan, pod};
use tracing::debug;

use crate::context::Context;
use crate::watch::key::DaemonSetKey;
use app_armor::{AppArmorOn, app_armor, unless_confined};
use apply::Outcome;
use condition::Findings;
use gate::{Gate, gate};
use state::Remembered;
use rollout::blame::Rollout;
use rollout::pods;
use stale::Stale;
use decide::Step;
use merge::Wishes;

pub use apply::Error;

/// One look at a DaemonSet.
///
/// # Errors
/// When a write failed that may succeed when it is tried again.
pub async fn reconcile(daemon_set: Arc<DaemonSet>, ctx: Arc<Context>) -> Result<Action, Error> {
    if daemon_set.metadata.deletion_timestamp.is_some() {
        return Ok(Action::await_change());
    }
    let (key, now) = (DaemonSetKey::of(&daemon_set), (ctx.now)());
    let before = ctx.tetragon.recall(&daemon_set.uid().unwrap_or_default());
    // 1. What is wished.
    let wishes = wishes(&key, &ctx);
    let wish = wishes.merged();
    // 2. What has to be done.
    let on = app_armor(&daemon_set, &ctx.stores);
    let plan = unless_confined(plan(&daemon_set, &wish), &daemon_set, &wish.container, &on);
    // 3. Whether it has to be done now.
    let gate = gate(&wishes.limits(), &daemon_set, now).before(&plan);
    let (remembered, step) = decide::step((&daemon_set, &plan), &gate, before.clone(), now);
    debug!(daemon_set = %key, ?plan, ?gate, ?step, "planned");
    // 4. Do it.
    let (remembered, outcome) = match step.clone() {
        Step::Write(write) => {
            let outcome = apply::apply(&daemon_set, &write, &ctx).await;
            (
                decide::after((&daemon_set, &wish), &write, &outcome, remembered, now),
                outcome.map(Some),
            )
        }
        Step::Rest | Step::Wait(_) => (remembered, Ok(None)),
    };
    // 5. Follow what a change before has caused.
    let (remembered, look) =
        follow(&daemon_set, (&plan, &wishes, &gate), remembered, &step, &ctx).await;
    // 6. Remember what came of it, and tell it.
    remember(&daemon_set, &remembered, &ctx);
    let outcome = outcome?;
    announce(&daemon_set, (&before, &remembered), (&step, outcome.as_ref()), &ctx).await;
    // 7. Look again when it may be tried again, or when the rollout may have gone on.
    let next = [again(&step, outcome.as_ref(), now), look].into_iter().flatten().min();
    Ok(next.map_or_else(Action::await_change, |next| requeue(next, now)))
}

/// Counts the time that nodes had no agent because of us, looks at the agents' pods where a policy's status wants to tell
/// of them, and restarts a stale one where all is well. Says when to look again. What was just written is not taken up yet.
async fn follow(
    daemon_set: &DaemonSet,
    (plan, wishes, gate): (&Plan, &Wishes, &Gate),
    mut remembered: Remembered,
    step: &Step,
    ctx: &Context,
) -> (Remembered, Option<Timestamp>) {
    if matches!(step, Step::Write(_)) {
        return (remembered, None);
    }
    let now = (ctx.now)();
    if let Some(caused) = remembered.caused.take() {
        let (going_on, seconds) = caused.observe(daemon_set, now);
        ctx.metrics.agents_unready(seconds);
        remembered.caused = going_on;
    }
    if wishes.policies().next().is_none() {
        return (Remembered { look: None, ..remembered }, None);
    }
    let wish = wishes.merged();
    let container = pod(daemon_set).and_then(|pod| agent(pod, &wish.container).ok());
    let is_ours = remembered.caused.as_ref().is_some_and(|caused| caused.wrote(daemon_set));
    let rollout =
        container.map(|container| Rollout { wish: &wish, container: &container.name, is_ours });
    let (look, due) =
        pods::look(daemon_set, remembered.look.take(), rollout, &ctx.client, now).await;
    remembered.look = look;
    if due.is_some() {
        return (remembered, due);
    }
    if !wishes.limits().restart_stale {
        return (Remembered { stale: Stale::default(), ..remembered }, None);
    }
    restart::stale_agents(daemon_set, (plan, &wish, gate), remembered, ctx).await
}

/// Remembers; where that is new, has the policies looked at again that name the DaemonSet.
fn remember(daemon_set: &DaemonSet, remembered: &Remembered, ctx: &Context) {
    let uid = daemon_set.uid().unwrap_or_default();
    if ctx.tetragon.remember(&uid, remembered.clone()) {
        ctx.queues.policies_of(&DaemonSetKey::of(daemon_set), &ctx.stores.policies);
    }
    ctx.tetragon.forget_all_but(|| {
        ctx.stores.daemon_sets.state().iter().filter_map(|living| living.uid()).collect()
    });
}

async fn announce(
    daemon_set: &DaemonSet,
    (before, after): (&Remembered, &Remembered),
    (step, outcome): (&Step, Option<&Outcome>),
    ctx: &Context,
) {
    let came_true = after.failure.is_none() && !after.label_is_theirs;
    if let (Step::Write(write), Some(Outcome::Written(_)), true) = (step, outcome, came_true) {
        events::publish(&events::written(write), daemon_set, ctx).await;
    }
    if let Some(event) = events::contested(before, after) {
        events::publish(&event, daemon_set, ctx).await;
    }
}

/// When a write may be tried again.
fn again(step: &Step, outcome: Option<&Outcome>, now: Timestamp) -> Option<Timestamp> {
    match (step, outcome) {
        (Step::Wait(until), _) => Some(*until),
        (Step::Write(write), Some(Outcome::Refused(..))) => now.checked_add(write.retry()).ok(),
        _ => None,
    }
}

fn requeue(next: Timestamp, now: Timestamp) -> Action {
    Action::requeue(Duration::try_from(next.duration_since(now)).unwrap_or_default())
}

/// The conditions that a policy's status has about the DaemonSet that it names.
pub fn findings(
    policy: &LsmPolicy,
    key: &DaemonSetKey,
    daemon_set: Option<&DaemonSet>,
    ctx: &Context,
) -> Findings {
    let remembered = daemon_set
        .and_then(ResourceExt::uid)
        .map(|uid| ctx.tetragon.recall(&uid))
        .unwrap_or_default();
    let wishes = wishes(key, ctx);
    let gate = daemon_set
        .map(|daemon_set| gate(&wishes.limits(), daemon_set, (ctx.now)()))
        .unwrap_or_default();
    let on = daemon_set
        .map_or_else(AppArmorOn::default, |daemon_set| app_armor(daemon_set, &ctx.stores));
    condition::findings_on(&on, policy, (key, daemon_set), &wishes, (&remembered, &gate))
}

/// What all policies together want of that DaemonSet.
fn wishes(key: &DaemonSetKey, ctx: &Context) -> Wishes {
    let policies = ctx.stores.policies.state();
    let reference = ObjectRef::new(&key.name).within(&key.namespace);
    let daemon_set = ctx.stores.daemon_sets.get(&reference);
    let nodes = daemon_set
        .map(|daemon_set| nodes::without_securityfs(&daemon_set, &ctx.stores))
        .unwrap_or_default();
    Wishes::of(key, policies.iter().map(AsRef::as_ref)).with_nodes_without_securityfs(nodes)
}

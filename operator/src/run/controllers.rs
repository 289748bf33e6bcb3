//! Runs the controllers over their queues.
//!
//! ## Flow
//! a key from the queue → the object from the store → reconcile → count and log the outcome → on an
//! error, retry that object after its own backoff.
//!
//! ## Errors
//! A reconcile that fails is logged, counted by a short word for its error, and retried. One that
//! does not end within [`RECONCILE_DEADLINE`] has failed.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures::channel::mpsc::UnboundedReceiver;
use futures::future::Shared;
use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt, stream};
use kube::ResourceExt;
use kube_runtime::controller::{self, Action, Controller};
use kube_runtime::reflector::{ObjectRef, Store};
use tokio::time::timeout;
use tracing::{debug, warn};

use crate::breaker::on_lease;
use crate::context::Context;
use crate::context::backoff::{Backoff, Backoffs};
use crate::run::connection::NotLeader;
use crate::run::liveness::{Liveness, RECONCILE_DEADLINE};
use crate::watch::Watched;
use crate::watch::queue::Receivers;
use crate::watch::store::Stores;
use crate::{agents, node, not_in_force, policy, profile, tetragon};

/// Reconciles of one controller that may run at once.
const CONCURRENCY: u16 = 16;
/// Each second every policy may be written. A node's label does not wait for all of them.
const POLICIES_AT_ONCE: u16 = 4;

/// One controller: how it reconciles, and where its objects and failures are kept.
struct Reconciler<K: Watched, E, F> {
    name: &'static str,
    concurrency: u16,
    store: fn(&Stores) -> &Store<K>,
    backoff: fn(&Backoffs) -> &Backoff,
    reconcile: fn(Arc<K>, Arc<Context>) -> F,
    /// A short word for an error, for the metrics.
    reason: fn(&E) -> &'static str,
}

/// Why a reconcile failed.
#[derive(Debug, thiserror::Error)]
enum Failure<E> {
    #[error(transparent)]
    Reconcile(E),
    #[error("the reconcile did not end within {RECONCILE_DEADLINE:?} and was stopped")]
    Deadline,
}

/// Runs the three controllers, the deletion of unused hook profiles and the questions to agents,
/// until `stop`.
pub async fn run(
    ctx: &Arc<Context>,
    liveness: &Liveness,
    queues: Receivers,
    stop: Shared<impl Future<Output = ()> + Send + 'static>,
) {
    let node = Reconciler {
        name: "node",
        concurrency: CONCURRENCY,
        store: |stores| &stores.nodes.0,
        backoff: |backoffs| &backoffs.nodes,
        reconcile: node::reconcile_packed,
        reason: node::Error::reason,
    };
    let policy = Reconciler {
        name: "policy",
        concurrency: POLICIES_AT_ONCE,
        store: |stores| &stores.policies,
        backoff: |backoffs| &backoffs.policies,
        reconcile: policy::reconcile,
        reason: policy::Error::reason,
    };
    let tetragon = Reconciler {
        name: "tetragon",
        concurrency: CONCURRENCY,
        store: |stores| &stores.daemon_sets,
        backoff: |backoffs| &backoffs.daemon_sets,
        reconcile: tetragon::reconcile,
        reason: tetragon::Error::reason,
    };
    let all = [
        node.run(queues.nodes, ctx, liveness.clone(), stop.clone()).boxed_local(),
        policy.run(queues.policies, ctx, liveness.clone(), stop.clone()).boxed_local(),
        tetragon.run(queues.daemon_sets, ctx, liveness.clone(), stop.clone()).boxed_local(),
        profile::sweeps(ctx, stop.clone()).boxed_local(),
        not_in_force::reports(ctx, stop.clone()).boxed_local(),
        on_lease::follow(ctx, stop.clone()).boxed_local(),
        agents::poll_agents(ctx, stop).boxed_local(),
    ];
    // An event wakes one of them. The others are not polled.
    FuturesUnordered::from_iter(all).collect::<()>().await;
}

impl<K, E, F> Reconciler<K, E, F>
where
    K: Watched,
    E: std::error::Error + Send + 'static,
    F: Future<Output = Result<Action, E>> + Send + 'static,
{
    async fn run(
        self,
        queue: UnboundedReceiver<ObjectRef<K>>,
        ctx: &Arc<Context>,
        liveness: Liveness,
        stop: impl Future<Output = ()> + Send + Sync + 'static,
    ) {
        let Self { name, concurrency, store, backoff, reconcile, reason } = self;
        let reconcile = move |object: Arc<K>, ctx: Arc<Context>| {
            let running = liveness.begin(name, ObjectRef::from_obj(&*object).to_string());
            async move {
                let _running = running;
                let uid = ResourceExt::uid(&*object).unwrap_or_default();
                let reconcile = timeout(RECONCILE_DEADLINE, reconcile(object, ctx.clone()));
                let outcome = reconcile.await.map_err(|_| Failure::Deadline)?;
                let action = outcome.map_err(Failure::Reconcile)?;
                backoff(&ctx.backoffs).reset(&uid);
                ctx.metrics.reconciled(name, "ok");
                Ok(action)
            }
        };
        let failed = move |object: Arc<K>, error: &Failure<E>, ctx: Arc<Context>| {
            let reason = match error {
                Failure::Reconcile(error) if NotLeader::is_cause_of(error) => "not-leader",
                Failure::Reconcile(error) => reason(error),
                Failure::Deadline => "deadline",
            };
            ctx.metrics.reconciled(name, reason);
            let wait = wait_after_failure(&*object, backoff(&ctx.backoffs), store(&ctx.stores));
            let object = object.name_any();
            warn!(controller = name, object, %error, retry_in = ?wait, "reconcile failed");
            Action::requeue(wait)
        };
        Controller::for_shared_stream(stream::pending(), store(&ctx.stores).clone())
            .with_config(controller::Config::default().concurrency(concurrency))
            .reconcile_on(queue)
            .graceful_shutdown_on(stop)
            .run(reconcile, failed, ctx.clone())
            .for_each(|outcome| async move {
                // `failed` has dealt with the errors of reconciles. The error that is left is a key
                // whose object is gone. Nothing has to be done for that.
                if let Err(error) = outcome {
                    debug!(controller = name, %error, "not reconciled");
                }
            })
            .await;
    }
}

/// Counts a failure and returns how long to wait.
fn wait_after_failure<K: Watched>(object: &K, backoff: &Backoff, store: &Store<K>) -> Duration {
    let uid = ResourceExt::uid(object).unwrap_or_default();
    let wait = backoff.failed(&uid);
    // The object may have been deleted during the reconcile, after its failures were forgotten.
    let stored = store.get(&ObjectRef::from_obj(object));
    if stored.is_none_or(|stored| ResourceExt::uid(&*stored) != ResourceExt::uid(object)) {
        backoff.reset(&uid);
    }
    wait
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::Node;

    use super::*;
    use crate::context::fixture::{Fixture, node};
    use crate::watch::packed_node::PackedNode;

    #[tokio::test]
    async fn an_object_that_is_deleted_during_its_reconcile_leaves_no_failures() {
        let ctx = Fixture::new().with::<Node>(node("kept")).ctx;
        let Context { backoffs, stores, .. } = &*ctx;
        for (name, shortest_third_wait) in [("kept", 16), ("deleted", 4)] {
            let object: PackedNode = serde_json::from_value(node(name)).unwrap();
            let failed = || wait_after_failure(&object, &backoffs.nodes, &stores.nodes.0);
            let third = [failed(), failed(), failed()][2];
            let shortest = Duration::from_secs(shortest_third_wait);
            assert!(third >= shortest && third <= shortest * 3 / 2, "{name}: {third:?}");
        }
    }
    /// A reconcile that does not end in time is an error, and is tried again.
    #[tokio::test(start_paused = true)]
    async fn a_reconcile_that_does_not_end_is_stopped_counted_and_tried_again() {
        let fixture = Fixture::new().with_list::<Node>(&[node("n1")]);
        let (ctx, liveness) = (fixture.ctx.clone(), Liveness::default());
        let reconciler = Reconciler::<PackedNode, std::fmt::Error, _> {
            name: "node",
            concurrency: CONCURRENCY,
            store: |stores| &stores.nodes.0,
            backoff: |backoffs| &backoffs.nodes,
            reconcile: |_, _| std::future::pending(),
            reason: |_| "other",
        };
        ctx.queues.node("n1");
        let never = std::future::pending();
        let run = reconciler.run(fixture.receivers.nodes, &ctx, liveness.clone(), never);
        let twice = async {
            let counted = r#"lsm_ready_reconciles_total{controller="node",outcome="deadline"} 2"#;
            while !ctx.metrics.encode().unwrap().contains(counted) {
                assert!(liveness.stuck().iter().all(|stuck| !stuck.contains("n1")));
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        };
        let both = tokio::time::timeout(Duration::from_mins(3), async {
            tokio::select! {
                biased;
                () = run => unreachable!(),
                () = twice => {}
            }
        });
        both.await.unwrap();
    }
}

//! Asks the agents again and again.
//!
//! ## Load
//! Every five seconds there is a look at who is due. Agents that answer are asked 16 at once, and beside them 16 that did not
//! answer the last time. 5,000 agents that answer are asked about 150 times a second in all (each after 27 to 39 seconds),
//! which takes 16 connections as long as an answer takes less than a tenth of a second; slower agents are asked more rarely.
//! If no agent answers, each question takes its deadline: two seconds, or four where gRPC and then the metrics are tried.
//! 5,000 agents then take 10 or 21 minutes, and nobody waits for them but they themselves; when they answer again, each is
//! asked within about five minutes. 32 agents that each send as much as is read at the most hold 128 MiB.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use crate::tetragon_client::{Limits, QueryResult, Response, Tls, ask, attempts};
use futures::future::join;
use futures::{StreamExt, stream};

use super::catalogue::Catalogue;
use super::polling::{Lane, Reply};
use super::questions::{Agents, At, Target, Wanted, agents, server_names, wanted};
use crate::context::Context;

/// Between two looks at who is due. A look begins no more questions after that time.
const EVERY: Duration = Duration::from_secs(5);
/// Questions under way at once in each lane.
pub const AT_ONCE: usize = 16;

/// Asks again and again, until `stop`.
pub async fn rounds(ctx: &Context, stop: impl Future) {
    let looks = async {
        loop {
            let next = tokio::time::Instant::now() + EVERY;
            look(ctx, async |at: At, tls| {
                ask(&at.endpoints(), tls.as_deref(), &Limits::default()).await
            })
            .await;
            tokio::time::sleep_until(next).await;
        }
    };
    tokio::select! {
        () = looks => {}
        _ = stop => {}
    }
}

/// One look: asks who is due, and has the policies looked at again for which there is news.
pub(super) async fn look(ctx: &Context, ask: impl AsyncFn(At, Option<Arc<Tls>>) -> QueryResult) {
    if ctx.agent_tls.refresh(&server_names(ctx)) {
        ctx.queues.all_policies(&ctx.stores.policies);
    }
    // 1. Who is to be asked what.
    let known = ctx.stores.tracing_policies.snapshot();
    let catalogue = Catalogue::of(&known);
    let wanted = wanted(&catalogue, ctx);
    ctx.agents.retain(|target| wanted.contains_key(target));
    note_counts(ctx);
    // 2. Who is due.
    let [answering, silent] = due(&wanted, ctx);
    // 3. Ask, and have told what is news.
    let (ask, wanted, catalogue) = (&ask, &wanted, &catalogue);
    let questions = |targets: BTreeSet<(jiff::Timestamp, &'_ Target)>| {
        let targets: Vec<Target> = targets.into_iter().map(|(_, target)| target.clone()).collect();
        let begun = stream::iter(targets).take_until(tokio::time::sleep(EVERY));
        begun.for_each_concurrent(AT_ONCE, async |target| {
            let tls = target.at.tls.as_ref().and_then(|name| ctx.agent_tls.tls(name)?.ok());
            let outcome = ask(target.at.clone(), tls).await;
            if let Some(wanted) = wanted.get(&target) {
                hear(&target, wanted, outcome, catalogue, ctx);
            }
        })
    };
    join(questions(answering), questions(silent)).await;
}

/// Who is due in each lane, in the order in which they are asked.
fn due<'a>(
    wanted: &'a BTreeMap<Target, Wanted>,
    ctx: &Context,
) -> [BTreeSet<(jiff::Timestamp, &'a Target)>; 2] {
    let now = (ctx.now)();
    let (mut answering, mut silent) = (BTreeSet::new(), BTreeSet::new());
    for (target, Wanted { occasion, .. }) in wanted {
        let Some(due) = ctx.agents.due(target, occasion, now) else {
            continue;
        };
        let lane = match due.lane {
            Lane::Answering => &mut answering,
            Lane::Silent => &mut silent,
        };
        lane.insert((due.since, target));
    }
    [answering, silent]
}

fn hear(
    target: &Target,
    wanted: &Wanted,
    mut outcome: QueryResult,
    catalogue: &Catalogue<'_>,
    ctx: &Context,
) {
    for (how, outcome) in attempts(&outcome) {
        ctx.metrics.agent_asked(how.as_str(), outcome);
    }
    let is_complete = match &mut outcome {
        Ok(Response { answer, .. }) => {
            catalogue.trim(answer);
            catalogue.is_complete(&wanted.places, answer)
        }
        Err(_) => false,
    };
    let (occasion, now) = (wanted.occasion.clone(), (ctx.now)());
    let may_have_started = ctx.agents.may_have_started(&target.daemon_set, now);
    let reply =
        Reply { occasion, outcome, is_complete, may_have_started, now, dice: fastrand::f64() };
    let news = ctx.agents.hear(target, &reply);
    if news.is_news {
        wanted.policies.iter().for_each(|policy| ctx.queues.policy(policy));
    }
    // Whether an agent is stale may depend on it.
    if news.load_errors {
        ctx.queues.daemon_set(&target.daemon_set);
    }
}

/// Notes how many agents each DaemonSet has: where that changes, agents may have only just started.
fn note_counts(ctx: &Context) {
    for policy in ctx.stores.policies.state() {
        let Some(Agents { key, way: Ok((_, daemon_set)), .. }) = agents(&policy, ctx) else {
            continue;
        };
        let status = daemon_set.status.as_ref();
        let counts = status.map(|status| {
            let counts = (
                status.desired_number_scheduled,
                status.updated_number_scheduled,
                status.number_available,
            );
            format!("{:?} {counts:?} {}", daemon_set.metadata.generation, status.number_ready)
        });
        ctx.agents.note_counts(&key, counts.unwrap_or_default(), (ctx.now)());
    }
}

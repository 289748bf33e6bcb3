//! Asks the agents again and again.
//!
//! ## Load
//! A round begins every five seconds. It asks up to 16 answering agents at once, and beside them up
//! to 16 agents that did not answer the last time.
//!
//! 5,000 answering agents are asked about 150 times a second (each after 27 to 39 seconds). 16
//! connections suffice if an answer takes less than a tenth of a second; slower agents are asked
//! less often.
//!
//! If no agent answers, each poll takes its deadline: two seconds, or four if gRPC and then the
//! metrics are tried. A round over 5,000 such agents takes 10 or 21 minutes. It delays only them.
//! An agent that answers again is noticed within about five minutes.
//!
//! 32 agents that each send the maximum hold 128 MiB.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures::future::join;
use futures::{StreamExt, stream};
use tokio::time::Instant;

use super::catalogue::Catalogue;
use super::policy_agents::{PolicyAgents, server_names};
use super::polling::{Lane, Poll};
use super::questions::{Question, questions};
use super::target::{AgentAddress, Target};
use crate::context::Context;
use crate::tetragon_client::{Limits, QueryResult, Tls, ask, attempts};

/// Time between two rounds. A round starts no more polls after that time.
const ROUND: Duration = Duration::from_secs(5);
/// Maximum number of concurrent polls in each lane.
pub const MAX_CONCURRENT: usize = 16;

/// Runs rounds until `stop`.
pub async fn poll_agents(ctx: &Context, stop: impl Future) {
    let rounds = async {
        loop {
            let next = Instant::now() + ROUND;
            round(ctx, async |at: AgentAddress, tls| {
                ask(&at.endpoints, tls.as_deref(), &Limits::default()).await
            })
            .await;
            tokio::time::sleep_until(next).await;
        }
    };
    tokio::select! {
        biased;
        _ = stop => {}
        () = rounds => {}
    }
}

/// One round: asks the agents that are due, and reconciles the policies whose condition may change.
pub(super) async fn round(
    ctx: &Context,
    ask: impl AsyncFn(AgentAddress, Option<Arc<Tls>>) -> QueryResult,
) {
    if ctx.agent_tls.refresh(&server_names(ctx)) {
        ctx.queues.all_policies(&ctx.stores.policies);
    }
    // 1. Find the questions, and forget agents that have none.
    let snapshot = ctx.stores.tracing_policies.snapshot();
    let catalogue = Catalogue::of(&snapshot);
    let questions = questions(&catalogue, ctx);
    ctx.agents.retain(|target| questions.contains_key(target));
    note_rollouts(ctx);
    // 2. Choose the agents that are due.
    let DueAgents { answering, silent } = due(&questions, ctx);
    // 3. Ask them, and record each result.
    let (ask, questions, catalogue) = (&ask, &questions, &catalogue);
    let poll_lane = |lane: DueLane<'_>| {
        let targets: Vec<Target> = lane.into_iter().map(|(_, target)| target.clone()).collect();
        let started = stream::iter(targets).take_until(tokio::time::sleep(ROUND));
        started.for_each_concurrent(MAX_CONCURRENT, async |target| {
            let tls = target.address.tls.as_ref().and_then(|name| ctx.agent_tls.tls(name)?.ok());
            let result = ask(target.address.clone(), tls).await;
            if let Some(question) = questions.get(&target) {
                record(&target, question, result, catalogue, ctx);
            }
        })
    };
    join(poll_lane(answering), poll_lane(silent)).await;
}

/// Agents of one lane. The one that is due longest is first.
type DueLane<'a> = BTreeSet<(Option<Instant>, &'a Target)>;

#[derive(Default)]
struct DueAgents<'a> {
    answering: DueLane<'a>,
    silent: DueLane<'a>,
}

fn due<'a>(questions: &'a BTreeMap<Target, Question>, ctx: &Context) -> DueAgents<'a> {
    let now = (ctx.instant)();
    let mut agents = DueAgents::default();
    for (target, Question { trigger, .. }) in questions {
        let Some(due) = ctx.agents.due(target, trigger, now) else {
            continue;
        };
        let lane = match due.lane {
            Lane::Answering => &mut agents.answering,
            Lane::Silent => &mut agents.silent,
        };
        lane.insert((due.since, target));
    }
    agents
}

fn record(
    target: &Target,
    question: &Question,
    mut result: QueryResult,
    catalogue: &Catalogue<'_>,
    ctx: &Context,
) {
    for (source, outcome) in attempts(&result) {
        ctx.metrics.agent_asked(source.as_str(), outcome);
    }
    let is_complete = result.as_mut().is_ok_and(|response| {
        catalogue.trim(&mut response.answer);
        catalogue.is_complete(&question.placements, &response.answer)
    });
    let now = ctx.moment();
    let poll = Poll {
        trigger: question.trigger.clone(),
        result,
        is_complete,
        may_have_started: ctx.agents.may_have_started(&target.daemon_set, now.instant),
        now,
        jitter: fastrand::f64(),
    };
    let changes = ctx.agents.record(target, &poll);
    if changes.condition {
        question.policies.iter().for_each(|policy| ctx.queues.policy(policy));
    }
    // Load errors decide whether an agent is stale.
    if changes.load_errors {
        ctx.queues.daemon_set(&target.daemon_set);
    }
}

/// Notes the counts of each DaemonSet. If they change, agents may just have started.
fn note_rollouts(ctx: &Context) {
    for policy in ctx.stores.policies.state() {
        if let Some(PolicyAgents { key, reachable: Ok(agents), .. }) =
            PolicyAgents::of(&policy, ctx)
        {
            ctx.agents.note_rollout(&key, agents.counts(), (ctx.instant)());
        }
    }
}

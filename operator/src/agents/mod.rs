//! What Tetragon's agents themselves say: asked in the background, judged beside the evidence.
//!
//! ## Flow
//! policies with `spec.tetragon.agents`, their DaemonSets and Nodes from the stores → who can be asked and how ([`way`],
//! [`place`]) → who is due ([`schedule`]) → at most eight questions at once → the [`memory`] of answers → the policies
//! that an answer is news for are looked at again, and tell the [`judgement`].
//!
//! ## Guarantees
//! Nothing is asked unless a policy says so, never in a reconcile, and no agent more often than [`schedule`] says. An answer
//! is data for one condition: no label, taint, NodeCondition or `Ready` depends on it (docs/adr/0011-what-agents-say.md).
//! Answers that say nothing new cause no request to the API server.
//!
//! ## Errors
//! Each is an outcome, told in the condition and counted in `lsm_ready_agents_asked_total`.

pub mod judgement;
pub mod memory;
pub mod place;
pub mod reason;
pub mod schedule;
#[cfg(test)]
mod tests;
pub mod way;

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt, stream};
use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::Node;
use kube::ResourceExt;
use lsm_ready_agents::{Endpoints, Limits, NoAnswer, Outcome, Why, ask};
use lsm_ready_crds::LsmPolicy;
use lsm_ready_crds::conditions::{Finding, Status, TRACING_POLICIES_LOADED, find};
use lsm_ready_crds::selection::Selection;
use lsm_ready_crds::verdict::State;
use lsm_ready_tetragon::plan::pod;

use crate::context::Context;
use crate::key::DaemonSetKey;
use crate::stores::boot_id;
use crate::tetragon::findings::reason::DAEMON_SET_NOT_FOUND;
use judgement::Judgement;
use schedule::{Occasion, Target};
use way::{NotAskable, Way};

/// Between two looks at who is due.
const EVERY: Duration = Duration::from_secs(5);
/// Questions of one look: 5,000 agents are then asked within 200 seconds.
const MOST: usize = 125;
/// Questions under way at once.
const AT_ONCE: usize = 8;

/// Asks again and again, until `stop`.
pub async fn rounds(ctx: &Context, stop: impl Future) {
    let looks = async {
        loop {
            look(ctx, async |at: Endpoints| ask(&at, None, &Limits::default()).await).await;
            tokio::time::sleep(EVERY).await;
        }
    };
    tokio::select! {
        () = looks => {}
        _ = stop => {}
    }
}

/// One look: asks who is due, and has the policies looked at again for which there is news.
async fn look(ctx: &Context, ask: impl AsyncFn(Endpoints) -> Outcome) {
    // 1. Who is to be asked.
    let wanted = wanted(ctx);
    ctx.agents.retain(|target| wanted.contains_key(target));
    // 2. Who is due.
    let now = (ctx.now)();
    let due = |(target, Wanted { occasion, .. }): (&Target, &Wanted)| {
        ctx.agents.due(target, occasion, now).map(|when| (when, target.clone()))
    };
    let due: BTreeSet<_> = wanted.iter().filter_map(due).collect();
    // 3. Ask, and have told what is news.
    let ask = &ask;
    let questions = due.into_iter().take(MOST).map(async |(_, target)| {
        let outcome = ask(target.at).await;
        (target, outcome)
    });
    let mut answers = stream::iter(questions).buffer_unordered(AT_ONCE);
    while let Some((target, outcome)) = answers.next().await {
        for (how, outcome) in outcome.attempts() {
            ctx.metrics.agent_asked(how.as_str(), outcome);
        }
        let Wanted { occasion, policies } = &wanted[&target];
        if ctx.agents.hear(&target, occasion.clone(), outcome, (ctx.now)()) {
            for policy in policies {
                ctx.queues.policy(policy);
            }
        }
    }
}

/// What is wanted of one agent.
#[derive(Debug, Eq, PartialEq)]
struct Wanted {
    occasion: Occasion,
    /// The policies that want to know.
    policies: Vec<String>,
}

fn wanted(ctx: &Context) -> BTreeMap<Target, Wanted> {
    let mut wanted = BTreeMap::new();
    for policy in ctx.stores.policies.state() {
        let Some(Hearing { way: Ok(way), daemon_set: Some(daemon_set), .. }) = hearing(&policy, ctx) else { continue };
        let Ok(selection) = Selection::of(&policy.spec) else { continue };
        for node in ctx.stores.nodes.state().iter().filter(|node| selection.selects(node.labels())) {
            let Some(target) = target(way, &daemon_set, node).and_then(Result::ok) else { continue };
            let occasion = || occasion(&daemon_set, node, ctx);
            let entry = wanted.entry(target).or_insert_with(|| Wanted { occasion: occasion(), policies: Vec::new() });
            entry.policies.push(policy.name_any());
        }
    }
    wanted
}

/// The agent of that Node, if the DaemonSet has one there, or why it cannot be asked.
fn target(way: Way, daemon_set: &DaemonSet, node: &Node) -> Option<Result<Target, Why>> {
    let name = node.name_any();
    let has_agent = pod(daemon_set).is_some_and(|pod| place::takes(pod, &name, node.labels()));
    has_agent.then(|| way.to(node).map(|at| Target { node: name, at }).ok_or(Why::NoAddress))
}

fn occasion(daemon_set: &DaemonSet, node: &Node, ctx: &Context) -> Occasion {
    let evidence = ctx.stores.record(node).facts().report.map(|report| report.evidence);
    let status = daemon_set.status.as_ref();
    let rolled_out = status.is_some_and(|status| {
        status.observed_generation >= daemon_set.metadata.generation
            && status.updated_number_scheduled.unwrap_or_default() >= status.desired_number_scheduled
    });
    Occasion { boot_id: boot_id(node).to_owned(), evidence, generation: daemon_set.metadata.generation, rolled_out }
}

/// What is heard of the agents of one policy.
pub struct Hearing {
    key: DaemonSetKey,
    container: String,
    way: Result<Way, NotAskable>,
    daemon_set: Option<Arc<DaemonSet>>,
    judgement: Judgement,
}

/// For a policy that wants its agents asked.
#[must_use]
pub fn hearing(policy: &LsmPolicy, ctx: &Context) -> Option<Hearing> {
    let own = policy.spec.tetragon.as_ref()?;
    let agents = own.agents.as_ref().filter(|_| policy.metadata.deletion_timestamp.is_none())?;
    let key = DaemonSetKey::named_by(&policy.spec)?;
    let daemon_set = ctx.stores.daemon_sets.get(&key.object_ref());
    let way = way::way(&key.to_string(), daemon_set.as_deref(), own, agents);
    let container = own.daemon_set.container.clone();
    Some(Hearing { key, container, way, daemon_set, judgement: Judgement::default() })
}

impl Hearing {
    /// Counts what the agent of a selected Node has said.
    pub fn add(&mut self, node: &Node, verdict: State, ctx: &Context) {
        let (Ok(way), Some(daemon_set)) = (&self.way, &self.daemon_set) else { return };
        let Some(target) = target(*way, daemon_set, node) else { return };
        let outcome = match target {
            Ok(target) => ctx.agents.recall(&target, boot_id(node)),
            Err(why) => Some(Arc::new(Outcome::NoAnswer(NoAnswer { grpc: None, metrics: Some(why) }))),
        };
        self.judgement.add(&node.name_any(), verdict, outcome.as_deref());
    }

    /// The condition.
    #[must_use]
    pub fn finding(&self, policy: &LsmPolicy) -> Finding {
        let Err(why) = &self.way else {
            return self.judgement.finding(&self.key, &self.container, said_before(policy));
        };
        let reason = match why {
            NotAskable::Never => reason::NOT_ASKED,
            NotAskable::NoDaemonSet(_) => DAEMON_SET_NOT_FOUND,
            NotAskable::NoAgent(refusal) => refusal.reason(),
            NotAskable::NoHostNetwork | NotAskable::OnTheNodeOnly { .. } => reason::NOT_ASKABLE,
        };
        Finding::new(TRACING_POLICIES_LOADED, Status::Unknown, reason, why.to_string())
    }
}

/// What the policy's status says, if it says it of the present spec.
fn said_before(policy: &LsmPolicy) -> Option<Finding> {
    let condition = find(&policy.status.as_ref()?.conditions, TRACING_POLICIES_LOADED)?;
    let status = match condition.status.as_str() {
        "True" => Status::True,
        "False" => Status::False,
        _ => Status::Unknown,
    };
    let is_of_this_spec = condition.observed_generation == policy.metadata.generation;
    is_of_this_spec.then(|| Finding::new(TRACING_POLICIES_LOADED, status, &condition.reason, &condition.message))
}

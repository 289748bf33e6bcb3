//! What the controller knows about one DaemonSet at one moment.
//!
//! In: the DaemonSet, the stores and the time. Out: an [`Observation`], from which everything else
//! follows: what to write, and what the policies' conditions say. Needs no client.

use k8s_openapi::api::apps::v1::DaemonSet;
use lsm_ready_tetragon::agent::agent;
use lsm_ready_tetragon::image::Version;
use lsm_ready_tetragon::plan::MountRequest;
use lsm_ready_tetragon::plan::{Plan, owned, plan, pod, release};
use lsm_ready_tetragon::privilege::is_confined_by_default;
use lsm_ready_tetragon::refusal::Refusal;

use super::allow_list::AllowList;
use super::gate::{Gate, gate};
use super::merge::PolicyRequests;
use super::nodes::NodeFacts;
use super::rollout::agents::programs;
use super::rollout::progress::Progress;
use super::stale::can_help;
use crate::context::Context;
use crate::context::moment::Moment;
use crate::watch::key::DaemonSetKey;

/// One DaemonSet, what the policies ask of it, and what follows from both.
#[derive(Clone, Debug)]
pub struct Observation<'a> {
    /// The DaemonSet as the watch last showed it.
    pub daemon_set: &'a DaemonSet,
    /// Its namespace and name.
    pub key: DaemonSetKey,
    /// What each policy asks for.
    pub requests: PolicyRequests,
    /// The requests of all policies, merged.
    pub request: MountRequest,
    /// What is known about the nodes of its agents.
    pub nodes: NodeFacts,
    /// What its pod template says about the agent, where the agent's container is known.
    pub agent: Option<AgentTemplate>,
    /// How far its rollout has come.
    pub rollout: Progress,
    /// What should be changed.
    pub plan: Plan,
    /// Whether agents may be restarted for that plan now.
    pub gate: Gate,
    /// Whether a restart can help a stale agent.
    pub restart_helps: bool,
    /// The time of the observation.
    pub now: Moment,
}

/// Reads the policies and the nodes from the stores, and the list of DaemonSets that may be
/// changed.
pub fn observe<'a>(daemon_set: &'a DaemonSet, ctx: &Context, now: Moment) -> Observation<'a> {
    let policies = ctx.stores.policies.state();
    let requests =
        PolicyRequests::of(&DaemonSetKey::of(daemon_set), policies.iter().map(AsRef::as_ref));
    Observation::new(daemon_set, requests, NodeFacts::of(daemon_set, &ctx.stores), now)
        .within(&ctx.allow_list)
}

/// What a DaemonSet's pod template says about the agent.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct AgentTemplate {
    /// Name of the agent's container.
    pub container: String,
    /// The release, where the image or the chart's label names one.
    pub release: Option<Version>,
    /// Runtimes confine the container by their default AppArmor profile.
    pub is_confined: bool,
    /// Our label says that the mount in the pod template is ours.
    pub has_our_label: bool,
    /// What the containers run.
    pub programs: Vec<String>,
}

impl<'a> Observation<'a> {
    /// Plans the mount and judges the gate. A pure function.
    pub fn new(
        daemon_set: &'a DaemonSet,
        requests: PolicyRequests,
        nodes: NodeFacts,
        now: Moment,
    ) -> Self {
        let without_securityfs = nodes.without_securityfs.clone();
        let request = MountRequest { without_securityfs, ..requests.merged() };
        let agent = AgentTemplate::of(daemon_set, &request.container);
        let plan = unless_confined(plan(daemon_set, &request), agent.as_ref(), &nodes);
        let gate = gate(&requests.limits(), daemon_set, now.time).before(&plan);
        let restart_helps = agent.as_ref().is_some_and(|own| can_help(&plan, own.release));
        let (key, rollout) = (DaemonSetKey::of(daemon_set), Progress::of(daemon_set));
        Self {
            daemon_set,
            key,
            requests,
            request,
            nodes,
            agent,
            rollout,
            plan,
            gate,
            restart_helps,
            now,
        }
    }

    /// The same observation, where only DaemonSets of that list get a mount and are restarted. What
    /// is mounted stays, and is removed when nobody wants it.
    #[must_use]
    pub fn within(self, list: &AllowList) -> Self {
        if list.allows(self.daemon_set, &self.request.container) {
            return self;
        }
        let plan = match self.plan {
            Plan::Patch { container, .. } => {
                Plan::Refused(Refusal::NotAllowed { container, names: list.words() })
            }
            plan @ (Plan::NotWanted
            | Plan::NotNeeded(_)
            | Plan::Keep { .. }
            | Plan::Suggest { .. }
            | Plan::Remove { .. }
            | Plan::Refused(_)) => plan,
        };
        Self { plan, restart_helps: false, ..self }
    }

    /// On which nodes AppArmor keeps the agents from securityfs, in words. None where there is no
    /// such node.
    pub fn confined_on(&self) -> Option<String> {
        let is_confined = self.agent.as_ref().is_some_and(|agent| agent.is_confined);
        self.nodes.app_armor.words().filter(|_| is_confined)
    }
}

impl AgentTemplate {
    /// None where no container, or more than one, can be the agent's.
    fn of(daemon_set: &DaemonSet, container: &str) -> Option<Self> {
        let template = &daemon_set.spec.as_ref()?.template;
        let pod = pod(daemon_set)?;
        let container = agent(pod, container).ok()?;
        Some(Self {
            container: container.name.clone(),
            release: release(daemon_set, container),
            is_confined: is_confined_by_default(template, pod, container),
            has_our_label: owned(daemon_set),
            programs: programs(pod),
        })
    }
}

/// The plan. Where AppArmor confines every agent, a mount would help none of them and restart them
/// all, so it is refused.
fn unless_confined(plan: Plan, agent: Option<&AgentTemplate>, nodes: &NodeFacts) -> Plan {
    let adds_mount = matches!(plan, Plan::Patch { .. } | Plan::Suggest { .. });
    if !nodes.app_armor_everywhere || !adds_mount {
        return plan;
    }
    let confined = agent.filter(|agent| agent.is_confined);
    match (confined, nodes.app_armor.words()) {
        (Some(agent), Some(nodes)) => {
            let container = agent.container.clone();
            Plan::Refused(Refusal::AppArmorActive { container, nodes })
        }
        (None, _) | (_, None) => plan,
    }
}

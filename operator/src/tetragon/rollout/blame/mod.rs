//! Whether our mount keeps agents from being created.
//!
//! In: the DaemonSet with our mount, its agents, and whether we wrote its present pod template. Out: the first agent that is
//! held up by the mount, or nothing.
//!
//! ## Guarantees
//! An agent is held up by our mount when the runtime's message names our volume or its path. Where the message names neither,
//! as for a volume that cannot be mounted, three things have to hold: the agent has had [`SANDBOX_PATIENCE`], the trouble is
//! of the kind that a mount can cause, and the present rollout is the one that brings our mount and nothing else. Trouble of an
//! image, of a configuration, of another container, or with agents that crash is never blamed on the mount.

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::DaemonSet;
use lsm_ready_crds::names::{SECURITYFS_PATH, SECURITYFS_VOLUME};
use lsm_ready_tetragon::plan::{MountRequest, owned, pod};
use lsm_ready_tetragon::taken_back;

use super::agents::{Agent, Kind, SANDBOX_PATIENCE, Trouble, programs};
use super::held::Present;

/// An agent that cannot be created because of our mount.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Blame {
    /// Where it is, and what the kubelet or the runtime says.
    pub said: String,
    /// The label's value when the mount has been taken back.
    pub mark: String,
}

/// What is known of the rollout.
#[derive(Clone, Copy, Debug)]
pub struct Rollout<'a> {
    /// What is wished of the DaemonSet.
    pub wish: &'a MountRequest,
    /// The agent's container.
    pub container: &'a str,
    /// We wrote the present pod template.
    pub is_ours: bool,
}

/// The first agent, by node, that our mount holds up.
pub fn blame(
    daemon_set: &DaemonSet,
    agents: &[Agent],
    rollout: Rollout<'_>,
    now: Timestamp,
) -> Option<Blame> {
    if !owned(daemon_set) {
        return None;
    }
    let present = Present::of(daemon_set, agents);
    let is_ours = rollout.is_ours || brings_only_ours(daemon_set, agents);
    let held = agents
        .iter()
        .filter(|agent| agent.has_ours && agent.gone_by.is_none() && present.made(agent));
    let mut held: Vec<Trouble> =
        held.filter_map(|agent| held_up(agent, rollout.container, is_ours, now)).collect();
    held.sort_by(|a, b| (&a.node, &a.pod).cmp(&(&b.node, &b.pod)));
    let said = held.first()?.words();
    Some(Blame { said, mark: taken_back::mark(daemon_set, rollout.wish) })
}

fn held_up(agent: &Agent, container: &str, is_ours: bool, now: Timestamp) -> Option<Trouble> {
    let trouble =
        agent.trouble(now).filter(|trouble| trouble.kind == Kind::ContainerCreateFailed)?;
    if [SECURITYFS_VOLUME, SECURITYFS_PATH].iter().any(|name| trouble.said.contains(name)) {
        return Some(trouble);
    }
    let mut own = agent.containers.iter().filter(|own| own.name == container);
    let is_agents = trouble.container.as_ref().is_none_or(|name| name == container);
    let can_be_a_mount = is_agents && !own.any(super::agents::Container::is_misconfigured);
    let is_late = agent.since.is_some_and(|since| now.duration_since(since) >= SANDBOX_PATIENCE);
    (is_ours && can_be_a_mount && is_late).then_some(trouble)
}

/// There are agents of before our mount, and they run what the present template says: so the mount is what this rollout
/// brings. It is told by the pods, as a restart of the operator forgets what it wrote.
fn brings_only_ours(daemon_set: &DaemonSet, agents: &[Agent]) -> bool {
    let present = pod(daemon_set).map(programs).unwrap_or_default();
    let mut before =
        agents.iter().filter(|agent| !agent.has_ours && agent.gone_by.is_none()).peekable();
    before.peek().is_some() && before.all(|agent| agent.programs == present)
}

#[cfg(test)]
mod tests;

//! Whether our mount keeps agents from being created.
//!
//! In: the observation of a DaemonSet with our mount, its agents, and whether we wrote its present
//! pod template. Out: the first agent that the mount holds up, or nothing.
//!
//! ## Guarantees
//! An agent is held up by our mount when the runtime's message names our volume or its path. Where
//! the message names neither, as for a volume that cannot be mounted, three things must hold: the
//! problem has lasted for [`SANDBOX_PATIENCE`], it is of a kind that a mount can cause, and the
//! present rollout brings our mount and nothing else. A problem of an image, of a configuration or
//! of another container is never blamed on the mount, and neither is an agent that crashes.

use jiff::Timestamp;
use lsm_ready_crds::names::{SECURITYFS_PATH, SECURITYFS_VOLUME};

use super::agents::{Agent, Container, Problem, ProblemKind, SANDBOX_PATIENCE};
use super::blockers::PresentTemplate;
use crate::tetragon::observe::{AgentTemplate, Observation};

/// The first agent, by node, that our mount holds up: where it is, and what the kubelet or the
/// runtime says.
pub fn blame(observed: &Observation<'_>, agents: &[Agent], wrote_template: bool) -> Option<String> {
    let template = observed.agent.as_ref().filter(|template| template.has_our_label)?;
    let present = PresentTemplate::of(&observed.rollout, agents);
    let ours_alone = wrote_template || brings_only_our_mount(template, agents);
    let with_mount = agents
        .iter()
        .filter(|agent| agent.has_ours && agent.gone_by.is_none() && present.made(agent));
    with_mount
        .filter_map(|agent| held_up(agent, &template.container, ours_alone, observed.now.time))
        .min_by(|a, b| (&a.node, &a.pod).cmp(&(&b.node, &b.pod)))
        .map(|problem| problem.words())
}

fn held_up(agent: &Agent, container: &str, ours_alone: bool, now: Timestamp) -> Option<Problem> {
    let problem =
        agent.problem(now).filter(|problem| problem.kind == ProblemKind::ContainerCreateFailed)?;
    if [SECURITYFS_VOLUME, SECURITYFS_PATH].iter().any(|name| problem.message.contains(name)) {
        return Some(problem);
    }
    let mut own = agent.containers.iter().filter(|own| own.name == container);
    let is_agents = problem.container.as_ref().is_none_or(|name| name == container);
    let can_be_a_mount = is_agents && !own.any(Container::is_misconfigured);
    let is_late = agent.since.is_some_and(|since| now.duration_since(since) >= SANDBOX_PATIENCE);
    (ours_alone && can_be_a_mount && is_late).then_some(problem)
}

/// Agents from before our mount run the same programs as the present template, so the mount is all
/// that this rollout changes. The pods tell it, because a restart of the operator forgets what it
/// wrote.
fn brings_only_our_mount(template: &AgentTemplate, agents: &[Agent]) -> bool {
    let mut before =
        agents.iter().filter(|agent| !agent.has_ours && agent.gone_by.is_none()).peekable();
    before.peek().is_some() && before.all(|agent| agent.programs == template.programs)
}

#[cfg(test)]
mod tests;

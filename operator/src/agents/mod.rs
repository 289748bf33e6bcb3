//! Asks Tetragon's agents in the background which TracingPolicies they enforce, and compares their
//! answers with the cluster: condition `TracingPoliciesEnforced`.
//!
//! ## Flow
//! 1. Polling, every five seconds ([`poller`]): policies with `spec.tetragon.agents`
//!    ([`policy_agents`], [`endpoints`], [`node_affinity`]) → [`questions`] → the agents that are
//!    due ([`polling`]) → polls → [`answers`]. If an answer changes something, the policies that
//!    need it are reconciled.
//! 2. In the reconcile of a policy ([`AgentSurvey`]): last replies of its agents → groups of nodes
//!    with equal answers ([`groups`]) → the effect of each TracingPolicy ([`comparison`],
//!    [`effect`]) → [`summary`] → [`condition`].
//!
//! ## Guarantees
//! - Agents are asked only for a policy that sets `spec.tetragon.agents`, never in a reconcile, and
//!   no more often than [`polling`] says. One agent has at most one connection.
//! - An answer is data for one condition. No label, taint, NodeCondition or `Ready` depends on it
//!   (docs/adr/0011-what-agents-say.md).
//! - An answer that changes nothing causes no request to the API server.
//!
//! ## Errors
//! An error of a poll is part of its result. It is reported in the condition and counted in
//! `lsm_ready_agents_asked_total`.

pub mod answers;
pub mod catalogue;
pub mod comparison;
pub mod condition;
pub mod effect;
pub mod endpoints;
pub mod groups;
mod message;
pub mod node_affinity;
pub mod node_names;
pub mod policy_agents;
pub mod poller;
pub mod polling;
pub mod questions;
pub mod summary;
mod survey;
pub mod target;
#[cfg(test)]
mod tests;
pub mod tls;

pub use poller::poll_agents;
pub use survey::AgentSurvey;

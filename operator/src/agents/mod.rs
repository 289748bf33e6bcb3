//! What Tetragon's agents themselves say: asked in the background, compared with the TracingPolicies in the cluster.
//!
//! ## Flow
//! policies with `spec.tetragon.agents`, their DaemonSets and Nodes, and the TracingPolicies from the stores → who can be
//! asked and how ([`questions`], [`endpoints`], [`node_affinity`]) → who is due ([`polling`]) → questions, some at once ([`poller`]) → the
//! [`answers`] of answers → the policies that an answer is news for are looked at again, and compare the answers with the
//! [`catalogue`] ([`comparison`], [`groups`], [`summary`]).
//!
//! ## Guarantees
//! Nothing is asked unless a policy says so, never in a reconcile, and no agent more often than [`polling`] says. An agent
//! is asked by one connection at a time. An answer is data for one condition: no label, taint, NodeCondition or `Ready`
//! depends on it (docs/adr/0011-what-agents-say.md). Answers that say nothing new cause no request to the API server.
//!
//! ## Errors
//! Each is an outcome, told in the condition and counted in `crate::tetragon_client_asked_total`.

pub mod answers;
pub mod catalogue;
pub mod comparison;
pub mod endpoints;
pub mod groups;
mod message;
pub mod node_affinity;
pub mod node_names;
pub mod poller;
pub mod polling;
pub mod questions;
pub mod summary;
mod survey;
#[cfg(test)]
mod tests;
pub mod tls;

pub use poller::rounds;
pub use survey::{Hearing, hearing};

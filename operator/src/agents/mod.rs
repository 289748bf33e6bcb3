//! What Tetragon's agents themselves say: asked in the background, compared with the TracingPolicies in the cluster.
//!
//! ## Flow
//! policies with `spec.tetragon.agents`, their DaemonSets and Nodes, and the TracingPolicies from the stores → who can be
//! asked and how ([`wanted`], [`way`], [`place`]) → who is due ([`schedule`]) → questions, some at once ([`rounds`]) → the
//! [`memory`] of answers → the policies that an answer is news for are looked at again, and compare the answers with the
//! [`catalogue`] ([`verdict`], [`judgement`], [`summary`]).
//!
//! ## Guarantees
//! Nothing is asked unless a policy says so, never in a reconcile, and no agent more often than [`schedule`] says. An agent
//! is asked by one connection at a time. An answer is data for one condition: no label, taint, NodeCondition or `Ready`
//! depends on it (docs/adr/0011-what-agents-say.md). Answers that say nothing new cause no request to the API server.
//!
//! ## Errors
//! Each is an outcome, told in the condition and counted in `crate::tetragon_client_asked_total`.

pub mod catalogue;
mod hearing;
pub mod judgement;
pub mod memory;
mod message;
pub mod names;
pub mod place;
pub mod rounds;
pub mod schedule;
pub mod summary;
#[cfg(test)]
mod tests;
pub mod tls;
pub mod verdict;
pub mod wanted;
pub mod way;

pub use hearing::{Hearing, hearing};
pub use rounds::rounds;

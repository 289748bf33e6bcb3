//! Tetragon's own policies: which there are, what they require of a node, and whether the nodes can
//! load them.
//!
//! ## Flow
//! [`watch`] finds the installed version of the CRDs, lists and watches → [`snapshot`] holds each
//! policy with its [`expectation`] → [`requirement`] adds what the policies require to what an
//! `LsmPolicy` requires of a node; [`condition`] makes `TracingPoliciesLoadable`.
//!
//! ## Guarantees
//! - If no CRD is installed, it is known that nothing is required. A CRD that is installed later is
//!   found.
//! - A policy that cannot be read never counts as requiring nothing: a node that is otherwise ready
//!   is unknown until the policy can be read.
//! - A policy for which there is no room in memory counts as one that cannot be read.
//! - Listed policies stay until there is a newer list. No label changes because the API server, or
//!   a right of the operator, is missing for a while.

mod bounded_value;
mod bounds;
pub mod condition;
pub mod entry;
pub mod expectation;
pub mod kept;
pub mod object;
pub mod requirement;
pub mod snapshot;
pub mod watch;

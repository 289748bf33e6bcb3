//! Tetragon's own policies: which there are, what they ask of a node, and whether the nodes will take them.
//!
//! ## Flow
//! [`watch`] finds the installed version of the CRDs, lists and watches → [`snapshot`] keeps what each policy asks for →
//! [`requirement`] adds it to what an `LsmPolicy` requires of a node; [`condition`] makes `TracingPoliciesLoadable` of it.
//!
//! ## Guarantees
//! - No CRD is fine: it is known then that nothing is asked for. One that is installed later is found.
//! - What cannot be read never counts as nothing: a node that is otherwise ready is unknown until it is.
//! - What was listed once stays until a newer list is here, so no label moves because the API server, or a right of ours,
//!   is away for a while.

pub mod condition;
pub mod expectation;
pub mod requirement;
pub mod snapshot;
pub mod watch;

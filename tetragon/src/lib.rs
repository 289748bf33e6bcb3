//! Tetragon's DaemonSet, as it is written down: whether its agent sees the host's securityfs, what has to be changed
//! where it does not, and in which words.
//!
//! In: a DaemonSet, from the API server or from a file, and what is wished. Out: a plan ([`plan::plan`]), the object that
//! carries it out ([`patch`]), what to paste where an owner carries it out ([`suggest`]), and what the agent may do beyond
//! its work ([`audit`](mod@audit)). Pure functions: no client, no
//! clock, no environment. The operator does by them what it does in a cluster, and `kubectl lsm-ready` says by them what would
//! be done (docs/adr/0008-the-plan-is-a-crate.md).

#![warn(missing_docs, clippy::missing_errors_doc, clippy::must_use_candidate)]

pub mod agent;
pub mod audit;
pub mod forecast;
pub mod image;
pub mod invalid;
pub mod patch;
mod path;
pub mod plan;
pub mod privilege;
pub mod refusal;
pub mod suggest;
pub mod taken_back;
pub mod tested;
pub mod tracing_policy;
pub mod verdict;
pub mod view;

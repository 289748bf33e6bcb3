//! Tetragon's DaemonSet and Tetragon's policies, as pure functions of what is written in them.
//!
//! In: a DaemonSet or a policy, from the API server or from a file. Out:
//! - what to do about the agent's mount of securityfs ([`plan::plan`]), the object that does it
//!   ([`patch`]), and text for an owner who does it by hand ([`suggest`]);
//! - what the agent may do without needing it ([`audit`](mod@audit));
//! - whether a policy loads and denies ([`verdict`]).
//!
//! There is no client, no clock and no environment. The operator acts on the answers in a cluster,
//! and `kubectl lsm-ready` prints them for a file (docs/adr/0008-the-plan-is-a-crate.md).

#![warn(missing_docs, clippy::missing_errors_doc, clippy::must_use_candidate)]

pub mod agent;
pub mod audit;
mod daemon_set;
pub mod forecast;
pub mod image;
pub mod invalid;
mod need;
pub mod patch;
mod path;
pub mod plan;
pub mod privilege;
pub mod refusal;
mod request;
pub mod suggest;
pub mod taken_back;
pub mod tested;
pub mod tracing_policy;
pub mod verdict;
pub mod view;

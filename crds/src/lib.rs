//! The API of `lsmready.io/v1alpha1`: what people write (`LsmPolicy`), what probes report
//! (`LsmNode`, `LsmHookProfile`), and what a report means for a policy.
//!
//! In: objects as the API server stores them. Out: their types, their `CustomResourceDefinition`s,
//! and pure functions of them. Everything that decides whether a node is ready calls
//! [`verdict::verdict`]. This crate uses no client, no clock and no environment.

#![warn(missing_docs, clippy::missing_errors_doc, clippy::must_use_candidate)]
// kube's derive takes several `printcolumn(...)` in one attribute, and clippy sees repeated keys.
#![allow(clippy::duplicated_attributes)]

pub mod agent_query;
pub mod boot_list;
mod cleaning;
pub mod conditions;
pub mod consistency;
pub mod evidence;
pub mod exit_code;
pub mod first_n;
#[doc(hidden)]
pub mod fixture;
pub mod freshness;
pub mod hooks;
mod lenient;
pub mod manifest;
pub mod names;
pub mod node;
pub mod policy;
pub mod probe_version;
pub mod profile;
pub mod reason;
pub mod schema;
pub mod selection;
pub mod state;
pub mod text;
pub mod verdict;
pub mod window;

pub use conditions::ConditionReason;
pub use evidence::{Evidence, RequiredEvidence};
pub use exit_code::ExitCode;
pub use node::{LsmNode, LsmNodeStatus};
pub use policy::{LsmPolicy, LsmPolicySpec, LsmPolicyStatus};
pub use profile::LsmHookProfile;
pub use reason::Reason;
pub use state::State;
pub use verdict::{Verdict, verdict};

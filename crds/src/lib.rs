//! The API of `lsmready.io/v1alpha1`: what people write (`LsmPolicy`), what nodes report (`LsmNode`,
//! `LsmHookProfile`), and what the two mean together.
//!
//! In: the objects as the API server stores them. Out: their types, their `CustomResourceDefinition`s and pure
//! functions over them. Everything that decides whether a node is ready calls [`verdict::verdict`]; nothing in this
//! crate has a client, a clock or an environment.

#![warn(missing_docs, clippy::missing_errors_doc, clippy::must_use_candidate)]
// `printcolumn(...)` repeats its keys in one attribute, as kube's derive wants it.
#![allow(clippy::duplicated_attributes)]

pub mod agent_query;
pub mod boot_list;
pub mod conditions;
pub mod evidence;
pub mod exit_code;
pub mod first_n;
pub mod hooks;
pub mod manifest;
pub mod names;
pub mod node;
pub mod policy;
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

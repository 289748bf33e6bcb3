//! The operator on a real API server: CRDs, admission, RBAC, field ownership, and the operator's
//! own process.
//!
//! Most tests share one server and use objects of their own. A test that changes what others see,
//! such as one that runs the operator's process, takes its turn on one of a few others (`pool`).
#![allow(clippy::unwrap_used, reason = "what cannot be prepared fails the test")]

mod admission;
mod breaker;
mod chart;
mod crds;
mod encoding;
mod flood;
mod held;
mod helm;
mod hostile_node;
mod integrations;
mod leadership;
mod memory;
mod node_readiness;
mod operator;
mod pool;
mod process;
mod profile;
mod rbac;
#[path = "../../../tetragon/tests/releases/mod.rs"]
mod releases;
mod scene;
mod server;
mod tetragon;
mod tetragon_operator;
mod tracing_policies;
mod uninstall;
mod unparsable;

//! What the tools of others make of ours: Prometheus, Grafana's dashboard, the Prometheus Operator,
//! Argo CD and Flux.
//!
//! In: the programs of `rig api build --monitoring`, a real API server, and the operator's own
//! process. Nothing here is installed from the network.
#![allow(clippy::unwrap_used, clippy::panic, reason = "what cannot be prepared fails the test")]

mod dashboard;
mod drift;
mod manifests;
mod metrics;
#[path = "../api/pool.rs"]
mod pool;
#[path = "../api/process.rs"]
#[allow(dead_code, reason = "this binary uses a part of it")]
mod process;
mod prometheus;
#[path = "../../../tetragon/tests/releases/mod.rs"]
mod releases;
mod rules;
#[path = "../api/server.rs"]
#[allow(dead_code, reason = "this binary uses a part of it")]
mod server;
mod verdicts;
mod world;

//! Tetragon: the failure that lsm-ready repairs, and its repair, with an agent that really
//! denies.
//!
//! In: the cluster of KUBECONFIG with the nodes vm-lsm and vm-nolsm. Out: the state that agents
//! report by gRPC, and whether a program in another pod may open a file, before and after. Agents
//! are the test agent (e2e/agent), deployed by our own manifests or, with
//! TETRAGON_MANIFESTS=FOLDER, by the releases' own. With AGENT=real they are Tetragon's own images.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod agents;
mod changed;
mod held_up;
mod opener;
mod repair;
#[allow(dead_code, reason = "this binary uses a part of it")]
#[path = "../cluster/scene.rs"]
mod scene;
mod status;

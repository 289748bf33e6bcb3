//! The tetragon tier: the failure that lsm-ready is for, and its repair, with an agent that really denies.
//!
//! In: the cluster of KUBECONFIG with the nodes vm-lsm and vm-nolsm. Out: what the agents tell by gRPC, and what a
//! program in another pod may open, before and after. Agents are our own (e2e/agent), deployed by our own manifests or,
//! with TETRAGON_MANIFESTS=FOLDER, by the releases' own; AGENT=real leaves the releases' images in those.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod agents;
mod changed;
mod held_up;
mod opener;
mod repair;
#[allow(dead_code, reason = "this binary uses a part of it")]
#[path = "../cluster/scene.rs"]
mod scene;
mod told;

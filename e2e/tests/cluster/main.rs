//! The cluster tier: lsm-ready installed with `kubectl apply -k`, on a whole cluster.
//!
//! In: the cluster of KUBECONFIG. Without lsm-ready it is installed there from INSTALL (default: config/default), whose
//! images its nodes must be able to get. Out: what a person would look for with kubectl, after each thing that people do.
//! Tests leave the cluster as they found it, but for lsm-ready. What needs our own cluster (reboots, the audit log, our
//! agent in Tetragon's place) says so and is left out on another.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod nodes;
mod operator;
mod policies;
mod scene;
mod tetragon;

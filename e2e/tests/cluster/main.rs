//! The cluster tier: lsm-ready installed with `kubectl apply -k`, on a whole cluster.
//!
//! In: the cluster of KUBECONFIG. Where lsm-ready is not there, it is installed from INSTALL
//! (default: config/default); the nodes must be able to pull its images. Out: what an administrator
//! looks for with kubectl, after each of an administrator's actions. Tests leave the cluster as
//! they found it, except that lsm-ready stays. Tests that need our own cluster (reboots, the audit
//! log, the test agent) are skipped on another, and print so.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod joins;
mod nodes;
mod operator;
mod policies;
mod scene;
mod tetragon;
mod uninstall;

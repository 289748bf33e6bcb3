//! Removes everything that lsm-ready left in a cluster.
//!
//! Three programs use it: `kubectl lsm-ready cleanup`, the Job in `config/cleanup` (the operator's
//! image with the subcommand `cleanup`), and the operator itself when it is uninstalled.
//!
//! ## Flow
//! [`everything`]: the workloads and their rights first, so that nobody writes any more; then the
//! [`traces`] on Nodes and DaemonSets; then our own objects, CRDs and namespaces. At the end all is
//! looked at once more.
//!
//! ## Guarantees
//! - [`node`], [`daemon_set`] and [`metadata`] decide what is ours. They are pure. Nothing of
//!   others is changed.
//! - Each write has the UID and the resourceVersion that were read as preconditions. A conflict is
//!   decided again from the new object.
//! - It can be run at any time, in any state, and again: what is gone already is no error.

pub mod cluster;
pub mod daemon_set;
pub mod everything;
pub mod installed;
pub mod kinds;
pub mod metadata;
pub mod node;
pub mod ours;
pub mod report;
pub mod rights;
pub mod traces;

pub use cluster::{Cluster, Mode};
pub use ours::Names;
pub use report::Report;

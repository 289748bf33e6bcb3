//! Real machinery for tests and the demo, on one machine.
//!
//! In: programs from Debian or Ubuntu packages, and one multi-call binary of Kubernetes and etcd built from
//! `e2e/cluster/`. Out: an API server of its own ([`api`]), a whole cluster with nodes on stock kernels
//! ([`cluster`]) and container images made without Docker ([`image`]).

pub mod api;
pub mod apparmor;
pub mod apt;
pub mod cluster;
pub mod command;
pub mod control_plane;
pub mod go;
pub mod image;
pub mod kernels;
pub mod paths;
pub mod pki;
pub mod process;
pub mod request;
pub mod stock_kernel;
pub mod vm;
pub mod wait;

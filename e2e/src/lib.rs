//! The test rig: real clusters, API servers, virtual machines and images, on one machine.
//!
//! In: programs from Debian or Ubuntu packages, and one multi-call binary of Kubernetes and etcd
//! built from `e2e/programs/`. Out: an API server ([`api`]), a whole cluster with nodes on stock
//! kernels ([`cluster`]), virtual machines that run one command ([`vm`]) and container images made
//! without Docker ([`image`]). The program `rig` offers all of it.

pub mod api;
pub mod apparmor;
pub mod apt;
pub mod cluster;
pub mod command;
pub mod control_plane;
pub mod go;
pub mod helm;
pub mod image;
pub mod kernels;
pub mod paths;
pub mod pki;
pub mod process;
pub mod proxy;
pub mod request;
pub mod stock_kernel;
pub mod vm;
pub mod wait;

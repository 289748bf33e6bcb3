//! The operator: turns evidence into facts of the cluster.
//!
//! In: Nodes, LsmNodes, LsmHookProfiles, LsmPolicies and DaemonSets, by watches. Out: node labels, taints and a
//! NodeCondition ([`node`]), the status of each LsmPolicy ([`policy`]), and the securityfs volume of Tetragon's
//! DaemonSet ([`tetragon`]); hook profiles that nobody names go ([`profile`]). What Tetragon's own policies ask of nodes
//! comes from [`tracing_policies`]; where a policy says so, its agents are asked what they have loaded ([`agents`]). Each
//! controller observes, plans with a pure function, and writes only what differs.

pub mod agents;
pub mod context;
pub mod node;
pub mod policy;
pub mod profile;
pub mod run;
pub mod tetragon;
pub mod tetragon_client;
pub mod tracing_policies;
pub mod watch;

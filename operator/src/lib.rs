//! The operator: turns the probes' evidence into labels, taints, conditions and the securityfs
//! mount.
//!
//! In: Nodes, LsmNodes, LsmHookProfiles, LsmPolicies, DaemonSets and Tetragon's own policies, by
//! watches ([`watch`], [`tracing_policies`]), and the answers of Tetragon's agents ([`agents`]).
//! Out: node labels, taints and a NodeCondition ([`node`]), the status of each LsmPolicy
//! ([`policy`], [`not_in_force`]), and the securityfs volume of Tetragon's DaemonSet
//! ([`tetragon`]). Hook profiles that no report names are deleted ([`profile`]). Where many nodes
//! stop being ready at once, the circuit breaker holds their changes ([`breaker`]). Each controller
//! observes, plans with a pure function, and writes only what differs. [`verify`] looks whether
//! each node has a verdict.

pub mod agents;
pub mod breaker;
pub mod context;
pub mod node;
pub mod not_in_force;
pub mod policy;
pub mod profile;
mod protobuf;
pub mod run;
pub mod teardown;
pub mod tetragon;
pub mod tetragon_client;
pub mod tracing_policies;
pub mod verify;
pub mod watch;

//! Runs the operator's real election, watches and controllers against a simulated API server, in
//! virtual time.
//!
//! ## Flow
//! seed → [`generate`]: a list of [`step`]s → [`history`]: the [`world`] does them, while processes
//! of the [`operator`] work over the [`network`] with the [`server`] → [`checks`] at every write,
//! and the [`model`] at the end → on a failure, [`shrink`] to the fewest steps.
//!
//! ## Guarantees
//! One seed is one history ([`random`], [`clock`]), on every machine.
//!
//! docs/simulation.md says what is modelled and what is not.

mod calm;
pub mod checks;
pub mod clock;
mod daemon_set;
pub mod generate;
pub mod history;
pub mod model;
pub mod mutants;
pub mod network;
pub mod objects;
pub mod operator;
pub mod people;
pub mod random;
pub mod replica;
pub mod script;
pub mod server;
pub mod shrink;
pub mod step;
pub mod weather;
pub mod world;

//! Histories of a fleet: the node controller's own functions, without an API server.

mod cases;
pub mod fleet;
mod forged;

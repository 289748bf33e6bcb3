//! Histories of a fleet: the node controller's own functions, without an API server.

mod cases;
mod fleet;
mod forged;

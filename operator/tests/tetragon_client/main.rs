//! The client for Tetragon's agents on real sockets.
#![allow(clippy::unwrap_used, reason = "what cannot be prepared fails the test")]

mod certificates;
mod misbehaving;
mod server;

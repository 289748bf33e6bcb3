//! How long an agent may take to answer, and how much it may say.

use std::time::Duration;

/// The limits of one question.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// For each of the two ways, from connecting to the last byte. The handshake of TLS is a part of it.
    pub deadline: Duration,
    /// Longest answer of gRPC, in bytes, which is held as a whole. Each policy has some hundred bytes, and more for each
    /// of its sensors, hooks and errors.
    pub grpc_bytes: usize,
    /// Longest metrics, in bytes, of which one line is held: a busy agent has some megabytes.
    pub metrics_bytes: usize,
}

impl Limits {
    /// As much as `tetra` takes: the default of gRPC's clients.
    pub const GRPC_BYTES: usize = 4 << 20;
    /// Twice as much, as metrics tell of much else.
    pub const METRICS_BYTES: usize = 8 << 20;
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            deadline: Duration::from_secs(2),
            grpc_bytes: Self::GRPC_BYTES,
            metrics_bytes: Self::METRICS_BYTES,
        }
    }
}

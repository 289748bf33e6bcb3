//! Limits on the time and the size of an answer.

use std::time::Duration;

/// Limits of one query.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// For each endpoint, from connecting to the last byte, including the TLS handshake.
    pub deadline: Duration,
    /// Longest gRPC answer, in bytes. The whole answer is held in memory. A policy takes some
    /// hundred bytes, and more for each of its sensors, hooks and errors.
    pub grpc_bytes: usize,
    /// Longest metrics, in bytes. Only one line is held in memory. A busy agent serves some
    /// megabytes.
    pub metrics_bytes: usize,
}

impl Limits {
    /// The default limit of gRPC clients, and so of `tetra`.
    pub const GRPC_BYTES: usize = 4 << 20;
    /// Twice as much, because most metrics are about other things.
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

//! How long an agent may take to answer, and how much it may say.

use std::time::Duration;

/// How much is put up with.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// For each of the two ways, from connecting to the last byte.
    pub deadline: Duration,
    /// Longest answer of gRPC, in bytes, which is held as a whole.
    pub grpc_bytes: usize,
    /// Longest metrics, in bytes, of which one line is held: a busy agent has some megabytes.
    pub metrics_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { deadline: Duration::from_secs(2), grpc_bytes: 1 << 20, metrics_bytes: 8 << 20 }
    }
}

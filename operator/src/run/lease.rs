//! What is said of the Lease in one place: its name, and for how long who holds it may write.

use std::time::Duration;

/// The name of the Lease.
pub const LEASE: &str = "lsm-ready-operator";
/// A Lease that has not changed for so long can be taken.
pub const LEASE_DURATION: Duration = Duration::from_secs(15);
/// A leader whose last successful renewal was sent so long ago writes no more.
pub const RENEW_DEADLINE: Duration = Duration::from_secs(10);

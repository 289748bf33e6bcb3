//! Whether this replica holds the Lease at this moment.
//!
//! In: each successful renewal, with the time at which it was sent. Out: whether a write may be
//! sent now, and when it must have ended.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::run::lease::{LEASE_DURATION, RENEW_DEADLINE};

/// A clone shares the state.
#[derive(Clone, Debug, Default)]
pub struct Held(Arc<Mutex<Hold>>);

#[derive(Clone, Copy, Debug, Default)]
enum Hold {
    /// Without election the only replica always works.
    WithoutElection,
    /// The last successful renewal was sent at that time.
    Renewed(Instant),
    #[default]
    No,
}

/// When a write that is sent now must have ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Until {
    Always,
    /// No other replica takes the Lease before.
    LeaseEnds(Instant),
}

impl Until {
    pub const fn of_the_lease(self) -> Option<Instant> {
        match self {
            Self::Always => None,
            Self::LeaseEnds(end) => Some(end),
        }
    }
}

impl Held {
    /// The state of the only replica.
    pub fn without_election() -> Self {
        Self(Arc::new(Mutex::new(Hold::WithoutElection)))
    }

    /// The Lease was renewed by a request that was sent at that time.
    pub fn renewed(&self, sent: Instant) {
        *self.0.lock() = Hold::Renewed(sent);
    }

    /// No write may be sent any more.
    pub fn lost(&self) {
        *self.0.lock() = Hold::No;
    }

    /// `None` if no write may be sent.
    pub fn until(&self, now: Instant) -> Option<Until> {
        match *self.0.lock() {
            Hold::WithoutElection => Some(Until::Always),
            Hold::Renewed(sent) if now < sent + RENEW_DEADLINE => {
                Some(Until::LeaseEnds(sent + LEASE_DURATION))
            }
            Hold::Renewed(_) | Hold::No => None,
        }
    }
}

//! Which faults the network and the API server have, and how often. The seed decides each.

use std::io;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::network::StreamFate;
use crate::server::answer::{Refusal, Response};
use crate::server::kind::Kind;
use crate::server::requests::Call;

/// Faults, in percent, and delays in milliseconds.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Weather {
    /// Requests that the API server refuses: 409, 422, 429, 500, 503.
    #[serde(skip_serializing_if = "is_zero")]
    pub refused: u8,
    /// Requests that are lost before the API server has them.
    #[serde(skip_serializing_if = "is_zero")]
    pub lost_before: u8,
    /// Requests that the API server carries out, and whose answer is lost.
    #[serde(skip_serializing_if = "is_zero")]
    pub lost_after: u8,
    /// Lost requests of which nobody says that they are lost.
    #[serde(skip_serializing_if = "is_zero")]
    pub hanging: u8,
    /// Lines of a watch at which its connection breaks.
    #[serde(skip_serializing_if = "is_zero")]
    pub broken_watches: u8,
    /// The most that a request takes.
    #[serde(skip_serializing_if = "is_zero_long")]
    pub slow: u16,
    /// The most that a watch is behind. Each kind has its own part of it.
    #[serde(skip_serializing_if = "is_zero_long")]
    pub lag: u16,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_zero(value: &u8) -> bool {
    *value == 0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_zero_long(value: &u16) -> bool {
    *value == 0
}

/// What happens to one request.
#[derive(Clone, Debug, Default)]
pub struct Fate {
    pub out: Duration,
    pub back: Duration,
    pub lost_before: bool,
    pub lost_after: bool,
    pub hangs: bool,
    /// Somebody else changes the object just before.
    pub conflict: bool,
    pub refusal: Option<Refusal>,
}

impl Fate {
    /// The answer is lost: an error, or nothing ever.
    pub async fn loss(&self) -> io::Result<Response> {
        if self.hangs {
            std::future::pending::<()>().await;
        }
        Err(io::ErrorKind::ConnectionReset.into())
    }
}

fn happens(random: &mut fastrand::Rng, percent: u8) -> bool {
    percent > 0 && random.u8(0..100) < percent
}

impl Weather {
    pub fn fate(&self, random: &mut fastrand::Rng, call: &Call) -> Fate {
        let slowest = u64::from(self.slow.max(4));
        let is_slow = happens(random, 30);
        let mut delay = || {
            let longest = if is_slow { slowest } else { 4 };
            Duration::from_millis(random.u64(1..=longest))
        };
        let (out, back) = (delay(), delay());
        Fate {
            out,
            back,
            lost_before: happens(random, self.lost_before),
            lost_after: happens(random, self.lost_after),
            hangs: happens(random, self.hanging),
            conflict: false,
            refusal: happens(random, self.refused).then(|| refusal(random, call)),
        }
    }

    pub fn stream_fate(&self, random: &mut fastrand::Rng) -> StreamFate {
        if !happens(random, self.broken_watches) {
            return StreamFate::Delivered;
        }
        if happens(random, self.hanging) {
            return StreamFate::Silent;
        }
        if random.u8(0..4) == 0 { StreamFate::Expired } else { StreamFate::Broken }
    }

    /// How far the watch of that kind is behind. Other kinds are behind by other times, so changes
    /// of two kinds arrive in another order than they were made.
    #[must_use]
    pub fn lag(&self, kind: Kind) -> Duration {
        let parts = [0, 5, 2, 9, 1, 0, 0, 0, 7, 4];
        let part = parts.get(kind.index()).copied().unwrap_or_default();
        Duration::from_millis(u64::from(self.lag) * part / 9)
    }
}

fn refusal(random: &mut fastrand::Rng, call: &Call) -> Refusal {
    let refusals: &[(u16, &'static str, &str)] = &[
        (429, "TooManyRequests", "the server is busy"),
        (500, "InternalError", "etcd is away"),
        (503, "ServiceUnavailable", "not yet"),
        (409, "Conflict", "the object has been modified; please apply your changes to it"),
        (422, "Invalid", "an admission webhook refuses the object"),
    ];
    // Only a write can conflict or be invalid.
    let count = if call.is_write() { refusals.len() } else { 3 };
    let (code, reason, message) = refusals[random.usize(..count)];
    Refusal::new(code, reason, message)
}

//! What happens to one write, to the watch of one kind, or to a process at a write.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::Network;
use crate::clock;
use crate::server::Server;
use crate::server::kind::Kind;
use crate::server::requests::Call;

/// When a process dies by itself: at its n-th next write.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct CrashAt {
    pub writes: u32,
    /// After the API server has committed the write.
    pub after: bool,
}

/// What happens to the next write about a kind.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum Mishap {
    /// The API server is not ready.
    Refused,
    /// An admission webhook does not like it.
    Invalid,
    /// Somebody else changed a field just before that means nothing to the operator.
    Conflict,
    /// It is carried out, and the connection breaks before the answer.
    LostAnswer,
    /// It is carried out, and no answer ever comes.
    NoAnswer,
}

impl Mishap {
    pub const ALL: [Self; 5] =
        [Self::Refused, Self::Invalid, Self::Conflict, Self::LostAnswer, Self::NoAnswer];
}

/// The annotation that somebody else changes in a [`Mishap::Conflict`].
pub const TOUCHED: &str = "simulation/touched";

#[derive(Clone, Copy, Debug)]
pub(super) struct NextWrite {
    pub kind: Kind,
    pub mishap: Mishap,
}

/// A watch that was lost: until when the kind cannot be read, and whether it has to be listed.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Gap {
    /// Watches of earlier eras are cut.
    pub before: u64,
    pub until: Duration,
    pub is_forgotten: bool,
}

impl Network {
    pub fn crash_at(&self, crash: CrashAt) {
        self.state.lock().crash = Some(crash);
    }

    /// That happens to the next write about that kind, whatever the weather.
    pub fn befall_next_write(&self, kind: Kind, mishap: Mishap) {
        self.state.lock().next_write = Some(NextWrite { kind, mishap });
    }

    /// Whether the next write that something happens to is still to come.
    #[must_use]
    pub fn awaits_next_write(&self) -> bool {
        self.state.lock().next_write.is_some()
    }

    /// Nothing happens to the next write any more.
    pub fn spare_next_write(&self) {
        self.state.lock().next_write = None;
    }

    /// The watch of that kind breaks, the kind cannot be read for that time, and then has to be
    /// listed.
    pub fn lose_watch(&self, kind: Kind, unreachable: Duration) {
        let mut state = self.state.lock();
        state.era += 1;
        let (before, until) = (state.era, clock::elapsed() + unreachable);
        state.gaps[kind.index()] = Gap { before, until, is_forgotten: true };
        drop(state);
        self.woken.notify_waiters();
    }

    /// Whether a watch that begins now gets 410 because of a gap.
    pub fn must_list(&self, kind: Kind) -> bool {
        std::mem::take(&mut self.state.lock().gaps[kind.index()].is_forgotten)
    }

    /// Whether the process dies at this moment of a write.
    pub(super) fn crashes(&self, after: bool) -> bool {
        let mut state = self.state.lock();
        let Some(crash) = state.crash.as_mut().filter(|crash| crash.after == after) else {
            return false;
        };
        crash.writes = crash.writes.saturating_sub(1);
        let now = crash.writes == 0;
        if now {
            state.is_dead = true;
        }
        now
    }

    /// Whether nothing can be had of what that request is about.
    pub(super) fn is_unreachable(&self, call: &Call) -> bool {
        let state = self.state.lock();
        let kind = call.target.as_ref().filter(|_| !call.is_write()).map(|it| it.kind);
        let gap = kind.map_or(Duration::ZERO, |kind| state.gaps[kind.index()].until);
        clock::elapsed() < state.unreachable_until.max(gap)
    }
}

/// Somebody changes a field of the object that the operator does not look at.
pub(super) fn touch(server: &mut Server, call: &Call) {
    let Some(target) = call.target.clone() else { return };
    let key = (target.namespace, target.name.unwrap_or_default());
    let version = server.version();
    server.edit(target.kind, &key, |object| {
        object["metadata"]["annotations"][TOUCHED] = json!(version.to_string());
    });
}

//! Writes a state as the node labels do: `ready`, `not-ready` or `unknown`.

use lsm_ready_crds::State;
use serde::{Deserialize, Deserializer, Serializer};

/// The state as one word.
pub const fn word(state: State) -> &'static str {
    match state {
        State::Ready => "ready",
        State::NotReady => "not-ready",
        State::Unknown => "unknown",
    }
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
pub fn serialize<S: Serializer>(state: &State, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(word(*state))
}

pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<State, D::Error> {
    Ok(match String::deserialize(deserializer)?.as_str() {
        "ready" => State::Ready,
        "not-ready" => State::NotReady,
        _ => State::Unknown,
    })
}

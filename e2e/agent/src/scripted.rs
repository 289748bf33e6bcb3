//! Policies that are only told and not loaded: the answer of an agent without a kernel.
//!
//! In: a file in the form of `tetra tracingpolicy list -o json`. Out: what gRPC and the metrics tell of them.

use std::fs;
use std::path::Path;

use anyhow::Context as _;
use prost::UnknownEnumValue;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

use crate::api::{HookState, ListTracingPoliciesResponse, Mode, State, TracingPolicyStatus};

/// The policies of that file.
///
/// # Errors
/// When it cannot be read.
pub fn read(path: &Path) -> anyhow::Result<Vec<TracingPolicyStatus>> {
    let text = fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
    let listed: ListTracingPoliciesResponse = serde_json::from_str(&text)
        .with_context(|| format!("read the policies in {}", path.display()))?;
    Ok(listed.policies)
}

/// An enumeration by its name or, as other versions have other names, by its number.
#[derive(Deserialize)]
#[serde(untagged)]
enum NameOrNumber {
    Name(String),
    Number(i32),
}

fn enumeration<'de, D: Deserializer<'de>>(
    deserializer: D,
    by_name: impl Fn(&str) -> Option<i32>,
) -> Result<i32, D::Error> {
    match NameOrNumber::deserialize(deserializer)? {
        NameOrNumber::Number(number) => Ok(number),
        NameOrNumber::Name(name) => {
            by_name(&name).ok_or_else(|| D::Error::custom(format!("{name:?} is no such name")))
        }
    }
}

/// The first of the numbers from 0 whose name this is.
fn named<T: TryFrom<i32, Error = UnknownEnumValue>>(
    name: &str,
    of: impl Fn(T) -> &'static str,
) -> Option<i32> {
    (0..)
        .map_while(|number| T::try_from(number).ok().map(|value| (number, value)))
        .find_map(|(number, value)| (of(value) == name).then_some(number))
}

/// `TP_STATE_…`.
pub fn state<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i32, D::Error> {
    enumeration(deserializer, |name| named(name, State::name))
}

/// `TP_MODE_…`.
pub fn mode<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i32, D::Error> {
    enumeration(deserializer, |name| named(name, Mode::name))
}

/// `STATUS_…`.
pub fn hook_state<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i32, D::Error> {
    enumeration(deserializer, |name| named(name, HookState::name))
}

/// A number of 64 bits, which Protocol Buffers write as a string.
pub fn long<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum TextOrNumber {
        Text(String),
        Number(u64),
    }
    match TextOrNumber::deserialize(deserializer)? {
        TextOrNumber::Number(number) => Ok(number),
        TextOrNumber::Text(text) => text.parse().map_err(D::Error::custom),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As Tetragon 1.7.0 printed it.
    #[test]
    fn what_tetra_prints_can_be_played() {
        let printed = r#"{"policies": [{"id": "2", "name": "deny-secret", "sensors": ["generic_lsm"], "enabled": true,
            "state": "TP_STATE_ENABLED", "kernel_memory_bytes": "639944", "mode": "TP_MODE_MONITOR",
            "stats": {"action_counters": {"override": "1", "monitor_override": "2"}}}]}"#;
        let listed: ListTracingPoliciesResponse = serde_json::from_str(printed).unwrap();
        let policy = &listed.policies[0];
        assert_eq!(
            (policy.id, policy.state, policy.mode, policy.kernel_memory_bytes),
            (2, 1, 2, 639_944)
        );
        let counters = policy.stats.as_ref().unwrap().action_counters.as_ref().unwrap();
        assert_eq!((counters.r#override, counters.monitor_override), (1, 2));
        assert!(
            serde_json::from_str::<ListTracingPoliciesResponse>(r#"{"policies": [{"stat": 1}]}"#)
                .is_err()
        );
        assert!(
            serde_json::from_str::<ListTracingPoliciesResponse>(
                r#"{"policies": [{"state": "ON"}]}"#
            )
            .is_err()
        );
    }
}

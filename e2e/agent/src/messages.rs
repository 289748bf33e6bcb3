//! The messages with which Tetragon lists policies, in their published names and numbers.
//!
//! api/v1/tetragon/sensors.proto of Tetragon: package tetragon. What is read from JSON is what
//! `tetra` prints.

use prost::Message;
use serde::Deserialize;

use crate::json;
use crate::states::{HookState, Mode, State};

#[derive(Clone, PartialEq, Message)]
pub struct ListTracingPoliciesRequest {}

#[derive(Clone, Deserialize, PartialEq, Message)]
#[serde(deny_unknown_fields)]
pub struct ListTracingPoliciesResponse {
    #[prost(message, repeated, tag = "1")]
    pub policies: Vec<TracingPolicyStatus>,
}

#[derive(Clone, Deserialize, PartialEq, Message)]
#[serde(default, deny_unknown_fields)]
pub struct TracingPolicyStatus {
    #[prost(uint64, tag = "1")]
    #[serde(deserialize_with = "json::long")]
    pub id: u64,
    #[prost(string, tag = "2")]
    pub name: String,
    #[prost(string, tag = "3")]
    pub namespace: String,
    #[prost(string, tag = "4")]
    pub info: String,
    #[prost(string, repeated, tag = "5")]
    pub sensors: Vec<String>,
    #[prost(bool, tag = "6")]
    pub enabled: bool,
    #[prost(uint64, tag = "7")]
    #[serde(deserialize_with = "json::long")]
    pub filter_id: u64,
    #[prost(string, tag = "8")]
    pub error: String,
    #[prost(enumeration = "State", tag = "9")]
    #[serde(deserialize_with = "json::state")]
    pub state: i32,
    #[prost(uint64, tag = "10")]
    #[serde(deserialize_with = "json::long")]
    pub kernel_memory_bytes: u64,
    /// Since 1.4.
    #[prost(enumeration = "Mode", tag = "11")]
    #[serde(deserialize_with = "json::mode")]
    pub mode: i32,
    /// Since 1.6.
    #[prost(message, optional, tag = "12")]
    pub stats: Option<Stats>,
    /// On main.
    #[prost(string, tag = "13")]
    pub domain: String,
    /// On main.
    #[prost(message, repeated, tag = "14")]
    pub hook_statuses: Vec<HookStatus>,
}

/// TracingPolicyStats.
#[derive(Clone, Deserialize, PartialEq, Message)]
#[serde(default, deny_unknown_fields)]
pub struct Stats {
    #[prost(message, optional, tag = "1")]
    pub action_counters: Option<ActionCounters>,
    /// On main.
    #[prost(message, repeated, tag = "2")]
    pub selector_action_counters: Vec<SelectorActionCounters>,
}

/// TracingPolicyActionCounters.
#[derive(Clone, Copy, Deserialize, PartialEq, Message)]
#[serde(default, deny_unknown_fields)]
pub struct ActionCounters {
    #[prost(uint64, tag = "1")]
    #[serde(deserialize_with = "json::long")]
    pub post: u64,
    #[prost(uint64, tag = "2")]
    #[serde(deserialize_with = "json::long")]
    pub signal: u64,
    #[prost(uint64, tag = "3")]
    #[serde(deserialize_with = "json::long")]
    pub monitor_signal: u64,
    #[prost(uint64, tag = "4")]
    #[serde(deserialize_with = "json::long")]
    pub r#override: u64,
    #[prost(uint64, tag = "5")]
    #[serde(deserialize_with = "json::long")]
    pub monitor_override: u64,
    #[prost(uint64, tag = "6")]
    #[serde(deserialize_with = "json::long")]
    pub notify_enforcer: u64,
    #[prost(uint64, tag = "7")]
    #[serde(deserialize_with = "json::long")]
    pub monitor_notify_enforcer: u64,
    #[prost(uint64, tag = "8")]
    #[serde(deserialize_with = "json::long")]
    pub set: u64,
    #[prost(uint64, tag = "9")]
    #[serde(deserialize_with = "json::long")]
    pub monitor_set: u64,
    #[prost(uint64, tag = "10")]
    #[serde(deserialize_with = "json::long")]
    pub nopost: u64,
}

impl ActionCounters {
    /// The counters, by their names in the metric.
    pub fn by_name(&self) -> [(&'static str, u64); 10] {
        [
            ("post", self.post),
            ("signal", self.signal),
            ("monitor_signal", self.monitor_signal),
            ("override", self.r#override),
            ("monitor_override", self.monitor_override),
            ("notify_enforcer", self.notify_enforcer),
            ("monitor_notify_enforcer", self.monitor_notify_enforcer),
            ("set", self.set),
            ("monitor_set", self.monitor_set),
            ("nopost", self.nopost),
        ]
    }
}

/// TracingPolicySelectorActionCounters, without the indices.
#[derive(Clone, Deserialize, PartialEq, Message)]
#[serde(default)]
pub struct SelectorActionCounters {
    #[prost(string, tag = "1")]
    pub hook: String,
    #[prost(message, optional, tag = "4")]
    pub action_counters: Option<ActionCounters>,
}

/// HookStatus.
#[derive(Clone, Deserialize, PartialEq, Message)]
#[serde(default, deny_unknown_fields)]
pub struct HookStatus {
    #[prost(string, tag = "1")]
    pub section: String,
    #[prost(enumeration = "HookState", tag = "2")]
    #[serde(deserialize_with = "json::hook_state")]
    pub state: i32,
    #[prost(string, tag = "3")]
    pub hook_description: String,
    #[prost(uint32, tag = "4")]
    pub hook_idx: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fields by number, as sensors.proto has them: a mistake in a tag would still decode between
    /// our own two ends.
    #[test]
    fn the_bytes_are_those_of_the_published_numbers() {
        let status = TracingPolicyStatus {
            id: 7,
            name: "p".into(),
            error: "e".into(),
            state: 3,
            ..TracingPolicyStatus::default()
        };
        let response = ListTracingPoliciesResponse { policies: vec![status] };
        assert_eq!(
            response.encode_to_vec(),
            [0x0a, 10, 0x08, 7, 0x12, 1, b'p', 0x42, 1, b'e', 0x48, 3]
        );
    }
}

//! The part of Tetragon's gRPC API that lists policies, in its published names and field numbers, as far as it is read
//! here: api/v1/tetragon/sensors.proto (package tetragon, service FineGuidanceSensors), the same in the API modules
//! v1.1.0, v1.3.0 and v1.7.0. Fields that are not named are skipped by the decoder.

use prost::Message;

/// The method that is called.
pub const LIST_TRACING_POLICIES: &str = "/tetragon.FineGuidanceSensors/ListTracingPolicies";

/// It has no content.
#[derive(Clone, PartialEq, Message)]
pub struct ListTracingPoliciesRequest {}

/// Every policy that the agent knows.
#[derive(Clone, PartialEq, Message)]
pub struct ListTracingPoliciesResponse {
    /// One entry a policy.
    #[prost(message, repeated, tag = "1")]
    pub policies: Vec<TracingPolicyStatus>,
}

/// One policy.
#[derive(Clone, PartialEq, Message)]
pub struct TracingPolicyStatus {
    /// The TracingPolicy's name.
    #[prost(string, tag = "2")]
    pub name: String,
    /// Its namespace; empty for a TracingPolicy of the whole cluster.
    #[prost(string, tag = "3")]
    pub namespace: String,
    /// What the agent has to say about it, in any state.
    #[prost(string, tag = "4")]
    pub info: String,
    /// The sensors that were loaded for it.
    #[prost(string, repeated, tag = "5")]
    pub sensors: Vec<String>,
    /// Deprecated in favour of the state; the only word of agents that have none.
    #[prost(bool, tag = "6")]
    pub enabled: bool,
    /// Why it is in an error state.
    #[prost(string, tag = "8")]
    pub error: String,
    /// TracingPolicyState: 0 unknown, 1 enabled, 2 disabled, 3 load_error, 4 error, 5 loading, 6 unloading. Later
    /// releases have more.
    #[prost(int32, tag = "9")]
    pub state: i32,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fields by number, as sensors.proto has them, with two that are not read here (1 and 10) in between.
    #[test]
    fn the_bytes_of_an_agent_are_read_by_the_published_numbers() {
        let policy = [
            &[0x08, 7][..],
            &[0x12, 1, b'p', 0x1a, 1, b'n', 0x22, 1, b'i', 0x2a, 1, b's', 0x30, 1],
            &[0x42, 1, b'e', 0x48, 3, 0x50, 99],
        ]
        .concat();
        let bytes = [&[0x0a, u8::try_from(policy.len()).unwrap()][..], &policy].concat();
        let read = ListTracingPoliciesResponse::decode(&bytes[..]).unwrap();
        let expected = TracingPolicyStatus {
            name: "p".into(),
            namespace: "n".into(),
            info: "i".into(),
            sensors: vec!["s".into()],
            enabled: true,
            error: "e".into(),
            state: 3,
        };
        assert_eq!(read.policies, [expected]);
    }
}

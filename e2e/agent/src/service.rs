//! The part of Tetragon's gRPC API that lists policies, in its published names and numbers.
//!
//! In: a [`Source`]. Out: a service, and the messages for a client. (api/v1/tetragon/sensors.proto of Tetragon: package
//! tetragon, service FineGuidanceSensors.)

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::task::{Context, Poll};

use futures::FutureExt as _;
use futures::future::BoxFuture;
use prost::{Enumeration, Message};
use serde::Deserialize;
use tonic::body::Body;
use tonic::server::{Grpc, NamedService, UnaryService};
use tonic::{Request, Response, Status};
use tonic_prost::ProstCodec;
use tower_service::Service;

use crate::played;
use crate::shape::Source;

/// The method that is answered here.
pub const LIST_TRACING_POLICIES: &str = "/tetragon.FineGuidanceSensors/ListTracingPolicies";

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
    #[serde(deserialize_with = "played::long")]
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
    #[serde(deserialize_with = "played::long")]
    pub filter_id: u64,
    #[prost(string, tag = "8")]
    pub error: String,
    #[prost(enumeration = "State", tag = "9")]
    #[serde(deserialize_with = "played::state")]
    pub state: i32,
    #[prost(uint64, tag = "10")]
    #[serde(deserialize_with = "played::long")]
    pub kernel_memory_bytes: u64,
    /// Since 1.4.
    #[prost(enumeration = "Mode", tag = "11")]
    #[serde(deserialize_with = "played::mode")]
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
    #[serde(deserialize_with = "played::long")]
    pub post: u64,
    #[prost(uint64, tag = "2")]
    #[serde(deserialize_with = "played::long")]
    pub signal: u64,
    #[prost(uint64, tag = "3")]
    #[serde(deserialize_with = "played::long")]
    pub monitor_signal: u64,
    #[prost(uint64, tag = "4")]
    #[serde(deserialize_with = "played::long")]
    pub r#override: u64,
    #[prost(uint64, tag = "5")]
    #[serde(deserialize_with = "played::long")]
    pub monitor_override: u64,
    #[prost(uint64, tag = "6")]
    #[serde(deserialize_with = "played::long")]
    pub notify_enforcer: u64,
    #[prost(uint64, tag = "7")]
    #[serde(deserialize_with = "played::long")]
    pub monitor_notify_enforcer: u64,
    #[prost(uint64, tag = "8")]
    #[serde(deserialize_with = "played::long")]
    pub set: u64,
    #[prost(uint64, tag = "9")]
    #[serde(deserialize_with = "played::long")]
    pub monitor_set: u64,
    #[prost(uint64, tag = "10")]
    #[serde(deserialize_with = "played::long")]
    pub nopost: u64,
}

impl ActionCounters {
    /// By the names in the metric.
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
    #[serde(deserialize_with = "played::hook_state")]
    pub state: i32,
    #[prost(string, tag = "3")]
    pub hook_description: String,
    #[prost(uint32, tag = "4")]
    pub hook_idx: u32,
}

/// TracingPolicyState.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enumeration)]
#[repr(i32)]
pub enum State {
    Unknown = 0,
    Enabled = 1,
    Disabled = 2,
    LoadError = 3,
    Error = 4,
    Loading = 5,
    Unloading = 6,
    Skipped = 7,
    PartiallyEnabled = 8,
}

impl State {
    /// Its name in the protocol and, in lower case and without the prefix, in the metric.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unknown => "TP_STATE_UNKNOWN",
            Self::Enabled => "TP_STATE_ENABLED",
            Self::Disabled => "TP_STATE_DISABLED",
            Self::LoadError => "TP_STATE_LOAD_ERROR",
            Self::Error => "TP_STATE_ERROR",
            Self::Loading => "TP_STATE_LOADING",
            Self::Unloading => "TP_STATE_UNLOADING",
            Self::Skipped => "TP_STATE_SKIPPED",
            Self::PartiallyEnabled => "TP_STATE_PARTIALLY_ENABLED",
        }
    }
}

/// TracingPolicyMode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enumeration)]
#[repr(i32)]
pub enum Mode {
    Unknown = 0,
    Enforce = 1,
    Monitor = 2,
    MonitorOnly = 3,
}

impl Mode {
    /// Its name in the protocol.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unknown => "TP_MODE_UNKNOWN",
            Self::Enforce => "TP_MODE_ENFORCE",
            Self::Monitor => "TP_MODE_MONITOR",
            Self::MonitorOnly => "TP_MODE_MONITOR_ONLY",
        }
    }
}

/// HookState.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enumeration)]
#[repr(i32)]
pub enum HookState {
    Unspecified = 0,
    Loaded = 1,
    DigestRejected = 2,
    CallNotFound = 3,
    PartialCallNotFound = 4,
}

impl HookState {
    /// Its name in the protocol.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unspecified => "STATUS_UNSPECIFIED",
            Self::Loaded => "STATUS_LOADED",
            Self::DigestRejected => "STATUS_DIGEST_REJECTED",
            Self::CallNotFound => "STATUS_CALL_NOT_FOUND",
            Self::PartialCallNotFound => "STATUS_PARTIAL_CALL_NOT_FOUND",
        }
    }
}

/// The service; every method but one is unimplemented.
#[derive(Clone)]
pub struct Sensors(pub Source);

impl NamedService for Sensors {
    const NAME: &'static str = "tetragon.FineGuidanceSensors";
}

impl Service<http::Request<Body>> for Sensors {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        if request.uri().path() != LIST_TRACING_POLICIES {
            return ready(Ok(Status::unimplemented(request.uri().path()).into_http())).boxed();
        }
        let list = List(self.0.clone());
        async move { Ok(Grpc::new(ProstCodec::default()).unary(list, request).await) }.boxed()
    }
}

struct List(Source);

impl UnaryService<ListTracingPoliciesRequest> for List {
    type Response = ListTracingPoliciesResponse;
    type Future = Ready<Result<Response<ListTracingPoliciesResponse>, Status>>;

    fn call(&mut self, _: Request<ListTracingPoliciesRequest>) -> Self::Future {
        ready(Ok(Response::new(ListTracingPoliciesResponse { policies: self.0.statuses() })))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fields by number, as sensors.proto has them: a mistake in a tag would still decode between our own two ends.
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

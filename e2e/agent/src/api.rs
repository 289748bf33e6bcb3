//! The part of Tetragon's gRPC API that lists policies, in its published names and numbers.
//!
//! In: [`Policies`]. Out: a service, and the messages for a client. (api/v1/tetragon/sensors.proto of Tetragon: package
//! tetragon, service FineGuidanceSensors.)

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::task::{Context, Poll};

use futures::FutureExt as _;
use futures::future::BoxFuture;
use prost::{Enumeration, Message};
use tonic::body::Body;
use tonic::server::{Grpc, NamedService, UnaryService};
use tonic::{Request, Response, Status};
use tonic_prost::ProstCodec;
use tower_service::Service;

use crate::table::Policies;

/// The method that is answered here.
pub const LIST_TRACING_POLICIES: &str = "/tetragon.FineGuidanceSensors/ListTracingPolicies";

#[derive(Clone, PartialEq, Message)]
pub struct ListTracingPoliciesRequest {}

#[derive(Clone, PartialEq, Message)]
pub struct ListTracingPoliciesResponse {
    #[prost(message, repeated, tag = "1")]
    pub policies: Vec<TracingPolicyStatus>,
}

#[derive(Clone, PartialEq, Message)]
pub struct TracingPolicyStatus {
    #[prost(uint64, tag = "1")]
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
    pub filter_id: u64,
    #[prost(string, tag = "8")]
    pub error: String,
    #[prost(enumeration = "State", tag = "9")]
    pub state: i32,
    #[prost(uint64, tag = "10")]
    pub kernel_memory_bytes: u64,
    #[prost(int32, tag = "11")]
    pub mode: i32,
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
}

impl State {
    /// Its name in the protocol and, in lower case and without the prefix, in the metric.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Unknown => "TP_STATE_UNKNOWN",
            Self::Enabled => "TP_STATE_ENABLED",
            Self::Disabled => "TP_STATE_DISABLED",
            Self::LoadError => "TP_STATE_LOAD_ERROR",
            Self::Error => "TP_STATE_ERROR",
            Self::Loading => "TP_STATE_LOADING",
            Self::Unloading => "TP_STATE_UNLOADING",
        }
    }
}

/// The service; every method but one is unimplemented.
#[derive(Clone)]
pub struct Sensors(pub Policies);

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

struct List(Policies);

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
        assert_eq!(response.encode_to_vec(), [0x0a, 10, 0x08, 7, 0x12, 1, b'p', 0x42, 1, b'e', 0x48, 3]);
    }
}

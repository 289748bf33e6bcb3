//! The part of Tetragon's gRPC API that lists policies.
//!
//! In: a [`Source`]. Out: the service FineGuidanceSensors of api/v1/tetragon/sensors.proto.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::task::{Context, Poll};

use futures::FutureExt as _;
use futures::future::BoxFuture;
use tonic::body::Body;
use tonic::server::{Grpc, NamedService, UnaryService};
use tonic::{Request, Response, Status};
use tonic_prost::ProstCodec;
use tower_service::Service;

use crate::messages::{ListTracingPoliciesRequest, ListTracingPoliciesResponse};
use crate::release::Source;

/// The method that is answered here.
pub const LIST_TRACING_POLICIES: &str = "/tetragon.FineGuidanceSensors/ListTracingPolicies";

/// The service. Every method but one is unimplemented.
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

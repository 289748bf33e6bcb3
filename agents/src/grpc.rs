//! `ListTracingPolicies`, over HTTP/2 without TLS, as Tetragon serves it.
//!
//! A question has a connection of its own, which ends with it: when the client is dropped, hyper resets the stream and
//! closes the connection, also where the other end neither answers nor closes.

use std::net::SocketAddr;

use http::uri::PathAndQuery;
use tokio::time::timeout;
use tonic::client::Grpc;
use tonic::transport::Endpoint;
use tonic::{Code, Request, Status};
use tonic_prost::ProstCodec;

use crate::answer::Answer;
use crate::api::{LIST_TRACING_POLICIES, ListTracingPoliciesRequest, ListTracingPoliciesResponse};
use crate::limits::Limits;
use crate::why::Why;

/// What the other end may send ahead of being read, in bytes.
const WINDOW: u32 = 64 << 10;
/// Longest headers and trailers, in bytes.
const HEADERS: u32 = 16 << 10;

/// What the agent at that address lists.
pub async fn list(address: SocketAddr, limits: &Limits) -> Result<Answer, Why> {
    timeout(limits.deadline, call(address, limits.grpc_bytes)).await.unwrap_or(Err(Why::TimedOut))
}

async fn call(address: SocketAddr, most: usize) -> Result<Answer, Why> {
    let endpoint = Endpoint::from_shared(format!("http://{address}")).map_err(|_| Why::NoAddress)?;
    let channel = endpoint
        .initial_stream_window_size(WINDOW)
        .initial_connection_window_size(WINDOW)
        .http2_max_header_list_size(HEADERS)
        .connect()
        .await
        .map_err(|error| Why::among_causes(&error).unwrap_or(Why::Unreachable))?;
    let mut client = Grpc::new(channel).max_decoding_message_size(most);
    client.ready().await.map_err(|error| Why::among_causes(&error).unwrap_or(Why::Closed))?;
    let codec = ProstCodec::<ListTracingPoliciesRequest, ListTracingPoliciesResponse>::default();
    let (request, path) = (ListTracingPoliciesRequest {}, PathAndQuery::from_static(LIST_TRACING_POLICIES));
    let response = client.unary(Request::new(request), path, codec).await.map_err(|status| refused(&status))?;
    Ok(Answer::listed(&response.into_inner().policies))
}

/// A status of the agent's own has no cause; one that tonic made of a broken connection has.
fn refused(status: &Status) -> Why {
    match std::error::Error::source(status) {
        Some(cause) => Why::among_causes(cause).unwrap_or(Why::OtherProtocol),
        // tonic's word for a message longer than it was told to decode.
        None if status.code() == Code::OutOfRange && status.message().contains("too large") => Why::TooLarge,
        None => Why::Status(status.code().into()),
    }
}

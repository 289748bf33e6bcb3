//! `ListTracingPolicies` over HTTP/2, with or without TLS.
//!
//! Each query has its own connection. When the client is dropped, hyper resets the stream and
//! closes the connection, even if the agent neither answers nor closes.

use std::future::ready;
use std::io;
use std::net::SocketAddr;

use http::Uri;
use http::uri::PathAndQuery;
use hyper_util::rt::TokioIo;
use tokio::time::timeout;
use tonic::client::Grpc;
use tonic::transport::Endpoint;
use tonic::{Code, Request, Status};
use tower::{Service, service_fn};

use crate::tetragon_client::codec::ListCodec;
use crate::tetragon_client::connect::{Connection, Stream, connect};
use crate::tetragon_client::error::AskError;
use crate::tetragon_client::limits::Limits;
use crate::tetragon_client::listing::Listing;
use crate::tetragon_client::tls::Tls;

const LIST_TRACING_POLICIES: &str = "/tetragon.FineGuidanceSensors/ListTracingPolicies";
/// Bytes that the agent may send before the client has read them. The longest answer then takes 16
/// round trips.
const WINDOW: u32 = 256 << 10;
/// Maximum size of headers and trailers, in bytes.
const MAX_HEADERS: u32 = 16 << 10;

/// Asks the agent at that address.
pub async fn list(
    address: SocketAddr,
    tls: Option<&Tls>,
    limits: &Limits,
) -> Result<Listing, AskError> {
    let query = async {
        let Connection { stream, recordings } = connect(address, tls).await?;
        match call(address, stream, limits.grpc_bytes).await {
            Ok(listing) => Ok(listing),
            Err(error) => Err(recordings.cause(address, error).await),
        }
    };
    timeout(limits.deadline, query).await.unwrap_or(Err(AskError::TimedOut))
}

async fn call(address: SocketAddr, stream: Stream, max_bytes: usize) -> Result<Listing, AskError> {
    let endpoint =
        Endpoint::from_shared(format!("http://{address}")).map_err(|_| AskError::NoAddress)?;
    let channel = endpoint
        .initial_stream_window_size(WINDOW)
        .initial_connection_window_size(WINDOW)
        .http2_max_header_list_size(MAX_HEADERS)
        .connect_with_connector(once(stream))
        .await
        .map_err(|error| AskError::from_sources(&error).unwrap_or(AskError::Unreachable))?;
    let mut client = Grpc::new(channel).max_decoding_message_size(max_bytes);
    client
        .ready()
        .await
        .map_err(|error| AskError::from_sources(&error).unwrap_or(AskError::Closed))?;
    let path = PathAndQuery::from_static(LIST_TRACING_POLICIES);
    let response = client
        .unary(Request::new(()), path, ListCodec)
        .await
        .map_err(|status| status_error(&status))?;
    response.into_inner()
}

/// A connector that hands out the stream once. The client connects again when a connection is lost;
/// that attempt fails.
fn once(
    stream: Stream,
) -> impl Service<Uri, Response = TokioIo<Stream>, Error = io::Error, Future: Send> + Send + 'static
{
    let mut stream = Some(stream);
    service_fn(move |_: Uri| {
        ready(stream.take().map(TokioIo::new).ok_or_else(|| io::ErrorKind::NotConnected.into()))
    })
}

/// A status that the agent sent has no source. tonic makes a status with a source when the
/// connection breaks.
fn status_error(status: &Status) -> AskError {
    match std::error::Error::source(status) {
        Some(source) => AskError::from_sources(source).unwrap_or(AskError::OtherProtocol),
        // tonic's text for a message that exceeds `max_decoding_message_size`.
        None if status.code() == Code::OutOfRange && status.message().contains("too large") => {
            AskError::TooLarge
        }
        None => AskError::Status(status.code().into()),
    }
}

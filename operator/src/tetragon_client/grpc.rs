//! `ListTracingPolicies` over HTTP/2, with TLS or without.
//!
//! Each question has its own connection, which ends with the question: when the client is dropped, hyper resets the stream
//! and closes the connection, also where the agent neither answers nor closes.

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
use crate::tetragon_client::connect::{Stream, connect};
use crate::tetragon_client::error::Why;
use crate::tetragon_client::limits::Limits;
use crate::tetragon_client::listing::Listed;
use crate::tetragon_client::tls::Tls;

/// The method.
const LIST_TRACING_POLICIES: &str = "/tetragon.FineGuidanceSensors/ListTracingPolicies";
/// How many bytes the agent may send ahead of being read. The longest answer then takes 16 round trips.
const WINDOW: u32 = 256 << 10;
/// Longest headers and trailers, in bytes.
const HEADERS: u32 = 16 << 10;

/// Asks the agent at that address.
pub async fn list(address: SocketAddr, tls: Option<&Tls>, limits: &Limits) -> Result<Listed, Why> {
    let asked = async {
        let (stream, ended) = connect(address, tls).await?.split();
        match call(address, stream, limits.grpc_bytes).await {
            Ok(listed) => Ok(listed),
            Err(why) => Err(ended.why(address, why).await),
        }
    };
    timeout(limits.deadline, asked).await.unwrap_or(Err(Why::TimedOut))
}

async fn call(address: SocketAddr, stream: Stream, most: usize) -> Result<Listed, Why> {
    let endpoint =
        Endpoint::from_shared(format!("http://{address}")).map_err(|_| Why::NoAddress)?;
    let channel = endpoint
        .initial_stream_window_size(WINDOW)
        .initial_connection_window_size(WINDOW)
        .http2_max_header_list_size(HEADERS)
        .connect_with_connector(once(stream))
        .await
        .map_err(|error| Why::among_causes(&error).unwrap_or(Why::Unreachable))?;
    let mut client = Grpc::new(channel).max_decoding_message_size(most);
    client.ready().await.map_err(|error| Why::among_causes(&error).unwrap_or(Why::Closed))?;
    let path = PathAndQuery::from_static(LIST_TRACING_POLICIES);
    let response =
        client.unary(Request::new(()), path, ListCodec).await.map_err(|status| refused(&status))?;
    response.into_inner()
}

/// Gives the stream to the client, which would connect again where a connection is lost: then there is none.
fn once(
    stream: Stream,
) -> impl Service<Uri, Response = TokioIo<Stream>, Error = io::Error, Future: Send> + Send + 'static
{
    let mut stream = Some(stream);
    service_fn(move |_: Uri| {
        ready(stream.take().map(TokioIo::new).ok_or_else(|| io::ErrorKind::NotConnected.into()))
    })
}

/// A status that the agent sent has no cause; one that tonic made of a broken connection has.
fn refused(status: &Status) -> Why {
    match std::error::Error::source(status) {
        Some(cause) => Why::among_causes(cause).unwrap_or(Why::OtherProtocol),
        // tonic's word for a message longer than it was told to decode.
        None if status.code() == Code::OutOfRange && status.message().contains("too large") => {
            Why::TooLarge
        }
        None => Why::Status(status.code().into()),
    }
}

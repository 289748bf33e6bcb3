//! A watch: its request, and the events of its answer.
//!
//! In: an API, and from which version on. Out: events. Of a kind that the operator can read in the
//! binary encoding (Protocol Buffers, [`super::messages`]) that is asked for, and the API server may
//! answer in JSON all the same. kube's own watch reads only JSON.
//!
//! ## Errors
//! An answer other than success is an error with the API server's text. So is an event that cannot
//! be read: the watch goes on with the last one before it.

use std::io;

use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use http::header::{ACCEPT, ACCEPT_ENCODING, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Response};
use http_body_util::BodyExt;
use kube::api::{WatchEvent, WatchParams};
use kube::client::Body;
use kube::core::Status;
use kube::{Api, Error};
use serde::de::DeserializeOwned;
use tokio_util::codec::{FramedRead, LengthDelimitedCodec, LinesCodec, LinesCodecError};
use tokio_util::io::StreamReader;

use super::follow::Followed;
use super::messages;
use crate::protobuf::Malformed;

/// The events of a watch.
pub type Changes<T> = BoxStream<'static, kube::Result<WatchEvent<T>>>;

const BINARY: &str = "application/vnd.kubernetes.protobuf";
const EITHER: HeaderValue =
    HeaderValue::from_static("application/vnd.kubernetes.protobuf, application/json");
/// An API server that compresses a watch does so for each event.
const UNCOMPRESSED: HeaderValue = HeaderValue::from_static("identity");
/// Maximum size of an event in bytes. The API server takes requests of 3 MiB, and etcd objects of
/// 1.5 MiB.
const MAX_EVENT: usize = 16 * 1024 * 1024;

/// Begins a watch.
pub async fn changes<T: Followed>(
    api: &Api<T>,
    params: &WatchParams,
    version: &str,
) -> kube::Result<Changes<T>> {
    let request = kube::core::Request::new(api.resource_url());
    let mut request = request.watch(params, version).map_err(Error::BuildRequest)?;
    request.headers_mut().insert(ACCEPT_ENCODING, UNCOMPRESSED);
    if T::EVENT.is_some() {
        request.headers_mut().insert(ACCEPT, EITHER);
    }
    let answer = api.clone().into_client().send(request.map(Body::from)).await?;
    let is_binary = is_binary(answer.headers());
    if answer.status().is_client_error() || answer.status().is_server_error() {
        return Err(Error::Api(Box::new(refusal(answer).await?)));
    }
    let reader = StreamReader::new(answer.into_body().into_data_stream().map_err(io::Error::other));
    Ok(if let Some(read) = T::EVENT.filter(|_| is_binary) {
        let frames = LengthDelimitedCodec::builder().max_frame_length(MAX_EVENT).new_codec();
        let frames = FramedRead::new(reader, frames).map_err(Error::ReadEvents);
        frames.map(move |frame| read(&frame?).map_err(malformed)).boxed()
    } else {
        let lines = FramedRead::new(reader, LinesCodec::new()).map_err(unread);
        lines.map(|line| event(&line?)).boxed()
    })
}

fn is_binary(headers: &HeaderMap) -> bool {
    headers.get(CONTENT_TYPE).is_some_and(|found| found.as_bytes().starts_with(BINARY.as_bytes()))
}

/// Why the API server does not begin the watch.
async fn refusal(answer: Response<Body>) -> kube::Result<Status> {
    let (code, is_binary) = (answer.status().as_u16(), is_binary(answer.headers()));
    let body = answer.into_body().collect().await?.to_bytes();
    let status = if is_binary {
        messages::contents(&body).and_then(messages::status).ok()
    } else {
        serde_json::from_slice(&body).ok()
    };
    // A proxy answers with a text or a page.
    let other = || Status::failure(String::from_utf8_lossy(&body).trim(), "").with_code(code);
    Ok(status.unwrap_or_else(other))
}

/// A line of a watch in JSON: an event, or why the watch ends.
fn event<T: DeserializeOwned + Clone>(line: &str) -> kube::Result<WatchEvent<T>> {
    serde_json::from_str(line).map_err(|error| match serde_json::from_str::<Status>(line) {
        Ok(status) => Error::Api(Box::new(status)),
        Err(_) => Error::SerdeError(error),
    })
}

fn malformed(error: Malformed) -> Error {
    Error::ReadEvents(io::Error::new(io::ErrorKind::InvalidData, error))
}

fn unread(error: LinesCodecError) -> Error {
    match error {
        LinesCodecError::Io(error) => Error::ReadEvents(error),
        LinesCodecError::MaxLineLengthExceeded => Error::LinesCodecMaxLineLengthExceeded,
    }
}

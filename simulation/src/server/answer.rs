//! Answers of the API server: bytes, or a stream of them.

use std::convert::Infallible;
use std::io;
use std::pin::Pin;

use bytes::Bytes;
use futures::{Stream, StreamExt};
use http_body::Frame;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use serde_json::{Value, json};

use super::object;

pub type Body = UnsyncBoxBody<Bytes, io::Error>;
pub type Response = http::Response<Body>;

/// Why the API server refuses a request.
#[derive(Clone, Debug)]
pub struct Refusal {
    pub code: u16,
    pub reason: &'static str,
    pub message: String,
}

impl Refusal {
    #[must_use]
    pub fn new(code: u16, reason: &'static str, message: impl Into<String>) -> Self {
        Self { code, reason, message: message.into() }
    }

    #[must_use]
    pub fn conflict(message: impl Into<String>) -> Self {
        Self::new(409, "Conflict", message)
    }

    #[must_use]
    pub fn not_found(name: &str) -> Self {
        Self::new(404, "NotFound", format!("{name:?} not found"))
    }

    #[must_use]
    pub fn status(&self) -> Value {
        json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "code": self.code, "reason": self.reason, "message": self.message})
    }
}

#[must_use]
pub fn text(code: u16, text: Bytes) -> Response {
    let body = Full::new(text).map_err(|never: Infallible| match never {});
    response(code, body.boxed_unsync())
}

#[must_use]
pub fn refused(refusal: &Refusal) -> Response {
    text(refusal.code, object::json(&refusal.status()))
}

/// The lines of a watch.
#[must_use]
pub fn stream(lines: Pin<Box<dyn Stream<Item = io::Result<Bytes>> + Send>>) -> Response {
    response(200, BodyExt::boxed_unsync(StreamBody::new(lines.map(|line| line.map(Frame::data)))))
}

fn response(code: u16, body: Body) -> Response {
    let mut response = http::Response::new(body);
    *response.status_mut() = http::StatusCode::from_u16(code).unwrap_or_default();
    response
}

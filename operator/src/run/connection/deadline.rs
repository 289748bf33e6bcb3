//! A deadline for every request.
//!
//! | request | deadline |
//! |---|---|
//! | list (it has `limit`) | a minute for each page, as the API server has (`--request-timeout`) |
//! | watch | for its start; kube-runtime looks after the rest |
//! | any other | for the whole answer |

use std::error::Error;
use std::iter;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use http::{Method, Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use kube::client::Body;
use tokio::time::timeout;
use tower::{BoxError, Service};

/// Deadline of every request that is not a list.
pub const REQUEST: Duration = Duration::from_secs(10);
/// Deadline of each page of a list. A page that the API server needs long for must get through, or
/// the list would begin again for ever. A dead connection is noticed long before.
pub const LIST: Duration = Duration::from_mins(1);

/// The connection failed. hyper's own text leaves out the cause.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Failed(String);

impl Failed {
    /// With all causes in one line.
    pub fn boxed(error: &(dyn Error + 'static)) -> BoxError {
        let causes =
            iter::successors(Some(error), |&error| error.source()).map(ToString::to_string);
        Self(causes.collect::<Vec<_>>().join(": ")).into()
    }
}

/// A request had no answer, or none but that the API server has no time.
#[derive(Debug, thiserror::Error)]
#[error("no answer to {request} in {} s, or only 429 or 503", after.as_secs())]
pub struct NoAnswer {
    /// Method and path.
    pub request: String,
    /// The deadline.
    pub after: Duration,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Kind {
    List,
    Watch,
    Other,
}

impl Kind {
    fn of(request: &Request<Body>) -> Self {
        let mut parameters = request.uri().query().unwrap_or_default().split('&');
        if request.method() != Method::GET {
            Self::Other
        } else if parameters.clone().any(|p| p == "watch=true" || p == "watch=1") {
            Self::Watch
        } else if parameters.any(|p| p.starts_with("limit=")) {
            Self::List
        } else {
            Self::Other
        }
    }

    const fn deadline(self) -> Duration {
        match self {
            Self::List => LIST,
            Self::Watch | Self::Other => REQUEST,
        }
    }
}

/// The layer.
#[derive(Clone, Debug)]
pub struct Deadlines<S>(S);

impl<S> Deadlines<S> {
    pub const fn new(service: S) -> Self {
        Self(service)
    }
}

type Answer = UnsyncBoxBody<Bytes, BoxError>;

impl<S, B> Service<Request<Body>> for Deadlines<S>
where
    S: Service<Request<Body>, Response = Response<B>>,
    S::Future: Send + 'static,
    S::Error: Into<BoxError>,
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response<Answer>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Self::Response, BoxError>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.0.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let (kind, name) = (Kind::of(&request), name(&request));
        let answer = self.0.call(request);
        Box::pin(async move {
            let whole = async {
                let (parts, body) = answer.await.map_err(Into::into)?.into_parts();
                let body: Answer = if kind == Kind::Watch && parts.status.is_success() {
                    body.map_err(Into::into).boxed_unsync()
                } else {
                    let bytes = body.collect().await.map_err(Into::into)?.to_bytes();
                    Full::new(bytes).map_err(|never| match never {}).boxed_unsync()
                };
                Ok(Response::from_parts(parts, body))
            };
            let after = kind.deadline();
            match timeout(after, whole).await {
                Ok(answer) => answer,
                Err(_) => Err(NoAnswer { request: name, after }.into()),
            }
        })
    }
}

/// Method and path, as errors name a request.
pub(super) fn name(request: &Request<Body>) -> String {
    format!("{} {}", request.method(), request.uri().path())
}

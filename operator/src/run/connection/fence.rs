//! Refuses every write of a replica that does not hold the Lease.
//!
//! ## Guarantees
//! The check is the last step before a request is handed to the connection, and uses the monotonic
//! clock: a process that was stopped for longer than the Lease writes nothing when it goes on. A
//! write that has no answer when the Lease ends is given up then.
//!
//! ## Assumptions
//! What is already in the network cannot be taken back. Therefore every write also has the
//! resourceVersion that it is based on.

use std::error::Error;
use std::iter;
use std::task::{Context, Poll};

use futures::future::BoxFuture;
use http::{Method, Request};
use kube::client::Body;
use tokio::time::{Instant, timeout_at};
use tower::{BoxError, Service};

use super::deadline::name;
use super::held::Held;

/// A write was refused or given up.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{request} was not sent, or had no answer in time: this replica does not hold the Lease")]
pub struct NotLeader {
    /// Method and path.
    pub request: String,
}

impl NotLeader {
    /// Whether something failed because this replica is no longer the leader.
    pub fn is_cause_of(error: &(dyn Error + 'static)) -> bool {
        iter::successors(Some(error), |&error| error.source()).any(<dyn Error>::is::<Self>)
    }
}

/// The layer.
#[derive(Clone, Debug)]
pub struct Fence<S> {
    service: S,
    held: Held,
}

impl<S> Fence<S> {
    pub const fn new(service: S, held: Held) -> Self {
        Self { service, held }
    }
}

impl<S> Service<Request<Body>> for Fence<S>
where
    S: Service<Request<Body>>,
    S::Future: Send + 'static,
    S::Response: 'static,
    S::Error: Into<BoxError>,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<S::Response, BoxError>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.service.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        if matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS) {
            let answer = self.service.call(request);
            return Box::pin(async move { answer.await.map_err(Into::into) });
        }
        let not_leader = NotLeader { request: name(&request) };
        let Some(end) = self.held.until(Instant::now()) else {
            return Box::pin(async move { Err(not_leader.into()) });
        };
        let answer = self.service.call(request);
        Box::pin(async move {
            let Some(end) = end.of_the_lease() else {
                return answer.await.map_err(Into::into);
            };
            match timeout_at(end, answer).await {
                Ok(answer) => answer.map_err(Into::into),
                Err(_) => Err(not_leader.into()),
            }
        })
    }
}

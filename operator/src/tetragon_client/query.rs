//! Asks one agent: by gRPC first, then by its metrics.

use std::fmt;
use std::net::SocketAddr;

use crate::tetragon_client::answer::{ActionsByPolicy, Answer, Source};
use crate::tetragon_client::error::AskError;
use crate::tetragon_client::limits::Limits;
use crate::tetragon_client::listing::Listing;
use crate::tetragon_client::tls::Tls;
use crate::tetragon_client::{grpc, metrics};

/// Addresses of one agent. The metrics are read if `grpc` is not set or gives no answer.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Endpoints {
    pub grpc: Option<SocketAddr>,
    /// The path is `/metrics`.
    pub metrics: Option<SocketAddr>,
}

/// The result of one query.
pub type QueryResult = Result<Response, Unanswered>;

/// What the agent answered.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Response {
    pub answer: Answer,
    /// How often the policies have acted. These numbers change all the time, so they are not part
    /// of the answer.
    pub actions: ActionsByPolicy,
    /// The error of gRPC, if the metrics were read instead.
    pub grpc_error: Option<AskError>,
}

/// The errors of an agent that gave no answer; `None` for an endpoint that was not tried.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Unanswered {
    pub grpc: Option<AskError>,
    pub metrics: Option<AskError>,
}

impl fmt::Display for Unanswered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.grpc, self.metrics) {
            (Some(grpc), Some(metrics)) if grpc == metrics => write!(f, "gRPC and metrics: {grpc}"),
            (Some(grpc), Some(metrics)) => write!(f, "gRPC: {grpc}; metrics: {metrics}"),
            (Some(grpc), None) => write!(f, "gRPC: {grpc}"),
            (None, Some(metrics)) => write!(f, "metrics: {metrics}"),
            (None, None) => write!(f, "not tried"),
        }
    }
}

/// Each endpoint that was tried, with `answered` or the label of its error.
pub fn attempts(result: &QueryResult) -> Vec<(Source, &'static str)> {
    let failed = |source, error: Option<AskError>| error.map(|error| (source, error.label()));
    match result {
        Ok(Response { answer, grpc_error, .. }) => failed(Source::Grpc, *grpc_error)
            .into_iter()
            .chain([(answer.source, "answered")])
            .collect(),
        Err(Unanswered { grpc, metrics }) => failed(Source::Grpc, *grpc)
            .into_iter()
            .chain(failed(Source::Metrics, *metrics))
            .collect(),
    }
}

/// Asks one agent. `tls` is used for gRPC; metrics are always read without TLS, as Tetragon serves
/// them. Takes at most two deadlines.
pub async fn ask(at: &Endpoints, tls: Option<&Tls>, limits: &Limits) -> QueryResult {
    let mut errors = Unanswered::default();
    if let Some(address) = at.grpc {
        match grpc::list(address, tls, limits).await {
            Ok(Listing { answer, actions }) => {
                return Ok(Response { answer, actions, grpc_error: None });
            }
            Err(error) => errors.grpc = Some(error),
        }
    }
    if let Some(address) = at.metrics {
        match metrics::read(address, limits).await {
            Ok(Listing { answer, actions }) => {
                return Ok(Response { answer, actions, grpc_error: errors.grpc });
            }
            Err(error) => errors.metrics = Some(error),
        }
    }
    Err(errors)
}

//! One agent, asked by what it can be asked by.

use std::fmt;
use std::net::SocketAddr;

use crate::tetragon_client::answer::{ActionsByPolicy, Answer, How};
use crate::tetragon_client::error::Why;
use crate::tetragon_client::limits::Limits;
use crate::tetragon_client::listing::Listed;
use crate::tetragon_client::tls::Tls;
use crate::tetragon_client::{grpc, metrics};

/// Where an agent is asked: by gRPC where that is set, and by its metrics where it is not or gives no answer.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Endpoints {
    /// Of gRPC.
    pub grpc: Option<SocketAddr>,
    /// Of the metrics, at `/metrics`.
    pub metrics: Option<SocketAddr>,
}

/// What came of asking.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Outcome {
    /// The agent answered.
    Answered {
        /// What it says.
        answer: Answer,
        /// How often its policies have acted. These numbers change all the time, so they are apart from the answer.
        actions: ActionsByPolicy,
        /// Why gRPC was not answered, where the metrics were read in its stead.
        without_grpc: Option<Why>,
    },
    /// None.
    NoAnswer(NoAnswer),
}

/// Why there is no answer, by each way that was tried.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct NoAnswer {
    /// By gRPC.
    pub grpc: Option<Why>,
    /// By the metrics.
    pub metrics: Option<Why>,
}

impl fmt::Display for NoAnswer {
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

impl Outcome {
    /// Whether both say the same, but for how often policies have acted.
    pub fn says_the_same(&self, other: &Self) -> bool {
        match (self, other) {
            (
                Self::Answered { answer: a, without_grpc: x, actions: _ },
                Self::Answered { answer: b, without_grpc: y, actions: _ },
            ) => a == b && x == y,
            (Self::NoAnswer(a), Self::NoAnswer(b)) => a == b,
            _ => false,
        }
    }

    /// Each way that was tried, with `answered` or the short reason why not.
    pub fn attempts(&self) -> Vec<(How, &'static str)> {
        let failed = |how, why: Option<Why>| why.map(|why| (how, why.reason()));
        match self {
            Self::Answered { answer, without_grpc, .. } => failed(How::Grpc, *without_grpc)
                .into_iter()
                .chain([(answer.how, "answered")])
                .collect(),
            Self::NoAnswer(NoAnswer { grpc, metrics }) => {
                failed(How::Grpc, *grpc).into_iter().chain(failed(How::Metrics, *metrics)).collect()
            }
        }
    }
}

/// Asks one agent, by gRPC over TLS where that is given. Metrics are always read without TLS, as Tetragon serves them. Takes
/// at most two deadlines.
pub async fn ask(at: &Endpoints, tls: Option<&Tls>, limits: &Limits) -> Outcome {
    let mut failed = NoAnswer::default();
    if let Some(address) = at.grpc {
        match grpc::list(address, tls, limits).await {
            Ok(Listed { answer, actions }) => {
                return Outcome::Answered { answer, actions, without_grpc: None };
            }
            Err(why) => failed.grpc = Some(why),
        }
    }
    if let Some(address) = at.metrics {
        match metrics::read(address, limits).await {
            Ok(Listed { answer, actions }) => {
                return Outcome::Answered { answer, actions, without_grpc: failed.grpc };
            }
            Err(why) => failed.metrics = Some(why),
        }
    }
    Outcome::NoAnswer(failed)
}

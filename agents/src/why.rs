//! Why an agent gave no answer that can be used.

use std::io;

/// The cause, as far as it can be told from this end.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, thiserror::Error)]
pub enum Why {
    /// The Node has no address that could be asked.
    #[error("the Node has no InternalIP that can be asked")]
    NoAddress,
    /// Nothing listens there (ECONNREFUSED).
    #[error("nothing listens there")]
    Refused,
    /// No way there: no route, or a firewall says so.
    #[error("no way there")]
    Unreachable,
    /// No whole answer by the deadline: a firewall that drops, or an agent that hangs.
    #[error("no whole answer in time")]
    TimedOut,
    /// The other end closed the connection before it had answered.
    #[error("the connection was closed before an answer")]
    Closed,
    /// What answers speaks something else.
    #[error("what answers there is no agent of Tetragon")]
    OtherProtocol,
    /// More than is read.
    #[error("the answer is too large")]
    TooLarge,
    /// A status of gRPC other than OK, by its number.
    #[error("gRPC status {0} ({name})", name = tonic::Code::from_i32(*.0).description())]
    Status(i32),
    /// A status of HTTP other than 200.
    #[error("HTTP status {0}")]
    Http(u16),
    /// The metrics lack `tetragon_tracingpolicy_loaded`.
    #[error("the metrics have no tetragon_tracingpolicy_loaded")]
    NoGauge,
}

impl Why {
    /// A short word for metrics: there are ten of them.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::NoAddress => "no-address",
            Self::Refused => "refused",
            Self::Unreachable => "unreachable",
            Self::TimedOut => "timed-out",
            Self::Closed => "closed",
            Self::OtherProtocol => "other-protocol",
            Self::TooLarge => "too-large",
            Self::Status(_) => "grpc-status",
            Self::Http(_) => "http-status",
            Self::NoGauge => "no-gauge",
        }
    }

    /// What an error while connecting or reading means.
    pub(crate) fn of_io(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::ConnectionRefused => Self::Refused,
            io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::BrokenPipe
            | io::ErrorKind::UnexpectedEof
            | io::ErrorKind::NotConnected => Self::Closed,
            io::ErrorKind::TimedOut => Self::TimedOut,
            io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput => Self::OtherProtocol,
            _ => Self::Unreachable,
        }
    }

    /// The system's error among an error's causes, if there is one.
    pub(crate) fn among_causes(error: &(dyn std::error::Error + 'static)) -> Option<Self> {
        let mut causes = std::iter::successors(Some(error), |error| error.source());
        causes.find_map(|cause| cause.downcast_ref::<io::Error>().map(Self::of_io))
    }
}

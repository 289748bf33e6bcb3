//! Why an agent gave no answer that can be used.

use std::io;

use tokio_rustls::rustls;

use crate::tetragon_client::limits::Limits;
use crate::tetragon_client::tls;

/// The cause, as far as it can be told from this end.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, thiserror::Error)]
pub enum Why {
    /// The Node has no address that could be asked.
    #[error("the Node has no InternalIP that can be asked")]
    NoAddress,
    /// Nothing listens there (ECONNREFUSED).
    #[error("nothing listens there")]
    Refused,
    /// No route, or a firewall says so.
    #[error("there is no network route to it")]
    Unreachable,
    /// No whole answer by the deadline: a firewall that drops, or an agent that hangs.
    #[error("no complete answer in time")]
    TimedOut,
    /// The other end closed the connection before it had answered.
    #[error("the connection was closed before an answer")]
    Closed,
    /// What answers speaks another protocol.
    #[error("what answers there does not speak the protocol of Tetragon's agents")]
    OtherProtocol,
    /// More than is read.
    #[error(
        "the answer is too large: at most {} MiB are read by gRPC and {} MiB of metrics; \
         with ask: Metrics the policies are counted and not listed",
        Limits::GRPC_BYTES >> 20, Limits::METRICS_BYTES >> 20
    )]
    TooLarge,
    /// A status of gRPC other than OK, by its number.
    #[error("gRPC status {0} ({name})", name = tonic::Code::from_i32(*.0).description())]
    Status(i32),
    /// A status of HTTP other than 200.
    #[error("HTTP status {0}")]
    Http(u16),
    /// The metrics lack `tetragon_tracingpolicy_loaded`, as those of an agent that has just started.
    #[error("the metrics have no tetragon_tracingpolicy_loaded")]
    NoGauge,
    /// TLS was expected, and the agent speaks without.
    #[error(
        "the agent answers without TLS: set server-tls-cert-file for the agents, or remove spec.tetragon.agents.tls"
    )]
    NoTls,
    /// The agent speaks TLS only, and was asked without.
    #[error("the agent answers over TLS only: set spec.tetragon.agents.tls")]
    TlsRequired,
    /// The agent's certificate has no chain to a CA in `ca.crt`.
    #[error("the agent's certificate is not signed by a CA in ca.crt")]
    CertificateNotTrusted,
    /// The agent's certificate has expired or is not valid yet.
    #[error(
        "the agent's certificate has expired or is not valid yet: renew it, or correct the clock"
    )]
    CertificateExpired,
    /// The agent's certificate is for other names.
    #[error(
        "the agent's certificate is for another name: set serverName to a name that it has, \
         for example agent.tetragon-grpc.cilium.io with the certificates of Tetragon's chart"
    )]
    CertificateName,
    /// The agent's certificate cannot be read or is not made for a server.
    #[error("the agent's certificate cannot be used for a server of TLS")]
    CertificateInvalid,
    /// mTLS: no client certificate was shown.
    #[error(
        "the agent requires a client certificate: add tls.crt and tls.key to the Secret beside ca.crt"
    )]
    ClientCertificateRequired,
    /// mTLS: another client certificate is required.
    #[error(
        "the agent refused the client certificate in tls.crt: it must be valid and signed by a CA in the agent's \
         server-tls-client-ca-files"
    )]
    ClientCertificateRefused,
    /// The handshake of TLS failed otherwise.
    #[error(
        "the handshake of TLS 1.3 failed: look at the agent's log, it may have no certificate yet"
    )]
    TlsFailed,
}

impl Why {
    /// A short word for metrics. There are nineteen of them.
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
            Self::NoTls => "no-tls",
            Self::TlsRequired => "tls-required",
            Self::CertificateNotTrusted => "certificate-not-trusted",
            Self::CertificateExpired => "certificate-expired",
            Self::CertificateName => "certificate-name",
            Self::CertificateInvalid => "certificate-invalid",
            Self::ClientCertificateRequired => "client-certificate-required",
            Self::ClientCertificateRefused => "client-certificate-refused",
            Self::TlsFailed => "tls-failed",
        }
    }

    /// What an error while connecting, reading or writing means.
    pub(crate) fn of_io(error: &io::Error) -> Self {
        if let Some(error) = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>())
        {
            return tls::why(error);
        }
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

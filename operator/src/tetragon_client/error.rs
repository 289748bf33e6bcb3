//! Why an agent gave no usable answer.

use std::io;

use tokio_rustls::rustls;

use crate::protobuf::Malformed;
use crate::tetragon_client::limits::Limits;
use crate::tetragon_client::tls;

/// The cause, as far as the client can tell. The text of a cause that the administrator can remove
/// says how.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, thiserror::Error)]
pub enum AskError {
    /// The Node has no address at which the agent can be asked.
    #[error("the Node has no usable InternalIP")]
    NoAddress,
    /// ECONNREFUSED.
    #[error("connection refused: nothing listens at this port")]
    Refused,
    /// There is no route, or a firewall rejects the packets.
    #[error("there is no network route to the agent")]
    Unreachable,
    /// A firewall drops the packets, or the agent hangs.
    #[error("no complete answer before the deadline")]
    TimedOut,
    /// The other end closed the connection before the answer was complete.
    #[error("the connection was closed before the answer was complete")]
    Closed,
    /// The other end speaks another protocol.
    #[error("the answer is not in the protocol of Tetragon's agents")]
    OtherProtocol,
    /// The answer exceeds [`Limits`].
    #[error(
        "the answer is too large: the limits are {} MiB for gRPC and {} MiB for metrics; set \
         ask: Metrics to count the policies instead of listing them",
        Limits::GRPC_BYTES >> 20, Limits::METRICS_BYTES >> 20
    )]
    TooLarge,
    /// A gRPC status other than OK, by its number.
    #[error("gRPC status {0} ({name})", name = tonic::Code::from_i32(*.0).description())]
    Status(i32),
    /// An HTTP status other than 200.
    #[error("HTTP status {0}")]
    Http(u16),
    /// The metrics lack `tetragon_tracingpolicy_loaded`, as in an agent that has just started.
    #[error("the metrics do not contain tetragon_tracingpolicy_loaded")]
    NoGauge,
    /// TLS was expected, and the agent does not use it.
    #[error(
        "the agent answers without TLS: set server-tls-cert-file for the agents, or remove \
         spec.tetragon.agents.tls"
    )]
    NoTls,
    /// The agent speaks TLS only, and was asked without it.
    #[error("the agent requires TLS: set spec.tetragon.agents.tls")]
    TlsRequired,
    /// The agent's certificate has no chain to a CA in `ca.crt`.
    #[error("the agent's certificate is not signed by a CA in ca.crt: add that CA to ca.crt")]
    CertificateNotTrusted,
    /// The agent's certificate has expired or is not valid yet.
    #[error(
        "the agent's certificate has expired or is not valid yet: renew it, or correct the clock"
    )]
    CertificateExpired,
    /// The agent's certificate is for other names.
    #[error(
        "the agent's certificate is for another name: set serverName to a name in the \
         certificate, for example agent.tetragon-grpc.cilium.io for the certificates of \
         Tetragon's chart"
    )]
    CertificateName,
    /// The agent's certificate is malformed or not made for a server.
    #[error("the agent's certificate is not a valid certificate for a TLS server: replace it")]
    CertificateInvalid,
    /// mTLS: the client showed no certificate.
    #[error(
        "the agent requires a client certificate: add tls.crt and tls.key to the Secret beside \
         ca.crt"
    )]
    ClientCertificateRequired,
    /// mTLS: the agent does not accept the client's certificate.
    #[error(
        "the agent refused the client certificate in tls.crt: use one that is valid and signed by \
         a CA in the agent's server-tls-client-ca-files"
    )]
    ClientCertificateRefused,
    /// The TLS handshake failed for another reason.
    #[error(
        "the TLS 1.3 handshake failed: read the agent's log, the agent may have no certificate yet"
    )]
    TlsFailed,
}

impl From<Malformed> for AskError {
    fn from(_: Malformed) -> Self {
        Self::OtherProtocol
    }
}

impl AskError {
    /// The value of the metric's label `outcome`. There are nineteen values.
    pub const fn label(self) -> &'static str {
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

    /// The cause of an error while connecting, reading or writing. A TLS error is wrapped in it.
    pub(crate) fn from_io(error: &io::Error) -> Self {
        if let Some(error) = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>())
        {
            return tls::handshake_error(error);
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

    /// Finds the operating system's error among the sources of an error.
    pub(crate) fn from_sources(error: &(dyn std::error::Error + 'static)) -> Option<Self> {
        let mut sources = std::iter::successors(Some(error), |error| error.source());
        sources.find_map(|source| source.downcast_ref::<io::Error>().map(Self::from_io))
    }
}

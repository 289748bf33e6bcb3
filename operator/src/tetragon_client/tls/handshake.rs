//! What a failed handshake means for who has to mend it.

use tokio_rustls::rustls::{AlertDescription, CertificateError, Error, InvalidMessage};

use crate::tetragon_client::error::Why;

/// The cause of a failed handshake, or of a connection that the agent ended after it.
pub const fn why(error: &Error) -> Why {
    match error {
        Error::InvalidCertificate(error) => certificate(error),
        Error::AlertReceived(alert) => refused(*alert),
        Error::InvalidMessage(
            InvalidMessage::HandshakePayloadTooLarge | InvalidMessage::CertificatePayloadTooLarge,
        ) => Why::TooLarge,
        Error::InvalidMessage(_) => Why::OtherProtocol,
        Error::NoCertificatesPresented => Why::CertificateInvalid,
        _ => Why::TlsFailed,
    }
}

const fn certificate(error: &CertificateError) -> Why {
    use CertificateError as E;
    match error {
        E::UnknownIssuer | E::BadSignature | E::Revoked => Why::CertificateNotTrusted,
        E::Expired | E::ExpiredContext { .. } | E::NotValidYet | E::NotValidYetContext { .. } => {
            Why::CertificateExpired
        }
        E::NotValidForName | E::NotValidForNameContext { .. } => Why::CertificateName,
        _ => Why::CertificateInvalid,
    }
}

/// In TLS 1.3 an agent judges the client certificate after its own handshake is over, and answers with an alert.
const fn refused(alert: AlertDescription) -> Why {
    use AlertDescription as A;
    match alert {
        A::CertificateRequired => Why::ClientCertificateRequired,
        A::BadCertificate
        | A::UnsupportedCertificate
        | A::CertificateRevoked
        | A::CertificateExpired
        | A::CertificateUnknown
        | A::UnknownCA
        | A::AccessDenied
        | A::DecryptError => Why::ClientCertificateRefused,
        _ => Why::TlsFailed,
    }
}

/// Whether an answer begins as one over TLS: with a record that is an alert or a part of a handshake.
pub fn is_tls(first: &[u8]) -> bool {
    matches!(first, [0x15 | 0x16, 0x03, ..])
}

/// Whether an answer begins as one without TLS: with the settings of HTTP/2, or a line of HTTP/1.
pub fn is_plain_text(first: &[u8]) -> bool {
    const SETTINGS: u8 = 4;
    matches!(first, [0, 0, _, SETTINGS, 0, 0, 0, 0, 0, ..]) || first.starts_with(b"HTTP/")
}

//! Translates TLS errors into causes that an administrator can act on.

use tokio_rustls::rustls::{AlertDescription, CertificateError, Error, InvalidMessage};

use crate::tetragon_client::error::AskError;

/// The cause of a failed handshake, or of a connection that the agent ended after the handshake.
pub const fn handshake_error(error: &Error) -> AskError {
    match error {
        Error::InvalidCertificate(error) => certificate_error(error),
        Error::AlertReceived(alert) => alert_error(*alert),
        Error::InvalidMessage(
            InvalidMessage::HandshakePayloadTooLarge | InvalidMessage::CertificatePayloadTooLarge,
        ) => AskError::TooLarge,
        Error::InvalidMessage(_) => AskError::OtherProtocol,
        Error::NoCertificatesPresented => AskError::CertificateInvalid,
        _ => AskError::TlsFailed,
    }
}

const fn certificate_error(error: &CertificateError) -> AskError {
    use CertificateError as E;
    match error {
        E::UnknownIssuer | E::BadSignature | E::Revoked => AskError::CertificateNotTrusted,
        E::Expired | E::ExpiredContext { .. } | E::NotValidYet | E::NotValidYetContext { .. } => {
            AskError::CertificateExpired
        }
        E::NotValidForName | E::NotValidForNameContext { .. } => AskError::CertificateName,
        _ => AskError::CertificateInvalid,
    }
}

/// In TLS 1.3 an agent checks the client certificate after its own part of the handshake, and
/// answers with an alert.
const fn alert_error(alert: AlertDescription) -> AskError {
    use AlertDescription as A;
    match alert {
        A::CertificateRequired => AskError::ClientCertificateRequired,
        A::BadCertificate
        | A::UnsupportedCertificate
        | A::CertificateRevoked
        | A::CertificateExpired
        | A::CertificateUnknown
        | A::UnknownCA
        | A::AccessDenied
        | A::DecryptError => AskError::ClientCertificateRefused,
        _ => AskError::TlsFailed,
    }
}

/// Whether the first bytes are a TLS record with an alert or a handshake message.
pub fn is_tls(first: &[u8]) -> bool {
    matches!(first, [0x15 | 0x16, 0x03, ..])
}

/// Whether the first bytes are the settings of HTTP/2 or a line of HTTP/1, both without TLS.
pub fn is_plain_text(first: &[u8]) -> bool {
    const SETTINGS: u8 = 4;
    matches!(first, [0, 0, _, SETTINGS, 0, 0, 0, 0, 0, ..]) || first.starts_with(b"HTTP/")
}

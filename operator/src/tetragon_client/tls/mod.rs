//! The files for gRPC over TLS, and what a failed handshake means.
//!
//! Tetragon's agents serve gRPC over TLS where `server-tls-cert-file` is set, and ask for a client certificate where
//! `server-tls-require-client-cert` is set (after Tetragon 1.8.0-pre.0). They take TLS 1.3 only, and so does this client: it
//! has no renegotiation and sends no certificate before the agent has proved its name.

mod files;
mod handshake;
mod hello;

use std::fmt;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::pki_types::ServerName;

pub use files::TlsError;
pub use handshake::{is_plain_text, is_tls, why};
pub use hello::client_hello;

/// Whom to trust, which client certificate to show and which name to expect.
#[derive(Clone)]
pub struct Tls {
    config: Arc<ClientConfig>,
    name: Option<ServerName<'static>>,
}

impl Tls {
    /// Reads the files of a Secret of type kubernetes.io/tls: `ca.crt`, with the certificates of the CAs that sign the
    /// agents' certificates; and `tls.crt` and `tls.key`, the client certificate and its key, if they are there.
    ///
    /// The agents' certificates must be for `server_name`, or for the address at which each agent is asked if it is `None`.
    ///
    /// # Errors
    /// Where a file cannot be used.
    pub fn read(directory: &Path, server_name: Option<&str>) -> Result<Self, TlsError> {
        let name = server_name.map(files::server_name).transpose()?;
        Ok(Self { config: Arc::new(files::config(directory)?), name })
    }

    pub(crate) fn connector(&self) -> TlsConnector {
        TlsConnector::from(self.config.clone())
    }

    /// The name that the certificate of the agent at that address must have.
    pub(crate) fn name_at(&self, address: IpAddr) -> ServerName<'static> {
        self.name.clone().unwrap_or_else(|| address.into())
    }
}

/// Without the key.
impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("name", &self.name).finish_non_exhaustive()
    }
}

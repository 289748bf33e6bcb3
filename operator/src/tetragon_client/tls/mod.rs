//! gRPC over TLS: reads the files of a Secret, and translates handshake errors.
//!
//! Tetragon's agents serve gRPC over TLS if `server-tls-cert-file` is set, and require a client
//! certificate if `server-tls-require-client-cert` is set (after Tetragon 1.8.0-pre.0). They accept
//! TLS 1.3 only. So does this client: TLS 1.3 has no renegotiation, and the client sends no
//! certificate before the agent has proved its name.

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
pub use handshake::{handshake_error, is_plain_text, is_tls};
pub use hello::client_hello;

/// The trusted CAs, the client certificate, and the expected name of the agent.
#[derive(Clone)]
pub struct Tls {
    config: Arc<ClientConfig>,
    name: Option<ServerName<'static>>,
}

impl Tls {
    /// Reads the files of a Secret of type kubernetes.io/tls: `ca.crt` has the CAs that sign the
    /// agents' certificates; `tls.crt` and `tls.key` are the client certificate and its key, if
    /// present.
    ///
    /// The agents' certificates must be for `server_name`. If it is `None`, they must be for the
    /// address at which each agent is asked.
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

/// Leaves out the key.
impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("name", &self.name).finish_non_exhaustive()
    }
}

//! Makes a TLS configuration from the files of a Secret.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio_rustls::rustls::client::Resumption;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::version::TLS13;
use tokio_rustls::rustls::{ClientConfig, Error, RootCertStore};

/// Maximum size of a file, in bytes: the maximum size of a Secret.
const MAX_LEN: u64 = 1 << 20;

/// Why the files for TLS cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error(
        "cannot read {}: {source}; mount the Secret with the keys ca.crt and, for mTLS, tls.crt \
         and tls.key",
        path.display()
    )]
    Read { path: PathBuf, source: io::Error },
    #[error(
        "{} is longer than 1 MiB, the maximum size of a Secret: use a PEM file with certificates",
        .0.display()
    )]
    TooLong(PathBuf),
    #[error(
        "{} has no {expected} in PEM format: add a block that begins with -----BEGIN {label}-----",
        path.display()
    )]
    NoPem { path: PathBuf, expected: &'static str, label: &'static str },
    #[error("{} has an invalid certificate: {source}; replace it", path.display())]
    Ca { path: PathBuf, source: Error },
    #[error(
        "{} is missing: a client certificate needs it beside {}",
        missing.display(), present.display()
    )]
    Alone { present: PathBuf, missing: PathBuf },
    #[error(
        "invalid client certificate in {}: {source}; tls.key must be the key of tls.crt",
        directory.display()
    )]
    Client { directory: PathBuf, source: Error },
    #[error(
        "invalid server name {0:?}: use a DNS name or an IP address in the agents' certificates, \
         for example agent.tetragon-grpc.cilium.io for the certificates of Tetragon's chart"
    )]
    ServerName(String),
}

/// Accepts a DNS name or an IP address.
pub fn server_name(name: &str) -> Result<ServerName<'static>, TlsError> {
    ServerName::try_from(name.to_owned()).map_err(|_| TlsError::ServerName(name.to_owned()))
}

pub fn config(directory: &Path) -> Result<ClientConfig, TlsError> {
    let roots = roots(&directory.join("ca.crt"))?;
    let client = client(directory)?;
    let invalid = |source| TlsError::Client { directory: directory.to_owned(), source };
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[&TLS13])
        .map_err(invalid)?
        .with_root_certificates(roots);
    let mut config = match client {
        Some((chain, key)) => builder.with_client_auth_cert(chain, key).map_err(invalid)?,
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    // Each query verifies the certificate again, and no session of an agent is kept.
    config.resumption = Resumption::disabled();
    Ok(config)
}

fn roots(path: &Path) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path, &read(path)?)? {
        roots.add(certificate).map_err(|source| TlsError::Ca { path: path.to_owned(), source })?;
    }
    Ok(roots)
}

/// Chain and key.
type Client = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

/// Reads the client certificate, if both of its files are there.
fn client(directory: &Path) -> Result<Option<Client>, TlsError> {
    let (certificate, key) = (directory.join("tls.crt"), directory.join("tls.key"));
    let (chain, secret) = match (read_optional(&certificate)?, read_optional(&key)?) {
        (None, None) => return Ok(None),
        (Some(chain), Some(secret)) => (chain, secret),
        (Some(_), None) => {
            return Err(TlsError::Alone { present: certificate, missing: key });
        }
        (None, Some(_)) => {
            return Err(TlsError::Alone { present: key, missing: certificate });
        }
    };
    let chain = certificates(&certificate, &chain)?;
    let no_key = |_| TlsError::NoPem { path: key, expected: "private key", label: "PRIVATE KEY" };
    Ok(Some((chain, PrivateKeyDer::from_pem_slice(&secret).map_err(no_key)?)))
}

/// Reads at least one certificate.
fn certificates(path: &Path, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    read.ok().filter(|certificates| !certificates.is_empty()).ok_or_else(|| TlsError::NoPem {
        path: path.to_owned(),
        expected: "certificate",
        label: "CERTIFICATE",
    })
}

fn read_optional(path: &Path) -> Result<Option<Vec<u8>>, TlsError> {
    match read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(TlsError::Read { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(MAX_LEN + 1).read_to_end(&mut bytes))
        .map_err(|source| TlsError::Read { path: path.to_owned(), source })?;
    if bytes.len() as u64 > MAX_LEN {
        return Err(TlsError::TooLong(path.to_owned()));
    }
    Ok(bytes)
}

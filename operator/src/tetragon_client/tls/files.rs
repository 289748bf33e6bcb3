//! From the files of a Secret to a configuration.

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

/// Longest file that is read, in bytes: as much as a Secret holds.
const LONGEST: u64 = 1 << 20;

/// Why the files for TLS cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("cannot read {}: {source}; mount the Secret with the keys ca.crt and, for mTLS, tls.crt and tls.key", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file is longer than any certificate.
    #[error("{} is longer than 1 MiB, which is more than a Secret holds", .0.display())]
    TooLong(PathBuf),
    /// A file has not what it should have.
    #[error("{} has no {expected} in PEM format: it needs a block that begins with -----BEGIN {label}-----", path.display())]
    NoPem {
        /// The file.
        path: PathBuf,
        /// What it should have.
        expected: &'static str,
        /// The label of its block.
        label: &'static str,
    },
    /// A certificate in `ca.crt` cannot be used.
    #[error("{} has a certificate that cannot be used: {source}", path.display())]
    Ca {
        /// The file.
        path: PathBuf,
        /// Why.
        source: Error,
    },
    /// `tls.crt` without `tls.key`, or the reverse.
    #[error("{} is missing beside {}: a client certificate needs both", missing.display(), present.display())]
    Alone {
        /// The file that is there.
        present: PathBuf,
        /// The file that is not.
        missing: PathBuf,
    },
    /// The client certificate cannot be used.
    #[error("the client certificate in {} cannot be used: {source}", directory.display())]
    Client {
        /// Where `tls.crt` and `tls.key` are.
        directory: PathBuf,
        /// Why.
        source: Error,
    },
    /// The server name is none.
    #[error(
        "invalid server name {0:?}: use a DNS name or an IP address that the agents' certificates have, for example \
             agent.tetragon-grpc.cilium.io, which the certificates of Tetragon's chart have"
    )]
    ServerName(String),
}

/// # Errors
/// Where it is neither a DNS name nor an IP address.
pub fn server_name(name: &str) -> Result<ServerName<'static>, TlsError> {
    ServerName::try_from(name.to_owned()).map_err(|_| TlsError::ServerName(name.to_owned()))
}

/// # Errors
/// Where a file cannot be used.
pub fn config(directory: &Path) -> Result<ClientConfig, TlsError> {
    let roots = roots(&directory.join("ca.crt"))?;
    let client = client(directory)?;
    let wrong = |source| TlsError::Client { directory: directory.to_owned(), source };
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[&TLS13])
        .map_err(wrong)?
        .with_root_certificates(roots);
    let mut config = match client {
        Some((chain, key)) => builder.with_client_auth_cert(chain, key).map_err(wrong)?,
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    // Each question verifies the certificate, and nothing of an agent is kept.
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

type Client = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

/// The client certificate, if there is one.
fn client(directory: &Path) -> Result<Option<Client>, TlsError> {
    let (certificate, key) = (directory.join("tls.crt"), directory.join("tls.key"));
    let (chain, secret) = match (read_if_there(&certificate)?, read_if_there(&key)?) {
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

/// At least one certificate.
fn certificates(path: &Path, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    read.ok().filter(|certificates| !certificates.is_empty()).ok_or_else(|| TlsError::NoPem {
        path: path.to_owned(),
        expected: "certificate",
        label: "CERTIFICATE",
    })
}

fn read_if_there(path: &Path) -> Result<Option<Vec<u8>>, TlsError> {
    match read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(TlsError::Read { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(LONGEST + 1).read_to_end(&mut bytes))
        .map_err(|source| TlsError::Read { path: path.to_owned(), source })?;
    if bytes.len() as u64 > LONGEST {
        return Err(TlsError::TooLong(path.to_owned()));
    }
    Ok(bytes)
}

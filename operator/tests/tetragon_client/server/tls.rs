//! Agents over TLS, with certificates made for the test.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
};
use tempfile::TempDir;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::sign::{CertifiedKey, SingleCertAndKey};
use tokio_rustls::rustls::version::TLS13;
use tokio_rustls::rustls::{RootCertStore, ServerConfig};

use super::{send, speak_http2};

/// The name in the certificates, as Tetragon's chart has it.
pub const NAME: &str = "*.tetragon-grpc.cilium.io";
/// A name for which the certificates are valid.
pub const SERVER_NAME: &str = "agent.tetragon-grpc.cilium.io";

/// A CA.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: rcgen::Certificate,
}

/// A certificate with its chain, and its key.
pub struct Identity {
    pub chain: Vec<CertificateDer<'static>>,
    pub pem: String,
    pub key: KeyPair,
}

impl Authority {
    pub fn new(name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let certificate = params.self_signed(&key).unwrap();
        Self { issuer: Issuer::new(params, key), certificate }
    }

    /// A certificate for servers and clients, with the changes of the test.
    pub fn issue(&self, names: &[&str], change: impl FnOnce(&mut CertificateParams)) -> Identity {
        let key = KeyPair::generate().unwrap();
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ClientAuth, ExtendedKeyUsagePurpose::ServerAuth];
        change(&mut params);
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Identity { chain: vec![certificate.der().clone()], pem: certificate.pem(), key }
    }

    pub fn agent(&self) -> Identity {
        self.issue(&[NAME], |_| {})
    }

    /// An intermediate CA, signed by this one.
    pub fn intermediate(&self, name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Self { issuer: Issuer::new(params, key), certificate }
    }

    pub fn der(&self) -> CertificateDer<'static> {
        self.certificate.der().clone()
    }

    /// The files of the client: this CA, and the client certificate if there is one.
    pub fn files(&self, client: Option<&Identity>) -> TempDir {
        let directory = tempfile::tempdir().unwrap();
        let write =
            |name: &str, text: &str| std::fs::write(directory.path().join(name), text).unwrap();
        write("ca.crt", &self.certificate.pem());
        if let Some(client) = client {
            write("tls.crt", &client.pem);
            write("tls.key", &client.key.serialize_pem());
        }
        directory
    }

    fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(self.der()).unwrap();
        roots
    }
}

/// An agent over TLS that answers with these bytes of gRPC. Without bytes it sends nothing after
/// the handshake. With a CA it requires a client certificate.
pub async fn on_tls(
    identity: &Identity,
    clients: Option<&Authority>,
    body: Vec<Bytes>,
) -> SocketAddr {
    let provider = Arc::new(ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&[&TLS13])
        .unwrap();
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(authority) => {
            let roots = Arc::new(authority.roots());
            let verifier =
                WebPkiClientVerifier::builder_with_provider(roots, provider).build().unwrap();
            builder.with_client_cert_verifier(verifier)
        }
    };
    let key = PrivateKeyDer::try_from(identity.key.serialize_der()).unwrap();
    let key = ring::sign::any_supported_type(&key).unwrap();
    // Without a check of the certificate, which rustls may refuse.
    let certified = SingleCertAndKey::from(CertifiedKey::new(identity.chain.clone(), key));
    let mut config = builder.with_cert_resolver(Arc::new(certified));
    config.alpn_protocols = vec![b"h2".to_vec()];
    // Many more tickets than usual.
    config.send_tls13_tickets = 500;
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, body) = (acceptor.clone(), body.clone());
            tokio::spawn(async move {
                let Ok(mut stream) = acceptor.accept(stream).await else {
                    return;
                };
                if body.is_empty() {
                    let _ = stream.read_to_end(&mut Vec::new()).await;
                    return;
                }
                speak_http2(stream, |stream| send(stream, &body, Some("0"))).await;
            });
        }
    });
    address
}

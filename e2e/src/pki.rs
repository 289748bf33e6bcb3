//! Certificates of a throw-away cluster.
//!
//! In: the subject of a certificate. Out: PEM files and kubeconfigs. One certificate authority
//! signs servers and clients. The Kubernetes user is the common name, and its group the
//! organisation.

use std::fs;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use rcgen::string::Ia5String;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    SanType,
};
use serde_json::{Value, json};

/// What goes wrong with certificates.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A certificate cannot be made.
    #[error("cannot make the certificate of {subject}: {source}")]
    Make {
        /// The subject.
        subject: String,
        source: rcgen::Error,
    },
    /// A file cannot be read or written.
    #[error("cannot read or write {}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        source: io::Error,
    },
}

/// The subject of a certificate.
#[derive(Clone, Debug, Default)]
pub struct Subject<'a> {
    /// The Kubernetes user, or the name of a server.
    pub name: &'a str,
    /// The Kubernetes group.
    pub group: Option<&'a str>,
    /// A server's host names.
    pub hosts: &'a [&'a str],
    /// A server's addresses.
    pub addresses: &'a [IpAddr],
}

impl<'a> Subject<'a> {
    /// A client: a user, with its group.
    pub fn client(name: &'a str, group: Option<&'a str>) -> Self {
        Self { name, group, ..Self::default() }
    }
}

/// A certificate with its key, both PEM.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// The certificate.
    pub certificate: String,
    /// Its private key.
    pub key: String,
}

impl Credentials {
    /// Writes `NAME.crt` and `NAME.key` into `dir`.
    pub fn write(&self, dir: &Path, name: &str) -> Result<(), Error> {
        write(&dir.join(format!("{name}.crt")), &self.certificate)?;
        write(&dir.join(format!("{name}.key")), &self.key)
    }
}

/// A certificate authority.
pub struct Authority {
    certificate: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    /// Makes a new one.
    pub fn new() -> Result<Self, Error> {
        let make = || {
            let key = KeyPair::generate()?;
            let certificate = authority_params().self_signed(&key)?.pem();
            Ok(Self { certificate, issuer: Issuer::new(authority_params(), key) })
        };
        make().map_err(|source| Error::Make {
            subject: "the certificate authority".to_owned(),
            source,
        })
    }

    /// Reads the one whose `ca.crt` and `ca.key` are in `dir`.
    pub fn load(dir: &Path) -> Result<Self, Error> {
        let certificate = read(&dir.join("ca.crt"))?;
        let key = KeyPair::from_pem(&read(&dir.join("ca.key"))?)
            .map_err(|source| Error::Make { subject: dir.display().to_string(), source })?;
        Ok(Self { certificate, issuer: Issuer::new(authority_params(), key) })
    }

    /// Writes `ca.crt` and `ca.key` into `dir`.
    pub fn write(&self, dir: &Path) -> Result<(), Error> {
        Credentials {
            certificate: self.certificate.clone(),
            key: self.issuer.key().serialize_pem(),
        }
        .write(dir, "ca")
    }

    /// Issues a certificate for a client and, where the subject has hosts or addresses, a server.
    pub fn issue(&self, subject: &Subject<'_>) -> Result<Credentials, Error> {
        let make = || {
            let key = KeyPair::generate()?;
            let certificate = subject_params(subject)?.signed_by(&key, &self.issuer)?.pem();
            Ok(Credentials { certificate, key: key.serialize_pem() })
        };
        make().map_err(|source| Error::Make { subject: subject.name.to_owned(), source })
    }

    /// A kubeconfig with all certificates in it.
    pub fn kubeconfig(&self, server: &str, client: &Credentials) -> Value {
        let encoded = |pem: &str| base64(pem.as_bytes());
        json!({
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "e2e",
            "clusters": [{"name": "e2e", "cluster": {
                "server": server,
                "certificate-authority-data": encoded(&self.certificate),
            }}],
            "users": [{"name": "e2e", "user": {
                "client-certificate-data": encoded(&client.certificate),
                "client-key-data": encoded(&client.key),
            }}],
            "contexts": [{"name": "e2e", "context": {"cluster": "e2e", "user": "e2e"}}],
        })
    }

    /// Writes the kubeconfig of a client to `path`.
    pub fn write_kubeconfig(
        &self,
        path: &Path,
        server: &str,
        subject: &Subject<'_>,
    ) -> Result<(), Error> {
        let client = self.issue(subject)?;
        write(path, &format!("{:#}\n", self.kubeconfig(server, &client)))
    }
}

/// The key that signs tokens of service accounts, and the public key that verifies them, as PEM.
pub fn signing_keys() -> Result<(String, String), Error> {
    let key = KeyPair::generate()
        .map_err(|source| Error::Make { subject: "service accounts".to_owned(), source })?;
    Ok((key.serialize_pem(), key.public_key_pem()))
}

fn authority_params() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, "lsm-ready e2e");
    params
}

fn subject_params(subject: &Subject<'_>) -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, subject.name);
    if let Some(group) = subject.group {
        params.distinguished_name.push(DnType::OrganizationName, group);
    }
    for host in subject.hosts {
        params.subject_alt_names.push(SanType::DnsName(Ia5String::try_from(*host)?));
    }
    params.subject_alt_names.extend(subject.addresses.iter().copied().map(SanType::IpAddress));
    params.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ClientAuth, ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    Ok(params)
}

fn base64(bytes: &[u8]) -> String {
    serde_json::to_value(k8s_openapi::ByteString(bytes.to_vec()))
        .ok()
        .and_then(|value| value.as_str().map(str::to_owned))
        .unwrap_or_default()
}

fn read(path: &Path) -> Result<String, Error> {
    fs::read_to_string(path).map_err(|source| Error::File { path: path.to_owned(), source })
}

/// Writes a file that only its owner can read, and makes its folder.
fn write(path: &Path, text: &str) -> Result<(), Error> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    let write = || {
        if let Some(dir) = path.parent() {
            fs::create_dir_all(dir)?;
        }
        let mut options = fs::OpenOptions::new();
        options
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(path)?
            .write_all(text.as_bytes())
    };
    write().map_err(|source| Error::File { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stored_authority_is_read_back() {
        let dir = tempfile::tempdir().unwrap();
        let authority = Authority::new().unwrap();
        authority.write(dir.path()).unwrap();
        let loaded = Authority::load(dir.path()).unwrap();
        assert_eq!(loaded.certificate, authority.certificate);
        assert_eq!(loaded.issuer.key().serialize_pem(), authority.issuer.key().serialize_pem());
    }

    #[test]
    fn a_client_accepts_the_kubeconfig() {
        let authority = Authority::new().unwrap();
        let client = authority.issue(&Subject::client("someone", Some("some-group"))).unwrap();
        let config = authority.kubeconfig("https://127.0.0.1:6443", &client);
        let parsed: kube::config::Kubeconfig = serde_json::from_value(config).unwrap();
        assert_eq!(parsed.current_context.as_deref(), Some("e2e"));
    }
}

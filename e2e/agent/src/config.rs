//! The settings of the test agent: a release, and the addresses at which it serves.
//!
//! In: flags, and the folder that Tetragon's chart mounts, which has a file for each flag. Out:
//! [`Settings`].

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::{Context as _, ensure};
use clap::Args;

/// The file of the mounted ConfigMap with the address of the gRPC server.
pub const SERVER_ADDRESS: &str = "server-address";

/// A release. Only numbers that change the behaviour are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Release(u32, u32);

impl Release {
    /// From this release on the agent mounts securityfs itself.
    pub const MOUNTS_SECURITYFS: Self = Self(1, 4);
    /// From this release on it lists the mode of a policy.
    pub const LISTS_MODES: Self = Self(1, 4);
    /// From this release on it lists how often a policy has acted.
    pub const LISTS_COUNTERS: Self = Self(1, 6);
    /// From this release on it lists domains and hooks, knows skipped policies, and serves over
    /// TLS: main of 2026-08, which is called 1.8 here.
    pub const LISTS_DOMAINS: Self = Self(1, 8);
    /// From this release on it serves at a socket in the file system; older releases serve at a
    /// local port.
    const SERVES_AT_SOCKET: Self = Self(1, 7);

    /// The default address of the gRPC server.
    pub fn server_address(self) -> &'static str {
        if self >= Self::SERVES_AT_SOCKET {
            "unix:///var/run/tetragon/tetragon.sock"
        } else {
            "localhost:54321"
        }
    }
}

impl FromStr for Release {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let numbers = text
            .strip_prefix('v')
            .unwrap_or(text)
            .split('.')
            .map(str::parse)
            .collect::<Result<Vec<u32>, _>>();
        match numbers.as_deref() {
            Ok([major, minor, _patch]) => Ok(Self(*major, *minor)),
            _ => Err(format!("invalid release {text:?}: use three numbers, for example v1.3.0")),
        }
    }
}

/// The flags that are used here, by their names in Tetragon.
#[derive(Args)]
pub struct Flags {
    /// The release whose behaviour is wanted. The image sets it.
    #[arg(long, default_value = "v1.3.0")]
    release: Release,
    /// A folder with a file for each flag, by the flag's name.
    #[arg(long)]
    config_dir: Option<PathBuf>,
    /// The address of the gRPC server: HOST:PORT, or unix://PATH.
    #[arg(long)]
    server_address: Option<String>,
    /// The address of the metrics.
    #[arg(long)]
    metrics_server: Option<String>,
    /// The address of the health service, which the kubelet asks.
    #[arg(long)]
    health_server_address: Option<String>,
    #[command(flatten)]
    tls: TlsFlags,
}

/// The flags for gRPC over TLS of Tetragon's main.
#[derive(Args)]
pub struct TlsFlags {
    /// The certificate. With it gRPC is served over TLS.
    #[arg(long = "server-tls-cert-file")]
    certificate: Option<String>,
    /// The key of the certificate.
    #[arg(long = "server-tls-key-file")]
    key: Option<String>,
    /// The files with the CAs of clients, with commas between them.
    #[arg(long = "server-tls-client-ca-files")]
    client_cas: Option<String>,
    /// Whether clients must show a certificate: true or false.
    #[arg(long = "server-tls-require-client-cert", num_args = 0..=1, default_missing_value = "true")]
    requires: Option<String>,
}

/// Certificate and key; and the CAs of clients, where clients must show a certificate.
#[derive(Debug, PartialEq, Eq)]
pub struct TlsFiles {
    pub certificate: PathBuf,
    pub key: PathBuf,
    pub client_cas: Option<Vec<PathBuf>>,
}

/// The settings of this process.
#[derive(Debug, PartialEq, Eq)]
pub struct Settings {
    pub release: Release,
    pub server_address: String,
    /// Without an address no metrics are served, as by Tetragon without its chart.
    pub metrics_server: Option<String>,
    pub health_server_address: Option<String>,
    pub tls: Option<TlsFiles>,
}

impl Settings {
    /// Reads the settings. A flag overrides its file, and the file overrides the default of the
    /// release.
    pub fn read(flags: Flags) -> anyhow::Result<Self> {
        let dir = flags.config_dir.as_deref();
        let value = |flag: Option<String>, name: &str| {
            flag.map_or_else(|| from_file(dir, name), |flag| Ok(Some(flag)))
        };
        let server_address = value(flags.server_address, SERVER_ADDRESS)?
            .unwrap_or_else(|| flags.release.server_address().to_owned());
        let tls = TlsValues {
            certificate: value(flags.tls.certificate, "server-tls-cert-file")?,
            key: value(flags.tls.key, "server-tls-key-file")?,
            client_cas: value(flags.tls.client_cas, "server-tls-client-ca-files")?,
            requires: value(flags.tls.requires, "server-tls-require-client-cert")?,
        };
        Ok(Self {
            release: flags.release,
            tls: tls.files(flags.release, &server_address)?,
            server_address,
            metrics_server: value(flags.metrics_server, "metrics-server")?,
            health_server_address: value(flags.health_server_address, "health-server-address")?,
        })
    }
}

#[derive(Default)]
struct TlsValues {
    certificate: Option<String>,
    key: Option<String>,
    client_cas: Option<String>,
    requires: Option<String>,
}

impl TlsValues {
    /// The files, by the rules of validateServerTLSConfig in pkg/option/flags.go of main.
    fn files(self, release: Release, address: &str) -> anyhow::Result<Option<TlsFiles>> {
        let Self { certificate, key, client_cas, requires } = self;
        let requires = requires.is_some_and(|requires| requires == "true");
        ensure!(
            certificate.is_some() == key.is_some(),
            "server-tls-cert-file and -key-file must be set together"
        );
        ensure!(
            !requires || certificate.is_some(),
            "server-tls-require-client-cert requires server-tls-cert-file"
        );
        ensure!(
            requires == client_cas.is_some(),
            "server-tls-require-client-cert and -client-ca-files must be set together"
        );
        let Some((certificate, key)) = certificate.zip(key) else {
            return Ok(None);
        };
        ensure!(release >= Release::LISTS_DOMAINS, "unknown flag: --server-tls-cert-file");
        ensure!(
            !address.starts_with("unix://"),
            "server-tls-cert-file requires a server-address with TCP"
        );
        let paths = |files: String| files.split(',').map(PathBuf::from).collect();
        let client_cas = client_cas.map(paths);
        Ok(Some(TlsFiles { certificate: certificate.into(), key: key.into(), client_cas }))
    }
}

/// The value in the file of a flag; none where the file is missing or empty.
pub fn from_file(dir: Option<&Path>, name: &str) -> anyhow::Result<Option<String>> {
    let Some(dir) = dir else { return Ok(None) };
    match fs::read_to_string(dir.join(name)) {
        Ok(text) => Ok(Some(text.trim().to_owned()).filter(|text| !text.is_empty())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("read {}", dir.join(name).display())),
    }
}

/// An address that can be bound. In Go ":2112" means port 2112 of every address.
pub fn bindable(address: &str) -> String {
    if address.starts_with(':') { format!("0.0.0.0{address}") } else { address.to_owned() }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        flags: Flags,
    }

    fn read(arguments: &[&str]) -> Settings {
        let arguments = std::iter::once("tetragon").chain(arguments.iter().copied());
        Settings::read(Cli::parse_from(arguments).flags).unwrap()
    }

    #[test]
    fn each_release_has_its_default_address() {
        assert_eq!(read(&["--release=v1.3.0"]).server_address, "localhost:54321");
        assert_eq!(
            read(&["--release=v1.7.0"]).server_address,
            "unix:///var/run/tetragon/tetragon.sock"
        );
        assert!("1.3".parse::<Release>().is_err());
    }

    #[test]
    fn a_flag_overrides_its_file() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("server-address"), "localhost:1\n").unwrap();
        fs::write(dir.path().join("metrics-server"), ":2112").unwrap();
        fs::write(dir.path().join("health-server-address"), "").unwrap();
        let folder = format!("--config-dir={}", dir.path().display());
        let settings = read(&[&folder]);
        assert_eq!(settings.server_address, "localhost:1");
        assert_eq!(
            settings.metrics_server.as_deref().map(bindable).as_deref(),
            Some("0.0.0.0:2112")
        );
        assert_eq!(settings.health_server_address, None);
        assert_eq!(read(&[&folder, "--server-address=localhost:2"]).server_address, "localhost:2");
    }

    #[test]
    fn tls_needs_its_files_and_a_release_that_knows_it() {
        let with = |arguments: &[&str]| {
            let fixed = ["tetragon", "--release=v1.8.0", "--server-address=:1"];
            Settings::read(Cli::parse_from(fixed.iter().chain(arguments)).flags)
                .map(|settings| settings.tls)
        };
        let pair = ["--server-tls-cert-file=c", "--server-tls-key-file=k"];
        let (requires, cas) =
            ("--server-tls-require-client-cert=true", "--server-tls-client-ca-files=a,b");
        let files =
            |client_cas| Some(TlsFiles { certificate: "c".into(), key: "k".into(), client_cas });
        assert_eq!(with(&[]).unwrap(), None);
        assert_eq!(with(&pair).unwrap(), files(None));
        assert_eq!(
            with(&[pair[0], pair[1], requires, cas]).unwrap(),
            files(Some(vec!["a".into(), "b".into()]))
        );
        let old = ["--release=v1.7.0", "--server-tls-cert-file=c", "--server-tls-key-file=k"];
        let arguments = ["tetragon", "--server-address=:1"].iter().chain(&old);
        assert!(Settings::read(Cli::parse_from(arguments).flags).is_err());
        for wrong in
            [&pair[..1], &[requires, cas], &[pair[0], pair[1], requires], &[pair[0], pair[1], cas]]
        {
            assert!(with(wrong).is_err(), "{wrong:?}");
        }
    }
}

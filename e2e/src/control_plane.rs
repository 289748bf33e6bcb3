//! The programs of a control plane and their arguments.
//!
//! In: a folder and where to listen. Out: certificates, the audit policy and a [`Command`] for each
//! program of the multi-call binary. The caller starts them: [`crate::api`] and [`crate::cluster`]
//! do it in different ways.

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::paths;
use crate::pki::{self, Authority, Subject};

/// The addresses of Services. The first is the API server's own.
pub const SERVICE_RANGE: &str = "10.96.0.0/16";
const KUBERNETES_SERVICE: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 96, 0, 1));
const SERVICE_HOSTS: [&str; 4] =
    ["localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc"];

/// What goes wrong when a control plane is prepared.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Certificates.
    #[error(transparent)]
    Pki(#[from] pki::Error),
    /// The audit policy.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        source: io::Error,
    },
}

/// Where one control plane has its files and listens.
#[derive(Clone, Debug)]
pub struct ControlPlane {
    /// The folder of its state.
    pub dir: PathBuf,
    /// The address it listens on.
    pub address: IpAddr,
    /// The API server's port.
    pub port: u16,
    /// etcd's ports, for clients and for peers.
    pub etcd: (u16, u16),
}

impl ControlPlane {
    /// The API server's URL.
    pub fn url(&self) -> String {
        format!("https://{}:{}", self.address, self.port)
    }

    /// The folder of certificates.
    pub fn pki(&self) -> PathBuf {
        self.dir.join("pki")
    }

    /// The administrator's kubeconfig.
    pub fn kubeconfig(&self) -> PathBuf {
        self.dir.join("kubeconfig")
    }

    /// The API server's audit log: a JSON line for each request to write.
    pub fn audit_log(&self) -> PathBuf {
        self.dir.join("audit.log")
    }

    fn audit_policy(&self) -> PathBuf {
        self.dir.join("audit-policy.json")
    }

    /// The kubeconfig of one of the control plane's own clients.
    pub fn kubeconfig_of(&self, component: &str) -> PathBuf {
        self.pki().join(format!("{component}.kubeconfig"))
    }

    /// Writes certificates, kubeconfigs and the audit policy.
    pub fn prepare(&self) -> Result<Authority, Error> {
        let (authority, dir) = (Authority::new()?, self.pki());
        fs::create_dir_all(&dir).map_err(|source| Error::Write { path: dir.clone(), source })?;
        authority.write(&dir)?;
        let addresses = [self.address, KUBERNETES_SERVICE, IpAddr::V4(Ipv4Addr::LOCALHOST)];
        let server = Subject {
            name: "kube-apiserver",
            group: None,
            hosts: &SERVICE_HOSTS,
            addresses: &addresses,
        };
        authority.issue(&server)?.write(&dir, "apiserver")?;
        let to_kubelets = Subject::client("apiserver-kubelet-client", Some("system:masters"));
        authority.issue(&to_kubelets)?.write(&dir, "kubelet-client")?;
        let admin = Subject::client("admin", Some("system:masters"));
        authority.write_kubeconfig(&self.kubeconfig(), &self.url(), &admin)?;
        for component in ["kube-controller-manager", "kube-scheduler", "kube-proxy"] {
            let user = format!("system:{component}");
            let path = self.kubeconfig_of(component);
            authority.write_kubeconfig(&path, &self.url(), &Subject::client(&user, None))?;
        }
        let (signs, proves) = pki::signing_keys()?;
        write(&dir.join("service-accounts.key"), &signs)?;
        write(&dir.join("service-accounts.pub"), &proves)?;
        write(&self.audit_policy(), &audit_policy().to_string())?;
        Ok(authority)
    }

    /// etcd, without the writes to disk that would survive a power cut.
    pub fn etcd(&self) -> Command {
        let (clients, peers) = (url(self.etcd.0), url(self.etcd.1));
        program(
            "etcd",
            [
                format!("--data-dir={}", self.dir.join("etcd").display()),
                "--unsafe-no-fsync".to_owned(),
                format!("--listen-client-urls={clients}"),
                format!("--advertise-client-urls={clients}"),
                format!("--listen-peer-urls={peers}"),
                format!("--initial-advertise-peer-urls={peers}"),
                format!("--initial-cluster=default={peers}"),
                "--log-level=warn".to_owned(),
            ],
        )
    }

    /// kube-apiserver with Node and RBAC authorization, `NodeRestriction` and the audit log.
    pub fn api_server(&self) -> Command {
        let pki = self.pki();
        let file = |name: &str| pki.join(name).display().to_string();
        let mut arguments = vec![
            format!("--etcd-servers={}", url(self.etcd.0)),
            format!("--bind-address={}", self.address),
            format!("--advertise-address={}", self.address),
            format!("--secure-port={}", self.port),
            format!("--tls-cert-file={}", file("apiserver.crt")),
            format!("--tls-private-key-file={}", file("apiserver.key")),
            format!("--client-ca-file={}", file("ca.crt")),
            format!("--kubelet-client-certificate={}", file("kubelet-client.crt")),
            format!("--kubelet-client-key={}", file("kubelet-client.key")),
            "--kubelet-preferred-address-types=InternalIP".to_owned(),
            "--service-account-issuer=https://kubernetes.default.svc".to_owned(),
            format!("--service-account-key-file={}", file("service-accounts.pub")),
            format!("--service-account-signing-key-file={}", file("service-accounts.key")),
            format!("--service-cluster-ip-range={SERVICE_RANGE}"),
            "--authorization-mode=Node,RBAC".to_owned(),
            "--enable-admission-plugins=NodeRestriction".to_owned(),
            "--allow-privileged=true".to_owned(),
            format!("--audit-policy-file={}", self.audit_policy().display()),
            format!("--audit-log-path={}", self.audit_log().display()),
        ];
        if self.address.is_loopback() {
            // The endpoint would be a loopback address, which a Service must not have.
            arguments.push("--endpoint-reconciler-type=none".to_owned());
        }
        program("kube-apiserver", arguments)
    }

    /// kube-controller-manager, without flags for a cloud or for certificates of kubelets.
    pub fn controller_manager(&self) -> Command {
        let pki = self.pki();
        program(
            "kube-controller-manager",
            [
                format!("--kubeconfig={}", self.kubeconfig_of("kube-controller-manager").display()),
                format!(
                    "--service-account-private-key-file={}",
                    pki.join("service-accounts.key").display()
                ),
                format!("--root-ca-file={}", pki.join("ca.crt").display()),
                "--use-service-account-credentials".to_owned(),
                "--leader-elect=false".to_owned(),
            ],
        )
    }

    /// kube-scheduler.
    pub fn scheduler(&self) -> Command {
        let kubeconfig = format!("--kubeconfig={}", self.kubeconfig_of("kube-scheduler").display());
        program("kube-scheduler", [kubeconfig, "--leader-elect=false".to_owned()])
    }

    /// kube-proxy for all nodes: every node sends its traffic for Services through the namespace in
    /// which it runs.
    pub fn proxy(&self, node: &str) -> Command {
        program(
            "kube-proxy",
            [
                format!("--kubeconfig={}", self.kubeconfig_of("kube-proxy").display()),
                format!("--hostname-override={node}"),
                "--proxy-mode=nftables".to_owned(),
                // Answers must come back the same way, or their addresses are not translated back.
                "--masquerade-all".to_owned(),
                // Without it kube-proxy changes the machine's own limits.
                "--conntrack-max-per-core=0".to_owned(),
            ],
        )
    }
}

/// One of the programs of the multi-call binary.
pub fn program(name: &str, arguments: impl IntoIterator<Item = String>) -> Command {
    let mut command = Command::new(paths::programs().join(name));
    command.args(arguments);
    command
}

/// Metadata of every request to write, noted when it is answered.
fn audit_policy() -> Value {
    json!({
        "apiVersion": "audit.k8s.io/v1",
        "kind": "Policy",
        "omitStages": ["RequestReceived"],
        "rules": [
            {"level": "None", "verbs": ["get", "list", "watch"]},
            {"level": "Metadata"},
        ],
    })
}

fn url(port: u16) -> String {
    format!("http://127.0.0.1:{port}")
}

fn write(path: &Path, text: &str) -> Result<(), Error> {
    fs::write(path, text).map_err(|source| Error::Write { path: path.to_owned(), source })
}

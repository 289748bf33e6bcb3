//! etcd and kube-apiserver alone, on loopback and free ports. They need no root.
//!
//! In: a folder. Out: a real API server in a few seconds. [`ApiServer`] ends with the test that
//! holds it; the one of [`up`] stays until [`down`].

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::Duration;

use k8s_openapi::api::core::v1::Namespace;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config};
pub use rustix::process::Signal;

use crate::control_plane::{self, ControlPlane};
use crate::go;
use crate::pki::{self, Authority, Subject};
use crate::process::{self, Ended, Processes, Record};
use crate::proxy::Proxy;
use crate::wait::{self, TimedOut};

/// How long an API server may take to be ready: 4 s is usual, and a minute on a busy machine.
const READY: Duration = Duration::from_mins(2);

/// What goes wrong with an API server.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The files of the control plane.
    #[error(transparent)]
    Prepare(#[from] control_plane::Error),
    /// A client's certificate.
    #[error(transparent)]
    Pki(#[from] pki::Error),
    /// The processes.
    #[error(transparent)]
    Process(#[from] process::Error),
    /// A file or a port.
    #[error("cannot {doing}: {source}")]
    Io {
        /// What was being done.
        doing: String,
        source: io::Error,
    },
    /// The binary cannot be built.
    #[error(transparent)]
    Build(#[from] go::Error),
    /// The client's configuration.
    #[error("cannot use the kubeconfig {}: {source}", path.display())]
    Kubeconfig {
        /// The file.
        path: PathBuf,
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The API server is not ready in time.
    #[error(transparent)]
    NotReady(#[from] TimedOut),
    /// A program ended.
    #[error(transparent)]
    Ended(#[from] Ended),
}

/// An API server that ends when it is dropped, and also when the process that holds it ends in any
/// other way.
#[derive(Debug)]
pub struct ApiServer {
    plane: ControlPlane,
    etcd: Child,
    process: Child,
    controllers: Option<Child>,
}

/// A program of the control plane.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Program {
    Etcd,
    ApiServer,
}

impl ApiServer {
    /// Starts etcd and kube-apiserver with their state in `dir` and waits until requests are
    /// served.
    pub async fn start(dir: impl AsRef<Path>) -> Result<Self, Error> {
        Self::start_with(dir, &[]).await
    }

    /// Like [`Self::start`], with more arguments for kube-apiserver, for example feature gates.
    /// They are gone after [`Self::kill_and_restart`].
    pub async fn start_with(dir: impl AsRef<Path>, arguments: &[&str]) -> Result<Self, Error> {
        ensure_binary().await?;
        let plane = place(dir.as_ref())?;
        plane.prepare()?;
        let etcd = start(&plane, Program::Etcd, &[])?;
        let process = start(&plane, Program::ApiServer, arguments)?;
        let server = Self { plane, etcd, process, controllers: None };
        server.ready().await?;
        Ok(server)
    }

    /// Starts those controllers of kube-controller-manager, for example `namespace-controller`.
    /// They end with the API server.
    pub fn start_controllers(&mut self, controllers: &[&str]) -> Result<(), Error> {
        let mut command = self.plane.controller_manager();
        command
            .arg(format!("--controllers={}", controllers.join(",")))
            // Other API servers of this machine may have controllers too.
            .arg("--secure-port=0")
            .env("EXIT_WITH_STDIN", "1")
            .stdin(Stdio::piped());
        let started = processes(&self.plane).start("kube-controller-manager", &mut command)?;
        self.controllers = Some(started);
        Ok(())
    }

    /// Waits until requests are served.
    pub async fn ready(&self) -> Result<(), Error> {
        ready(&self.kubeconfig(), &processes(&self.plane)).await
    }

    /// Sends a signal to one of the two programs.
    pub fn signal(&self, program: Program, signal: Signal) {
        let child = match program {
            Program::Etcd => &self.etcd,
            Program::ApiServer => &self.process,
        };
        if let Some(record) = Record::of(child.id()) {
            record.signal(signal);
        }
    }

    /// Kills one of the two programs, starts it again on its state and its ports, and waits until
    /// requests are served.
    pub async fn kill_and_restart(&mut self, program: Program) -> Result<(), Error> {
        let child = match program {
            Program::Etcd => &mut self.etcd,
            Program::ApiServer => &mut self.process,
        };
        end(child);
        *child = start(&self.plane, program, &[])?;
        self.ready().await
    }

    /// The address at which the API server listens.
    pub fn address(&self) -> SocketAddr {
        SocketAddr::new(self.plane.address, self.plane.port)
    }

    /// The address at which etcd answers clients.
    pub fn etcd_address(&self) -> SocketAddr {
        SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), self.plane.etcd.0)
    }

    /// The administrator's kubeconfig.
    pub fn kubeconfig(&self) -> PathBuf {
        self.plane.kubeconfig()
    }

    /// The audit log: a JSON line for each request to write.
    pub fn audit_log(&self) -> PathBuf {
        self.plane.audit_log()
    }

    /// An administrator's client.
    pub async fn client(&self) -> Result<Client, Error> {
        client(&self.kubeconfig()).await
    }

    /// Writes a kubeconfig for any user and returns its path. `system:node:NAME` in the group
    /// `system:nodes` is a kubelet.
    pub fn kubeconfig_for(&self, user: &str, group: Option<&str>) -> Result<PathBuf, Error> {
        let path = self.plane.kubeconfig_of(&user.replace(['/', ':'], "-"));
        self.write_kubeconfig(path, &self.plane.url(), &Subject::client(user, group))
    }

    /// Like [`Self::kubeconfig_for`], with a proxy between the client and the API server.
    pub fn kubeconfig_through(
        &self,
        proxy: &Proxy,
        user: &str,
        group: Option<&str>,
    ) -> Result<PathBuf, Error> {
        let (user_name, port) = (user.replace(['/', ':'], "-"), proxy.address().port());
        let path = self.plane.kubeconfig_of(&format!("{user_name}-{port}"));
        let url = format!("https://{}", proxy.address());
        self.write_kubeconfig(path, &url, &Subject::client(user, group))
    }

    fn write_kubeconfig(
        &self,
        path: PathBuf,
        url: &str,
        subject: &Subject<'_>,
    ) -> Result<PathBuf, Error> {
        Authority::load(&self.plane.pki())?.write_kubeconfig(&path, url, subject)?;
        Ok(path)
    }

    /// A client of any user: see [`Self::kubeconfig_for`].
    pub async fn client_for(&self, user: &str, group: Option<&str>) -> Result<Client, Error> {
        client(&self.kubeconfig_for(user, group)?).await
    }

    /// A client with a bearer token, for example of a service account.
    pub async fn client_with_token(&self, token: &str) -> Result<Client, Error> {
        let mut config = config(&self.kubeconfig()).await?;
        config.auth_info =
            kube::config::AuthInfo { token: Some(token.to_owned().into()), ..Default::default() };
        new_client(config, &self.kubeconfig())
    }
}

impl Drop for ApiServer {
    fn drop(&mut self) {
        self.controllers.iter_mut().for_each(end);
        end(&mut self.process);
        end(&mut self.etcd);
    }
}

fn processes(plane: &ControlPlane) -> Processes {
    Processes::new(plane.dir.join("processes"))
}

/// Starts one of the programs. It ends when its standard input is closed, and this process holds
/// the other end of it.
fn start(plane: &ControlPlane, program: Program, arguments: &[&str]) -> Result<Child, Error> {
    let (name, mut command) = match program {
        Program::Etcd => ("etcd", plane.etcd()),
        Program::ApiServer => ("kube-apiserver", plane.api_server()),
    };
    let command = command.args(arguments).env("EXIT_WITH_STDIN", "1").stdin(Stdio::piped());
    Ok(processes(plane).start(name, command)?)
}

fn end(child: &mut Child) {
    // It may have ended by itself. Waiting removes its zombie in both cases.
    let _ = child.kill();
    let _ = child.wait();
}

/// Starts an API server that stays, unless it runs already, and returns the path of its kubeconfig.
pub async fn up(dir: &Path) -> Result<PathBuf, Error> {
    ensure_binary().await?;
    let processes = Processes::new(dir.join("processes"));
    let kubeconfig = dir.join("kubeconfig");
    let runs = processes.all().len() == 2 && processes.ended().is_empty();
    if runs && ready_client(&kubeconfig).await.is_ok() {
        return Ok(kubeconfig);
    }
    down(dir).await?;
    let plane = place(dir)?;
    plane.prepare()?;
    processes.spawn("etcd", &mut plane.etcd())?;
    processes.spawn("kube-apiserver", &mut plane.api_server())?;
    ready(&kubeconfig, &processes).await?;
    Ok(kubeconfig)
}

/// Ends what [`up`] started and removes its state. Nothing happens when nothing runs.
pub async fn down(dir: &Path) -> Result<(), Error> {
    Processes::new(dir.join("processes")).kill_all().await?;
    match std::fs::remove_dir_all(dir) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            Err(Error::Io { doing: format!("remove {}", dir.display()), source })
        }
        _ => Ok(()),
    }
}

/// Builds the multi-call binary unless it is up to date.
pub async fn ensure_binary() -> Result<(), Error> {
    go::build_kubernetes().await?;
    Ok(())
}

/// A client with the administrator's kubeconfig at `path`.
pub async fn client(path: &Path) -> Result<Client, Error> {
    new_client(config(path).await?, path)
}

fn new_client(config: Config, path: &Path) -> Result<Client, Error> {
    Client::try_from(config).map_err(|source| unusable(path, source))
}

/// The configuration of a client with the kubeconfig at `path`.
pub async fn config(path: &Path) -> Result<Config, Error> {
    let kubeconfig = Kubeconfig::read_from(path).map_err(|source| unusable(path, source))?;
    let options = KubeConfigOptions::default();
    Config::from_custom_kubeconfig(kubeconfig, &options)
        .await
        .map_err(|source| unusable(path, source))
}

fn unusable(path: &Path, source: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::Kubeconfig { path: path.to_owned(), source: source.into() }
}

/// A control plane in that folder, on three free ports.
fn place(dir: &Path) -> Result<ControlPlane, Error> {
    let make = || {
        std::fs::create_dir_all(dir)?;
        let address = IpAddr::V4(Ipv4Addr::LOCALHOST);
        // All three are held at the same time, so that they differ.
        let held = [(); 3].map(|()| TcpListener::bind((address, 0)));
        let [port, clients, peers] =
            held.map(|listener| Ok::<_, io::Error>(listener?.local_addr()?.port()));
        Ok(ControlPlane {
            dir: std::path::absolute(dir)?,
            address,
            port: port?,
            etcd: (clients?, peers?),
        })
    };
    make().map_err(|source| Error::Io { doing: format!("prepare {}", dir.display()), source })
}

/// Waits until the API server serves requests.
pub async fn ready(kubeconfig: &Path, processes: &Processes) -> Result<(), Error> {
    tokio::select! {
        ready = wait::until(READY, "the API server to be ready", async || ready_client(kubeconfig).await) => Ok(ready?),
        ended = processes.an_end() => Err(ended.into()),
    }
}

/// Checks that the API server is ready and has made its own namespaces. The error says what is
/// missing.
pub async fn ready_client(kubeconfig: &Path) -> Result<(), String> {
    let client = client(kubeconfig).await.map_err(|error| error.to_string())?;
    let request =
        http::Request::get("/readyz").body(Vec::new()).map_err(|error| error.to_string())?;
    client.request_text(request).await.map_err(|error| error.to_string())?;
    let namespaces = Api::<Namespace>::all(client);
    for name in ["default", "kube-system"] {
        namespaces.get(name).await.map_err(|error| error.to_string())?;
    }
    Ok(())
}

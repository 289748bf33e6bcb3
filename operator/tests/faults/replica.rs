//! One replica of the operator: its process, its pod, and its connections to the API server.

use std::path::PathBuf;

use e2e::api::{ApiServer, Signal};
use e2e::proxy::Proxy;

use crate::process::{Operator, Page, Pod};
use crate::server::{OPERATOR, account};

/// The default of the operator's circuit breaker.
const BREAKER_PERCENT: u8 = 30;

/// A replica behind a proxy of its own. Its process is killed when this is dropped.
pub struct Replica {
    pub proxy: Proxy,
    kubeconfig: PathBuf,
    process: Option<Operator>,
    /// How many pods this replica has had.
    pods: u32,
    name: &'static str,
}

impl Replica {
    /// A replica without a process.
    pub async fn new(server: &ApiServer, name: &'static str) -> Self {
        let proxy = Proxy::start(server.address()).await.unwrap();
        let group = Some("system:serviceaccounts");
        let kubeconfig = server.kubeconfig_through(&proxy, &account(OPERATOR), group).unwrap();
        Self { proxy, kubeconfig, process: None, pods: 0, name }
    }

    /// Starts a replica.
    pub async fn start(server: &ApiServer, name: &'static str) -> Self {
        let mut replica = Self::new(server, name).await;
        replica.start_in_new_pod();
        replica
    }

    /// The holder of the Lease begins with this name.
    pub fn pod(&self) -> String {
        format!("{}-{}", self.name, self.pods)
    }

    /// Starts the process as the first container of a new pod.
    pub fn start_in_new_pod(&mut self) {
        self.pods += 1;
        self.start_container();
    }

    /// Starts the process again in its pod.
    pub fn start_container(&mut self) {
        let name = self.pod();
        let pod = Pod { name: &name, uid: &format!("uid-{name}") };
        let process = Operator::with_breaker_at(&self.kubeconfig, Some(pod), BREAKER_PERCENT);
        self.process = Some(process);
    }

    /// Starts the process again where it has ended by itself, as the kubelet does.
    pub fn restart_if_ended(&mut self) {
        if self.process.as_mut().is_some_and(|process| !process.runs()) {
            self.start_container();
        }
    }

    /// What its HTTP server answers.
    pub async fn page(&self, path: &str) -> Result<Page, String> {
        self.process.as_ref().ok_or("it does not run")?.page(path).await
    }

    /// Sends a signal to the process, where there is one.
    pub fn signal(&self, signal: Signal) {
        if let Some(process) = &self.process {
            process.signal(signal);
        }
    }

    /// Whether a process runs, also one that is stopped or about to end.
    pub fn runs(&mut self) -> bool {
        self.process.as_mut().is_some_and(Operator::runs)
    }

    /// Kills the process.
    pub fn kill(&mut self) {
        self.process = None;
    }

    /// Sends SIGTERM and waits until the process has ended in order.
    pub fn terminate(&mut self) {
        self.process.take().unwrap().terminate();
    }
}

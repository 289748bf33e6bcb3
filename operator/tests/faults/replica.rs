//! One replica of the operator: its process, its pod, and its connections to the API server.

use std::net::SocketAddr;
use std::process::{Child, Command};

use e2e::api::{ApiServer, Signal};
use e2e::process::Record;
use e2e::proxy::Proxy;

use crate::server::{NAMESPACE, OPERATOR, account};

/// A replica behind a proxy of its own. Its process is killed when this is dropped.
pub struct Replica {
    pub proxy: Proxy,
    command: Command,
    process: Option<Child>,
    /// How many pods this replica has had.
    pods: u32,
    name: &'static str,
}

impl Replica {
    /// Starts the replica.
    pub async fn start(server: &ApiServer, name: &'static str) -> Self {
        let proxy = Proxy::start(server.address()).await.unwrap();
        let group = Some("system:serviceaccounts");
        let kubeconfig = server.kubeconfig_through(&proxy, &account(OPERATOR), group).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_operator"));
        let any_port = SocketAddr::from(([127, 0, 0, 1], 0));
        command
            .env("KUBECONFIG", kubeconfig)
            .env("LSM_READY_LISTEN", any_port.to_string())
            .env("LSM_READY_POD_NAMESPACE", NAMESPACE);
        if std::env::var_os("LSM_READY_LOG").is_none() {
            command.env("LSM_READY_LOG", "error");
        }
        let mut replica = Self { proxy, command, process: None, pods: 0, name };
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
        let pod = self.pod();
        let uid = format!("uid-{pod}");
        self.command.env("LSM_READY_POD_NAME", &pod).env("LSM_READY_POD_UID", uid);
        self.start_container();
    }

    /// Starts the process again in its pod.
    pub fn start_container(&mut self) {
        self.process = Some(self.command.spawn().unwrap());
    }

    /// Starts the process again where it has ended by itself, as the kubelet does.
    pub fn restart_if_ended(&mut self) {
        let ended = self.process.as_mut().is_some_and(|child| child.try_wait().unwrap().is_some());
        if ended {
            self.start_container();
        }
    }

    pub fn signal(&self, signal: Signal) {
        let child = self.process.as_ref().unwrap();
        Record::of(child.id()).unwrap().signal(signal);
    }

    /// Kills the process.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.process.take() {
            // It may have ended by itself.
            let _ = child.kill();
            child.wait().unwrap();
        }
    }

    /// Sends SIGTERM and waits until the process has ended in order.
    pub fn terminate(&mut self) {
        self.signal(Signal::TERM);
        let ended = self.process.take().unwrap().wait().unwrap();
        assert!(ended.success(), "the operator ends in order after SIGTERM: {ended}");
    }
}

impl Drop for Replica {
    fn drop(&mut self) {
        self.kill();
    }
}

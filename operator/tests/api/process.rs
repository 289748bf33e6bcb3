//! The operator's own process.

use std::net::TcpListener;
use std::process::{Child, Command};

use e2e::api::ApiServer;

use crate::server::{NAMESPACE, OPERATOR, account};

/// An operator with the rights of its ServiceAccount. It is killed when this is dropped.
pub struct Operator(Child);

/// The pod that an operator takes part in the leader election as.
#[derive(Clone, Copy)]
pub struct Pod<'a> {
    pub name: &'a str,
    pub uid: &'a str,
}

impl Operator {
    /// Starts an operator. Without a pod there is no leader election.
    pub fn start(server: &ApiServer, pod: Option<Pod>) -> Self {
        let group = Some("system:serviceaccounts");
        let kubeconfig = server.kubeconfig_for(&account(OPERATOR), group).unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut command = Command::new(env!("CARGO_BIN_EXE_operator"));
        command.env("KUBECONFIG", kubeconfig).env("LSM_READY_LISTEN", format!("127.0.0.1:{port}"));
        if let Some(Pod { name, uid }) = pod {
            command
                .env("LSM_READY_POD_NAME", name)
                .env("LSM_READY_POD_UID", uid)
                .env("LSM_READY_POD_NAMESPACE", NAMESPACE);
        }
        Self(command.spawn().unwrap())
    }

    /// Sends SIGTERM and waits until the process has ended.
    pub fn terminate(mut self) {
        let pid = self.0.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        assert!(self.0.wait().unwrap().success(), "the operator ends in order after SIGTERM");
    }
}

impl Drop for Operator {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

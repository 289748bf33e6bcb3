//! The operator's own process.

use std::net::TcpListener;
use std::process::{Child, Command};

use e2e::api::ApiServer;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::server::{NAMESPACE, OPERATOR, account};

/// An operator with the rights of its ServiceAccount. It is killed when this is dropped.
pub struct Operator {
    process: Child,
    port: u16,
}

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
        Self { process: command.spawn().unwrap(), port }
    }

    /// The answer to a request to the operator's own port, for example `/metrics`.
    pub async fn get(&self, path: &str) -> std::io::Result<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).await?;
        let request = format!("GET {path} HTTP/1.1\r\nHost: operator\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        Ok(answer)
    }

    /// The most memory that the process has had, in MiB.
    pub fn peak_memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id()));
        let status = status.unwrap();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        peak.trim().trim_end_matches(" kB").parse::<u64>().unwrap() / 1024
    }

    /// Sends SIGTERM and waits until the process has ended.
    pub fn terminate(mut self) {
        let pid = self.process.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        assert!(self.process.wait().unwrap().success(), "the operator ends in order after SIGTERM");
    }
}

impl Drop for Operator {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

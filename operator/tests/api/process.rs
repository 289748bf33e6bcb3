//! The operator's own process.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::Duration;

use e2e::api::{ApiServer, Signal};
use e2e::wait;
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

/// What an operator's HTTP server answers.
#[derive(Debug)]
pub struct Page {
    pub code: u16,
    pub text: String,
}

/// The operator that was built for these tests, or that of `FLOOD_OPERATOR`, for measurements.
pub fn program() -> PathBuf {
    let built = || PathBuf::from(env!("CARGO_BIN_EXE_operator"));
    std::env::var_os("FLOOD_OPERATOR").map_or_else(built, PathBuf::from)
}

impl Operator {
    /// Starts an operator. Without a pod there is no leader election. The circuit breaker is off,
    /// because the tests change many of few nodes at once.
    pub fn start(server: &ApiServer, pod: Option<Pod>) -> Self {
        let group = Some("system:serviceaccounts");
        Self::with_kubeconfig(&server.kubeconfig_for(&account(OPERATOR), group).unwrap(), pod)
    }

    /// As [`Self::start`], with these rights.
    pub fn with_kubeconfig(kubeconfig: &Path, pod: Option<Pod>) -> Self {
        Self::with_breaker_at(kubeconfig, pod, 100)
    }

    /// Starts an operator with its circuit breaker.
    pub fn with_breaker(server: &ApiServer) -> Self {
        let group = Some("system:serviceaccounts");
        Self::with_breaker_at(&server.kubeconfig_for(&account(OPERATOR), group).unwrap(), None, 30)
    }

    /// Starts an operator whose circuit breaker opens above that share.
    pub fn with_breaker_at(kubeconfig: &Path, pod: Option<Pod>, percent: u8) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut command = Command::new(program());
        command
            .env("KUBECONFIG", kubeconfig)
            .env("LSM_READY_LISTEN", format!("127.0.0.1:{port}"))
            .env("LSM_READY_BREAKER_PERCENT", percent.to_string());
        if let Some(Pod { name, uid }) = pod {
            command
                .env("LSM_READY_POD_NAME", name)
                .env("LSM_READY_POD_UID", uid)
                .env("LSM_READY_POD_NAMESPACE", NAMESPACE);
        }
        Self { process: command.spawn().unwrap(), port }
    }

    /// The most memory that the process has had, in MiB.
    pub fn peak_memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id()));
        let status = status.unwrap();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        peak.trim().trim_end_matches(" kB").parse::<u64>().unwrap() / 1024
    }

    /// The port on loopback at which it serves its metrics.
    #[allow(dead_code, reason = "only the tests with a real Prometheus use it")]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The CPU time that the process has used.
    pub fn cpu(&self) -> Duration {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.process.id())).unwrap();
        let nanoseconds = tasks.filter_map(|task| {
            let text = std::fs::read_to_string(task.ok()?.path().join("schedstat")).ok()?;
            text.split_whitespace().next()?.parse::<u64>().ok()
        });
        Duration::from_nanos(nanoseconds.sum())
    }

    pub fn signal(&self, signal: Signal) {
        let pid = rustix::process::Pid::from_child(&self.process);
        rustix::process::kill_process(pid, signal).unwrap();
    }

    /// Whether the process has not ended.
    pub fn runs(&mut self) -> bool {
        self.process.try_wait().unwrap().is_none()
    }

    /// Sends SIGTERM and waits until the process has ended.
    pub fn terminate(mut self) {
        self.signal(Signal::TERM);
        assert!(self.process.wait().unwrap().success(), "the operator ends in order after SIGTERM");
    }

    /// Asks the operator's HTTP server. An error says why there is no answer.
    pub async fn page(&self, path: &str) -> Result<Page, String> {
        let mut answer = String::new();
        let asked = async {
            let mut stream = TcpStream::connect(("127.0.0.1", self.port)).await?;
            let request = format!("GET {path} HTTP/1.1\r\nHost: o\r\nConnection: close\r\n\r\n");
            stream.write_all(request.as_bytes()).await?;
            stream.read_to_string(&mut answer).await
        };
        asked.await.map_err(|error| error.to_string())?;
        let code = answer.get(9..12).and_then(|code| code.parse().ok()).unwrap_or_default();
        Ok(Page { code, text: answer })
    }

    /// The sum of a metric's series.
    pub async fn metric(&self, name: &str) -> u64 {
        let limit = Duration::from_secs(30);
        let page = wait::until(limit, "the metrics", || self.page("/metrics")).await.unwrap().text;
        let series = page.lines().filter(|line| line.starts_with(name));
        series.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum()
    }
}

impl Drop for Operator {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

//! The operator's process: the release binary, or the program of the variable OPERATOR, with a
//! token of its ServiceAccount and as the pod that it is in a cluster.

use std::fs::File;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use e2e::{paths, wait};
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{interval, timeout};

use crate::Failure;
use crate::usage::{self, Usage};
use crate::world::{NAMESPACE, World};

const ENDED: Duration = Duration::from_secs(30);
/// How often it is looked whether it is ready.
const LOOK: Duration = Duration::from_millis(10);
/// How long an operator that rests has used no more than [`RESTING`].
const REST: Duration = Duration::from_secs(3);
const RESTING: f64 = 0.03;
/// The bytes that the lists of a node and its report have at least.
const LISTED: u64 = 5_000;

/// A running operator. It is killed when this is dropped.
pub struct Operator {
    process: Child,
    pub began: Instant,
    pod: Pod,
    port: u16,
}

/// The program that is measured.
pub fn program() -> Result<PathBuf, Failure> {
    let built = || paths::static_program("operator");
    let program = std::env::var_os("OPERATOR").map_or_else(built, PathBuf::from);
    if program.is_file() {
        return Ok(program);
    }
    Err(format!("there is no {}: run make static, or set OPERATOR", program.display()).into())
}

/// The pod as which an operator takes part in the election. One that crashed and starts again in
/// the same pod continues at once.
#[derive(Clone, Copy, Debug)]
pub enum Pod {
    First,
    Second,
}

impl Pod {
    const fn uid(self) -> &'static str {
        match self {
            Self::First => "0b6f4c1e-0000-4000-8000-000000000001",
            Self::Second => "0b6f4c1e-0000-4000-8000-000000000002",
        }
    }
}

impl Operator {
    /// Starts it. Its log is `operator.log` in the world's folder.
    pub async fn start(world: &World, pod: Pod) -> Result<Self, Failure> {
        let kubeconfig = world.operator_kubeconfig().await?;
        Self::spawn(&kubeconfig, &world.dir.join("operator.log"), pod)
    }

    fn spawn(kubeconfig: &Path, log: &Path, pod: Pod) -> Result<Self, Failure> {
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let log = File::options().create(true).append(true).open(log)?;
        let began = Instant::now();
        let process = Command::new(program()?)
            .env("KUBECONFIG", kubeconfig)
            .env("LSM_READY_LISTEN", format!("127.0.0.1:{port}"))
            .env("LSM_READY_POD_NAME", format!("lsm-ready-operator-{pod:?}").to_lowercase())
            .env("LSM_READY_POD_UID", pod.uid())
            .env("LSM_READY_POD_NAMESPACE", NAMESPACE)
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        Ok(Self { process, began, pod, port })
    }

    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    pub fn usage(&self) -> Usage {
        usage::of(self.pid())
    }

    /// Waits until it has listed that many nodes and uses hardly any CPU time. Returns when that
    /// was, since its start.
    pub async fn until_rest(&self, nodes: usize) -> Result<Duration, Failure> {
        let least = u64::try_from(nodes)?.saturating_mul(LISTED);
        let (mut busy, mut cpu) = (Instant::now(), 0.0);
        wait::until(ENDED * 4, "the operator to be at rest", async || {
            let now = self.usage().cpu_seconds;
            if now > cpu + RESTING {
                (busy, cpu) = (Instant::now(), now);
            }
            let received = usage::received_bytes(self.pid()).map_err(|error| error.to_string())?;
            if received >= least && busy.elapsed() >= REST {
                return Ok(busy.duration_since(self.began));
            }
            Err(format!("{received} bytes received, {now:.2} s of CPU time used"))
        })
        .await
        .map_err(Failure::from)
    }

    /// Waits until `/readyz` says that it has all lists, or stands by. Returns when that was, since
    /// its start.
    pub async fn until_ready(&self) -> Result<Duration, Failure> {
        let mut often = interval(LOOK);
        let ready = timeout(ENDED * 4, async {
            loop {
                often.tick().await;
                if self.is_ready().await {
                    return self.began.elapsed();
                }
            }
        });
        Ok(ready.await.map_err(|_| "the operator is not ready in time")?)
    }

    async fn is_ready(&self) -> bool {
        let mut answer = [0; 12];
        let asked = async {
            let mut stream = TcpStream::connect(("127.0.0.1", self.port)).await?;
            stream
                .write_all(b"GET /readyz HTTP/1.1\r\nHost: o\r\nConnection: close\r\n\r\n")
                .await?;
            stream.read_exact(&mut answer).await
        };
        asked.await.is_ok() && answer.ends_with(b" 200")
    }

    /// Ends it as a crash does. Returns its pod: in another one the next operator would wait for
    /// the Lease.
    pub fn kill(self) -> Pod {
        self.pod
    }

    /// Sends SIGTERM, and waits until the process has ended.
    pub async fn terminate(mut self) -> Result<(), Failure> {
        kill_process(Pid::from_child(&self.process), Signal::TERM)?;
        wait::until(ENDED, "the operator to end after SIGTERM", async || {
            match self.process.try_wait() {
                Ok(Some(status)) if status.success() => Ok(()),
                Ok(Some(status)) => Err(status.to_string()),
                Ok(None) => Err("it runs".to_owned()),
                Err(error) => Err(error.to_string()),
            }
        })
        .await?;
        Ok(())
    }
}

impl Drop for Operator {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

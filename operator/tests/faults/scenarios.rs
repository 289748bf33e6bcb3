//! The faults.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use e2e::api::{ApiServer, Program, Signal};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::sleep;

use crate::bench::Bench;
use crate::server::{self, config};
use crate::world::{Change, Evidence};

type Converged<'a> = Pin<Box<dyn Future<Output = Result<Duration, String>> + 'a>>;

pub struct Scenario {
    pub name: &'static str,
    /// How long it may take until everything is right, counted from the end of the fault, or from
    /// the last change where the fault stays.
    pub limit: Duration,
    pub run: fn(&mut Bench) -> Converged<'_>,
}

macro_rules! scenarios {
    ($($name:literal, $limit:literal s => $run:ident),+ $(,)?) => {
        pub const SCENARIOS: &[Scenario] = &[$(Scenario {
            name: $name,
            limit: Duration::from_secs($limit),
            run: |bench| Box::pin($run(bench, Duration::from_secs($limit))),
        }),+];
    };
}

scenarios! {
    "the API server is killed three times", 15 s => api_server_killed,
    "the API server hangs for 20 s", 20 s => api_server_hangs,
    "etcd is killed", 15 s => etcd_killed,
    "etcd hangs for 20 s", 20 s => etcd_hangs,
    "etcd compacts while the API server restarts", 15 s => compacted,
    "the leader's connections freeze at rest", 15 s => watches_freeze,
    "the leader's connections freeze while it writes", 20 s => connections_freeze,
    "the leader is stopped, and goes on later", 21 s => leader_stopped,
    "the leader is killed and stays away", 21 s => leader_killed,
    "the leader ends in order", 4 s => leader_ends,
    "the leader is killed 30 times", 6 s => thirty_kills,
    "Nodes and Tetragon's DaemonSet are made anew", 6 s => made_anew,
    "the CRDs are deleted and restored", 10 s => crds_restored,
}

type Result<T, E = String> = std::result::Result<T, E>;

async fn api_server_killed(bench: &mut Bench, limit: Duration) -> Result<Duration> {
    for _ in 0..3 {
        bench.change().await;
        bench.server.kill_and_restart(Program::ApiServer).await.unwrap();
    }
    bench.converge(limit).await
}

async fn api_server_hangs(bench: &mut Bench, limit: Duration) -> Result<Duration> {
    hang(bench, Program::ApiServer, limit).await
}

async fn etcd_hangs(bench: &mut Bench, limit: Duration) -> Result<Duration> {
    hang(bench, Program::Etcd, limit).await
}

/// Stops a program while the operator writes, and lets it go on after 20 s.
async fn hang(bench: &mut Bench, program: Program, limit: Duration) -> Result<Duration> {
    bench.change().await;
    bench.server.signal(program, Signal::STOP);
    sleep(Duration::from_secs(20)).await;
    let live = bench.all_live().await;
    bench.server.signal(program, Signal::CONT);
    live?;
    bench.server.ready().await.unwrap();
    bench.change().await;
    bench.converge(limit).await
}

async fn etcd_killed(bench: &mut Bench, limit: Duration) -> Result<Duration> {
    bench.change().await;
    bench.server.kill_and_restart(Program::Etcd).await.unwrap();
    bench.change().await;
    bench.converge(limit).await
}

/// After a compaction the watches' resourceVersions are too old, and the API server answers 410.
async fn compacted(bench: &mut Bench, limit: Duration) -> Result<Duration> {
    let (leader, _) = bench.leader().await;
    bench.replicas[leader].signal(Signal::STOP);
    bench.change().await;
    compact(&bench.server).await;
    bench.server.kill_and_restart(Program::ApiServer).await.unwrap();
    bench.replicas[leader].signal(Signal::CONT);
    bench.converge(limit).await
}

/// Compacts etcd at its present revision, by its JSON gateway.
pub async fn compact(server: &ApiServer) {
    let status = etcd(server, "/v3/maintenance/status", &json!({})).await;
    let revision = &status["header"]["revision"];
    etcd(server, "/v3/kv/compaction", &json!({"revision": revision, "physical": true})).await;
}

async fn etcd(server: &ApiServer, path: &str, body: &Value) -> Value {
    let address = server.etcd_address();
    let mut stream = TcpStream::connect(address).await.unwrap();
    let body = body.to_string();
    let length = body.len();
    let request = format!(
        "POST {path} HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\n\
         Content-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200"), "{answer}");
    // The body may be sent in chunks.
    let json = &body[body.find('{').unwrap()..=body.rfind('}').unwrap()];
    serde_json::from_str(json).unwrap()
}

/// Only watches are open. Nothing but PING frames can show that they are dead.
async fn watches_freeze(bench: &mut Bench, limit: Duration) -> Result<Duration> {
    let (leader, _) = bench.leader().await;
    bench.replicas[leader].proxy.freeze_open_connections();
    bench.change().await;
    bench.converge(limit).await
}

async fn connections_freeze(bench: &mut Bench, limit: Duration) -> Result<Duration> {
    let (leader, _) = bench.leader().await;
    bench.change().await;
    bench.replicas[leader].proxy.freeze_open_connections();
    bench.change().await;
    bench.converge(limit).await
}

/// The other replica takes over while the leader is stopped. When the old leader goes on, it writes
/// nothing.
async fn leader_stopped(bench: &mut Bench, limit: Duration) -> Result<Duration> {
    let (leader, _) = bench.leader().await;
    bench.replicas[leader].signal(Signal::STOP);
    bench.change().await;
    let converged = bench.converge(limit).await;
    bench.replicas[leader].signal(Signal::CONT);
    converged
}

async fn leader_killed(bench: &mut Bench, limit: Duration) -> Result<Duration> {
    let (leader, _) = bench.leader().await;
    bench.replicas[leader].kill();
    bench.change().await;
    let converged = bench.converge_with(limit, false).await;
    bench.replicas[leader].start_in_new_pod();
    converged
}

async fn leader_ends(bench: &mut Bench, limit: Duration) -> Result<Duration> {
    let (leader, _) = bench.leader().await;
    bench.world.apply(Change::Report(0, Evidence::Attached)).await;
    bench.replicas[leader].terminate();
    bench.world.apply(Change::Report(1, Evidence::Attached)).await;
    let converged = bench.converge_with(limit, false).await;
    bench.replicas[leader].start_in_new_pod();
    converged
}

async fn thirty_kills(bench: &mut Bench, limit: Duration) -> Result<Duration> {
    for _ in 0..30 {
        let (leader, _) = bench.leader().await;
        let node = usize::try_from(bench.random(3)).unwrap();
        let evidence =
            [Evidence::Attached, Evidence::Denied][usize::try_from(bench.random(2)).unwrap()];
        bench.world.apply(Change::Report(node, evidence)).await;
        sleep(Duration::from_millis(bench.random(400))).await;
        bench.replicas[leader].kill();
        bench.replicas[leader].start_container();
    }
    bench.converge(limit).await
}

async fn made_anew(bench: &mut Bench, limit: Duration) -> Result<Duration> {
    for node in 0..10 {
        bench.world.apply(Change::MakeAnew(node)).await;
        bench.world.apply(Change::Report(node, Evidence::Denied)).await;
    }
    bench.world.apply(Change::MakeTetragonAnew).await;
    bench.converge(limit).await
}

/// Counted from the last report.
async fn crds_restored(bench: &mut Bench, limit: Duration) -> Result<Duration> {
    let kubeconfig = bench.server.kubeconfig();
    let mut delete = vec!["delete"];
    delete.extend(server::CRDS);
    server::kubectl(&kubeconfig, &delete).unwrap();
    server::kubectl(&kubeconfig, &["apply", "--server-side", "-k", &config("crd")]).unwrap();
    let mut wait = vec!["wait", "--for=condition=Established", "--timeout=30s"];
    wait.extend(server::CRDS);
    server::kubectl(&kubeconfig, &wait).unwrap();
    bench.world.create_policies_again().await;
    bench.world.report_all_again().await;
    bench.converge(limit).await
}

//! A turn on the API server of these tests: two Nodes, Tetragon, and nothing of lsm-ready.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use e2e::api::ApiServer;
use e2e::helm::{self, Helm};
use e2e::{paths, wait};
use jiff::Timestamp;
use kube::Client;
use lsm_ready_cleanup::installed::Installation;
use lsm_ready_cleanup::{Cluster, Mode, Names, everything};
use lsm_ready_crds::fixture;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::{Mutex as Turns, MutexGuard, OnceCell};

use super::kubelet::Kubelet;
use crate::releases::release;
use crate::server::{CRDS, NAMESPACE, call, create_node, done, kubectl};
use crate::uninstall::sweep::{no_trace_is_left, sweep};

pub const DEADLINE: Duration = Duration::from_mins(2);
const TETRAGON: &str = "/apis/apps/v1/namespaces/kube-system/daemonsets/tetragon";
const NODES: [&str; 2] = ["n1", "n2"];
const BPF: &str = "lsmready.node-restriction.kubernetes.io/bpf";

static SERVER: OnceCell<ApiServer> = OnceCell::const_new();
static TURN: Turns<()> = Turns::const_new(());

pub struct Scene {
    pub helm: Helm,
    pub admin: Client,
    pub kubeconfig: PathBuf,
    home: TempDir,
    kubelet: Option<Kubelet>,
    _turn: MutexGuard<'static, ()>,
}

async fn start() -> ApiServer {
    let dir = paths::state().join("tests").join("chart");
    // An earlier run may have left the folder.
    let _ = std::fs::remove_dir_all(&dir);
    let mut server = ApiServer::start(&dir).await.unwrap();
    let controllers = [
        "namespace-controller",
        "garbage-collector-controller",
        "deployment-controller",
        "replicaset-controller",
        "job-controller",
        "ttl-after-finished-controller",
    ];
    server.start_controllers(&controllers).unwrap();
    let admin = server.client().await.unwrap();
    for node in NODES {
        create_node(&server, node).await;
    }
    let mut tetragon = release("v1.3");
    for set_by_the_server in ["uid", "resourceVersion", "generation"] {
        tetragon["metadata"].as_object_mut().unwrap().remove(set_by_the_server);
    }
    let path = "/apis/apps/v1/namespaces/kube-system/daemonsets?fieldManager=helm";
    done(&admin, "POST", path, &tetragon).await;
    server
}

impl Scene {
    pub async fn new(helm: Helm) -> Self {
        let turn = TURN.lock().await;
        let server = SERVER.get_or_init(start).await;
        let admin = server.client().await.unwrap();
        let home = TempDir::new().unwrap();
        let kubeconfig = server.kubeconfig();
        let scene = Self { helm, admin, kubeconfig, home, kubelet: None, _turn: turn };
        scene.clean().await;
        scene
    }

    /// Removes what an earlier test was meant to leave, CRDs with policies and the namespace, and
    /// what it left because it failed.
    async fn clean(&self) {
        // Nobody runs these pods any more.
        let pods = ["delete", "pods", "--all", "-n", NAMESPACE, "--force", "--grace-period=0"];
        self.kubectl(&pods);
        let cluster =
            Cluster { client: self.admin.clone(), names: Names::OfAnyVersion, mode: Mode::Remove };
        let installation = Installation { namespace: NAMESPACE.to_owned(), keep_job: false };
        let report = everything::remove(&cluster, &installation).await;
        assert!(report.failed.is_empty(), "{}", report.errors());
        self.kubectl(&["delete", "namespace", NAMESPACE, "--ignore-not-found"]);
        let releases = ["delete", "secrets", "-n", "default", "-l", "owner=helm"];
        self.kubectl(&releases);
        assert_eq!(sweep(&self.admin).await, Vec::<String>::new(), "of an earlier test");
    }

    pub fn start_kubelet(&mut self) {
        self.kubelet = Some(Kubelet::start(self.admin.clone(), self.kubeconfig.clone()));
    }

    /// All processes are killed, and no pod starts any more.
    pub fn stop_kubelet(&mut self) {
        self.kubelet = None;
    }

    /// Runs Helm, which has to succeed. `CHART` stands for the chart.
    pub fn helm(&self, arguments: &[&str]) -> String {
        self.try_helm(arguments).unwrap()
    }

    pub fn try_helm(&self, arguments: &[&str]) -> Result<String, String> {
        self.helm_with(&helm::chart(), arguments)
    }

    /// The same with another chart.
    pub fn helm_with(&self, chart: &Path, arguments: &[&str]) -> Result<String, String> {
        let chart = chart.display().to_string();
        let arguments: Vec<&str> = arguments
            .iter()
            .map(|word| if *word == "CHART" { chart.as_str() } else { word })
            .collect();
        let mut command = self.helm.command(self.home.path(), &arguments);
        command.arg("--kubeconfig").arg(&self.kubeconfig);
        tokio::task::block_in_place(|| e2e::command::run(&mut command))
            .map_err(|error| error.to_string())
    }

    /// Runs kubectl, which has to succeed.
    pub fn kubectl(&self, arguments: &[&str]) {
        tokio::task::block_in_place(|| kubectl(&self.kubeconfig, arguments)).unwrap();
    }

    /// A copy of the chart to change.
    pub fn copy_of_chart(&self) -> PathBuf {
        let copy = self.home.path().join("chart");
        let status = Command::new("cp").arg("-r").arg(helm::chart()).arg(&copy).status().unwrap();
        assert!(status.success());
        copy
    }

    /// Waits until the API server serves our kinds.
    pub fn until_served(&self) {
        let mut wait = vec!["wait", "--for=condition=Established", "--timeout=30s"];
        wait.extend(CRDS);
        self.kubectl(&wait);
        // A CRD that is deleted before its objects are served takes the API server a minute.
        self.kubectl(&["get", "lsmpolicies,lsmnodes,lsmhookprofiles"]);
    }

    /// Writes the report of a node that can deny, as its probe does.
    pub async fn report(&self, node: &str) {
        self.until_served();
        let path = format!("/apis/lsmready.io/v1alpha1/lsmnodes/{node}");
        let report = json!({"apiVersion": "lsmready.io/v1alpha1", "kind": "LsmNode"});
        let mut status = serde_json::to_value(fixture::denied("1")).unwrap();
        let now = Timestamp::from_second(Timestamp::now().as_second()).unwrap();
        status["observedTime"] = json!(now.to_string());
        wait::until(DEADLINE, "the report to be written", async || {
            let applied = call(&self.admin, "APPLY", &path, &report).await;
            let status = json!({ "status": status });
            let written = call(&self.admin, "MERGE", &format!("{path}/status"), &status).await;
            if written.is_ok() { Ok(()) } else { Err(format!("{applied:?} {written:?}")) }
        })
        .await
        .unwrap();
    }

    pub async fn until_labelled(&self, node: &str, value: &str) {
        let path = format!("/api/v1/nodes/{node}");
        wait::until(DEADLINE, "the label", async || {
            let node = done(&self.admin, "GET", &path, &Value::Null).await;
            let label = &node["metadata"]["labels"][BPF];
            if *label == value { Ok(()) } else { Err(label.to_string()) }
        })
        .await
        .unwrap();
    }

    /// Runs `operator verify` as an administrator. Returns its log.
    pub fn verify(&self, arguments: &[&str]) -> Result<String, String> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_operator"));
        command.arg("verify").args(arguments).env("KUBECONFIG", &self.kubeconfig);
        let output = tokio::task::block_in_place(|| command.output()).unwrap();
        let log = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        if output.status.success() { Ok(log) } else { Err(log) }
    }

    /// Has the operator write all that it can write, and returns when it has.
    pub async fn work(&mut self) {
        self.until_served();
        let taint = json!({"effect": "NoSchedule", "rollout": "AllAtOnce"});
        let policy = json!({"apiVersion": "lsmready.io/v1alpha1", "kind": "LsmPolicy",
            "spec": {"taint": taint, "tetragon": {}}});
        let path = "/apis/lsmready.io/v1alpha1/lsmpolicies/enforce";
        done(&self.admin, "APPLY", path, &policy).await;
        self.report("n1").await;
        self.start_kubelet();
        self.until_labelled("n1", "true").await;
        self.until_has("/api/v1/nodes/n2", "lsmready.io/not-ready").await;
        self.until_has(TETRAGON, "lsm-ready-securityfs").await;
        let account = format!("/api/v1/namespaces/{NAMESPACE}/serviceaccounts/lsm-ready-operator");
        self.until_has(&account, "lsmready.io/cleanup").await;
    }

    pub async fn until_has(&self, path: &str, mark: &str) {
        wait::until(DEADLINE, path, async || {
            let text = call(&self.admin, "GET", path, &Value::Null).await.body.to_string();
            if text.contains(mark) { Ok(()) } else { Err(format!("{mark} is not in {text}")) }
        })
        .await
        .unwrap();
    }

    /// Waits until the whole API server has of lsm-ready only what begins with one of these.
    pub async fn only_is_left(&self, allowed: &[&str]) {
        wait::until(DEADLINE, "nothing else to be left", async || {
            let mut found = sweep(&self.admin).await;
            found.retain(|found| !allowed.iter().any(|start| found.starts_with(start)));
            if found.is_empty() { Ok(()) } else { Err(found.join("\n")) }
        })
        .await
        .unwrap();
    }

    /// Waits until Nodes and DaemonSets are clean.
    pub async fn no_trace_is_left(&self) {
        no_trace_is_left(&self.admin, DEADLINE).await;
    }
}

//! The probe daemon on a real API server, with the token of its pod and our admission policies.
//!
//! In: the built program, and the kernel that runs the tests, whatever that allows. Out: what
//! becomes of the report when somebody deletes or changes it. The server ends with this process.
#![allow(clippy::unwrap_used, reason = "what cannot be prepared fails the test")]

use std::path::PathBuf;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use e2e::api::ApiServer;
use e2e::request::{call, done, kubectl};
use e2e::{paths, wait};
use kube::Client;
use serde_json::{Value, json};

const NODE: &str = "n1";
const REPORTS: &str = "/apis/lsmready.io/v1alpha1/lsmnodes";
const PODS: &str = "/api/v1/namespaces/lsm-ready-system/pods";
const ACCOUNT: &str = "/api/v1/namespaces/lsm-ready-system/serviceaccounts/lsm-ready-probe";
const USER: &str = "system:serviceaccount:lsm-ready-system:lsm-ready-probe";
/// Within this time a report has to be back.
const BACK: Duration = Duration::from_secs(10);

/// A probe daemon. It is killed when this is dropped.
struct Probe(Child);

impl Probe {
    fn start(kubeconfig: &PathBuf) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_node-probe"));
        command.arg("agent").env("KUBECONFIG", kubeconfig).env("LSM_READY_NODE_NAME", NODE);
        Self(command.args(["--look-interval", "1s"]).spawn().unwrap())
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

struct Scene {
    server: ApiServer,
    admin: Client,
    _probe: Probe,
}

impl Scene {
    async fn start() -> Self {
        let dir = paths::state().join("tests/probe");
        // An earlier run may have left the folder.
        let _ = std::fs::remove_dir_all(&dir);
        let server = ApiServer::start(&dir).await.unwrap();
        let admin = server.client().await.unwrap();
        let default = paths::workspace().join("config/default").display().to_string();
        kubectl(&server.kubeconfig(), &["apply", "--server-side", "-k", &default]).unwrap();
        established(&server);
        let node = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": NODE}});
        done(&admin, "POST", "/api/v1/nodes", &node).await.unwrap();
        let token = token_of_pod(&admin).await;
        let probe = Probe::start(&kubeconfig(&server, &token));
        Self { server, admin, _probe: probe }
    }

    /// The report, or why there is none.
    async fn report(&self) -> Result<Value, String> {
        let answer = call(&self.admin, "GET", &format!("{REPORTS}/{NODE}"), &Value::Null).await;
        let answer = answer.map_err(|error| error.to_string())?;
        let is_written = answer.code == 200 && answer.body["status"]["reason"].is_string();
        if is_written { Ok(answer.body) } else { Err(format!("{answer:?}")) }
    }

    /// Waits until there is a report for which this holds, and returns it. Says how long it took.
    async fn back(&self, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
        let started = Instant::now();
        let found = wait::until(BACK, what, async || {
            let report = self.report().await?;
            if holds(&report) { Ok(report) } else { Err(format!("{report:#}")) }
        });
        let report = found.await.unwrap();
        println!("{what}: {:.1} s", started.elapsed().as_secs_f64());
        report
    }

    /// The verbs of the probe's writes, from the audit log.
    fn writes(&self) -> Vec<String> {
        let log = std::fs::read_to_string(self.server.audit_log()).unwrap();
        let events = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let ours = events.filter(|event| event["user"]["username"] == USER);
        let done = ours.filter(|event| event["stage"] == "ResponseComplete");
        let ok = done.filter(|event| event["responseStatus"]["code"].as_u64() < Some(300));
        ok.map(|event| event["verb"].as_str().unwrap_or_default().to_owned()).collect()
    }
}

fn established(server: &ApiServer) {
    let crds = ["crd/lsmnodes.lsmready.io", "crd/lsmhookprofiles.lsmready.io"];
    let wait = ["wait", "--for=condition=Established", "--timeout=30s", crds[0], crds[1]];
    kubectl(&server.kubeconfig(), &wait).unwrap();
}

/// The token that a probe's pod gets on the node.
async fn token_of_pod(admin: &Client) -> String {
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "probe"},
        "spec": {"nodeName": NODE, "serviceAccountName": "lsm-ready-probe",
            "containers": [{"name": "main", "image": "none"}]}});
    let pod = done(admin, "POST", PODS, &pod).await.unwrap();
    let bound = json!({"apiVersion": "v1", "kind": "Pod", "name": "probe",
        "uid": pod["metadata"]["uid"]});
    let request = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest",
        "spec": {"audiences": [], "boundObjectRef": bound}});
    let token = done(admin, "POST", &format!("{ACCOUNT}/token"), &request).await.unwrap();
    token["status"]["token"].as_str().unwrap().to_owned()
}

/// The administrator's kubeconfig with that token in place of the administrator's key.
fn kubeconfig(server: &ApiServer, token: &str) -> PathBuf {
    let text = std::fs::read_to_string(server.kubeconfig()).unwrap();
    let mut config: Value = serde_json::from_str(&text).unwrap();
    config["users"][0]["user"] = json!({"token": token});
    let path = server.kubeconfig().with_extension("probe");
    std::fs::write(&path, config.to_string()).unwrap();
    path
}

/// One test, because each step starts from what the one before has left.
#[tokio::test]
async fn a_report_that_was_deleted_or_changed_is_back_soon_and_nothing_else_is_written() {
    let scene = Scene::start().await;
    let first = scene.back("the first report", |_| true).await;
    let uid = |report: &Value| report["metadata"]["uid"].clone();

    kubectl(&scene.server.kubeconfig(), &["delete", "lsmnode", NODE]).unwrap();
    let second = scene.back("deleted", |report| uid(report) != uid(&first)).await;
    assert_eq!(second["status"]["reason"], first["status"]["reason"]);

    let lie = json!({"status": {"evidence": "Denied", "hookProfile": "0".repeat(64),
        "deniedSince": "2001-01-01T00:00:00Z"}});
    done(&scene.admin, "MERGE", &format!("{REPORTS}/{NODE}/status"), &lie).await.unwrap();
    let true_again = |report: &Value| {
        let same = |field: &str| report["status"][field] == second["status"][field];
        ["evidence", "hookProfile", "deniedSince"].into_iter().all(same)
    };
    scene.back("changed", true_again).await;

    // A label of somebody else changes nothing of the report, so nothing is written.
    let label = json!({"metadata": {"labels": {"example.com/a": "b"}}});
    done(&scene.admin, "MERGE", &format!("{REPORTS}/{NODE}"), &label).await.unwrap();

    let crds = paths::workspace().join("config/crd/bases").display().to_string();
    kubectl(&scene.server.kubeconfig(), &["delete", "-f", &crds]).unwrap();
    kubectl(&scene.server.kubeconfig(), &["apply", "--server-side", "-f", &crds]).unwrap();
    established(&scene.server);
    scene.back("CRDs restored", |_| true).await;

    let expected = ["create", "update", "create", "update", "update", "create", "update"];
    assert_eq!(scene.writes(), expected, "one creation and one status for each that was lost");
}

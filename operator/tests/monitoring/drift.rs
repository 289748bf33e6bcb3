//! From an empty cluster to a protected fleet, as Argo CD and Flux apply it: by server-side apply
//! with their field managers. What the operator adds is no difference for them, and a second apply
//! changes nothing.

use std::path::Path;
use std::process::Command;

use e2e::{paths, wait};
use kube::Client;
use serde_json::{Value, json};

use crate::pool::Turn;
use crate::process::Operator;
use crate::server::{self, call, done, kubectl};
use crate::world::{DEADLINE, config, get_policy, node, tetragon};

const TETRAGON: &str = "/apis/apps/v1/namespaces/kube-system/daemonsets/tetragon";
/// The folders of config/gitops/fleet, in the order of waves and dependencies. Tetragon comes
/// between the last two.
const FOLDERS: [&str; 3] = ["operator", "nodes", "agents"];

/// One tool's repository on one cluster.
struct Tool {
    turn: Turn,
    client: Client,
    manager: &'static str,
}

impl Tool {
    async fn new(manager: &'static str) -> Self {
        let turn = server::exclusive().await;
        let client = turn.server.client().await.unwrap();
        Self { turn, client, manager }
    }

    fn kubectl(&self, verb: &str, what: [&str; 2]) -> Result<String, String> {
        let manager = format!("--field-manager={}", self.manager);
        let line = [verb, "--server-side", "--force-conflicts", &manager, what[0], what[1]];
        kubectl(&self.turn.server.kubeconfig(), &line).map_err(|error| error.to_string())
    }

    fn apply(&self, folder: &str) {
        self.kubectl("apply", ["-k", &fleet(folder)]).unwrap();
    }

    /// Tetragon's DaemonSet as the tool's chart renders it.
    fn chart(&self) -> String {
        let file = self.turn.server.kubeconfig().with_file_name("tetragon.json");
        std::fs::write(&file, tetragon("kube-system").to_string()).unwrap();
        file.display().to_string()
    }

    /// What the tool would change. Empty if there is no drift.
    fn drift(&self) -> String {
        let mut all = String::new();
        for folder in FOLDERS {
            all += &self.diff(["-k", &fleet(folder)]);
        }
        all + &self.diff(["-f", &self.chart()])
    }

    fn diff(&self, what: [&str; 2]) -> String {
        let output = Command::new(paths::programs().join("kubectl"))
            .arg("--kubeconfig")
            .arg(self.turn.server.kubeconfig())
            .args(["diff", "--server-side", "--force-conflicts"])
            .arg(format!("--field-manager={}", self.manager))
            .args(what)
            .output()
            .unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        match output.status.code() {
            Some(0) => String::new(),
            Some(1) => text(&output.stdout),
            _ => panic!("{}", text(&output.stderr)),
        }
    }

    async fn policy_is(&self, name: &str, reason: &str) {
        wait::until(DEADLINE, &format!("the policy {name} to be {reason}"), async || {
            let policy = get_policy(&self.client, name).await;
            let conditions = policy["status"]["conditions"].as_array().cloned().unwrap_or_default();
            let is_there = conditions.iter().any(|condition| condition["reason"] == reason);
            if is_there { Ok(()) } else { Err(format!("{conditions:?}")) }
        })
        .await
        .unwrap();
    }

    async fn versions(&self) -> Vec<Value> {
        let mut all = vec![done(&self.client, "GET", TETRAGON, &Value::Null).await];
        for name in ["fleet", "enforce"] {
            all.push(get_policy(&self.client, name).await);
        }
        all.into_iter().map(|mut object| object["metadata"]["resourceVersion"].take()).collect()
    }
}

fn fleet(folder: &str) -> String {
    config(&format!("gitops/fleet/{folder}")).display().to_string()
}

/// The DaemonSet controller does not run here: all agents run the present pod template.
async fn roll_out(client: &Client) {
    let daemon_set = done(client, "GET", TETRAGON, &Value::Null).await;
    let status = json!({"status": {
        "observedGeneration": daemon_set["metadata"]["generation"], "desiredNumberScheduled": 1,
        "currentNumberScheduled": 1, "updatedNumberScheduled": 1, "numberAvailable": 1,
        "numberReady": 1, "numberMisscheduled": 0}});
    done(client, "MERGE", &format!("{TETRAGON}/status"), &status).await;
}

async fn from_an_empty_repository_to_a_protected_fleet(manager: &'static str) {
    let tool = Tool::new(manager).await;
    node(tool.turn.server, "n1", "a", "Denied").await;
    tool.apply("operator");
    let operator = Operator::start(tool.turn.server, None);
    tool.apply("nodes");
    tool.policy_is("fleet", "EnforcementReady").await;
    tool.kubectl("apply", ["-f", &tool.chart()]).unwrap();
    tool.apply("agents");
    tool.policy_is("enforce", "Mounted").await;
    roll_out(&tool.client).await;
    tool.policy_is("enforce", "RolledOut").await;
    tool.policy_is("enforce", "EnforcementReady").await;
    let mounted = done(&tool.client, "GET", TETRAGON, &Value::Null).await;
    assert!(mounted.to_string().contains("lsm-ready-securityfs"), "the operator added the mount");

    assert_eq!(tool.drift(), "", "what the operator adds is no drift");
    let before = tool.versions().await;
    for folder in FOLDERS {
        tool.apply(folder);
    }
    tool.kubectl("apply", ["-f", &tool.chart()]).unwrap();
    assert_eq!(tool.versions().await, before, "a second apply changes nothing");

    // A change by hand is drift, and the tool's next apply undoes it.
    let by_hand = json!({"spec": {"minReady": "0%"}});
    let path = "/apis/lsmready.io/v1alpha1/lsmpolicies/fleet";
    done(&tool.client, "MERGE", path, &by_hand).await;
    assert!(tool.drift().contains("minReady"), "a change by hand is drift");
    tool.apply("nodes");
    assert_eq!(tool.drift(), "");
    operator.terminate();
    call(&tool.client, "DELETE", path, &Value::Null).await;
}

#[tokio::test]
async fn argo_cd_gets_from_an_empty_repository_to_a_protected_fleet_without_drift() {
    from_an_empty_repository_to_a_protected_fleet("argocd-controller").await;
}

#[tokio::test]
async fn flux_gets_from_an_empty_repository_to_a_protected_fleet_without_drift() {
    from_an_empty_repository_to_a_protected_fleet("kustomize-controller").await;
}

#[test]
fn every_folder_of_the_fleet_is_applied() {
    let entries = std::fs::read_dir(config("gitops/fleet")).unwrap();
    let mut found: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    found.sort();
    let mut applied = FOLDERS.map(str::to_owned).to_vec();
    applied.sort();
    assert_eq!(found, applied);
    assert!(Path::new(&fleet("operator")).join("kustomization.yaml").is_file());
}

//! Nodes, reports, policies and DaemonSets, and the programs that look at them.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use e2e::api::ApiServer;
use e2e::paths;
use kube::Client;
use lsm_ready_crds::fixture;
use serde_json::{Value, json};

use crate::releases::release;
use crate::server::{create_node, done};

pub const DEADLINE: Duration = Duration::from_mins(1);
const POLICIES: &str = "/apis/lsmready.io/v1alpha1/lsmpolicies";

/// A file of `config/`.
pub fn config(path: &str) -> PathBuf {
    paths::workspace().join("config").join(path)
}

/// The YAML of a file of `config/`.
pub fn yaml(path: &str) -> Value {
    serde_saphyr::from_str(&std::fs::read_to_string(config(path)).unwrap()).unwrap()
}

/// Creates a Node of that pool. Its probe reports that evidence; `""` stands for no report.
pub async fn node(server: &ApiServer, name: &str, pool: &str, evidence: &str) {
    create_node(server, name).await;
    let client = server.client().await.unwrap();
    let labels = json!({"metadata": {"labels": {"pool": pool}}});
    done(&client, "MERGE", &format!("/api/v1/nodes/{name}"), &labels).await;
    if !evidence.is_empty() {
        report(&client, name, evidence).await;
    }
}

/// The probe of that Node reports that evidence of the boot `1`.
pub async fn report(client: &Client, node: &str, evidence: &str) {
    let path = format!("/apis/lsmready.io/v1alpha1/lsmnodes/{node}");
    let object = json!({"apiVersion": "lsmready.io/v1alpha1", "kind": "LsmNode"});
    done(client, "APPLY", &path, &object).await;
    let reason = if evidence == "Denied" { "CanaryDenied" } else { "BpfNotInLsmList" };
    let mut status = json!({"status": fixture::report("1", fixture::evidence(evidence), reason)});
    status["status"]["observedTime"] = json!(jiff::Timestamp::now().to_string());
    done(client, "MERGE", &format!("{path}/status"), &status).await;
}

/// Applies a policy.
pub async fn policy(client: &Client, name: &str, spec: &Value) {
    let object = json!({"apiVersion": "lsmready.io/v1alpha1", "kind": "LsmPolicy", "spec": spec});
    done(client, "APPLY", &format!("{POLICIES}/{name}"), &object).await;
}

/// The policy as the API server has it.
pub async fn get_policy(client: &Client, name: &str) -> Value {
    done(client, "GET", &format!("{POLICIES}/{name}"), &Value::Null).await
}

/// The DaemonSet of Tetragon 1.3, which needs the mount, for a namespace.
pub fn tetragon(namespace: &str) -> Value {
    let mut object = release("v1.3");
    for set_by_the_server in ["uid", "resourceVersion", "generation"] {
        object["metadata"].as_object_mut().unwrap().remove(set_by_the_server);
    }
    object["metadata"]["namespace"] = json!(namespace);
    object
}

/// A program of the rig, with its path.
pub fn program(name: &str) -> Command {
    Command::new(paths::programs().join(name))
}

/// Runs a program with that standard input. Returns what it printed; an error is what it printed
/// too.
pub fn piped(mut command: Command, input: &str) -> Result<String, String> {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| format!("{command:?}: {error}"))?;
    child.stdin.take().unwrap().write_all(input.as_bytes()).map_err(|error| error.to_string())?;
    let output = child.wait_with_output().map_err(|error| error.to_string())?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let printed = text(&output.stdout) + &text(&output.stderr);
    if output.status.success() { Ok(printed) } else { Err(printed) }
}

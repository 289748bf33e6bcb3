//! Asks the cluster, by running `kubectl`.
//!
//! In: the name of a kubeconfig context. Out: what is known of the nodes, and what the API server
//! says to a policy. kubectl is there wherever its plugins run, and it knows each way to a cluster
//! that its user has set up (exec plugins, proxies, KUBECONFIG).
//!
//! ## Guarantees
//! Nothing is changed: the commands are `get`, and `apply` as a dry run.

use std::io::Write;
use std::process::{Command, Output, Stdio};

use lsm_ready_crds::text::truncate;
use serde::Serialize;
use serde_json::{Value, json};

use crate::documents::{self, Document};
use crate::preflight::nodes::{self, Cluster};

/// Stands for the file name in messages about objects from the cluster.
const SOURCE: &str = "the cluster";

/// Selects the DaemonSets of Tetragon's chart.
const TETRAGON_SELECTOR: &str = "app.kubernetes.io/name=tetragon";

/// Maximum length of an API server's answer in a message, in characters.
const MAX_MESSAGE_CHARS: usize = 1000;

/// Prints one line for each Node: name, boot ID, and labels as JSON. A whole Node has about 15 KB.
const NODES: &str = concat!(
    r#"jsonpath={range .items[*]}{.metadata.name}{"\t"}"#,
    r#"{.status.nodeInfo.bootID}{"\t"}{.metadata.labels}{"\n"}{end}"#
);

/// What the API server says to an object.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[serde(tag = "result", content = "message")]
pub enum DryRun {
    /// It would accept the object.
    Accepted,
    /// It would refuse the object.
    Refused(String),
    /// It could not be asked.
    NotAsked(String),
}

/// Why the cluster gave no nodes.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(
        "cannot run kubectl ({0}): put kubectl into the PATH, or name a file that has the nodes \
         with --nodes FILE"
    )]
    NoKubectl(#[source] std::io::Error),
    #[error(
        "the cluster gave no LsmNodes: {0}. Install lsm-ready there, or name a file that has the \
         nodes with --nodes FILE"
    )]
    NoLsmNodes(String),
    /// The cluster's answer is neither YAML nor JSON.
    #[error(transparent)]
    Document(#[from] documents::Error),
    /// An object of the answer is not what its kind says.
    #[error(transparent)]
    Object(#[from] nodes::Error),
}

/// What the cluster tells about its nodes and about the release of Tetragon. A note says so where
/// the cluster has no Nodes for this user.
pub fn read_cluster(context: Option<&str>) -> Result<Cluster, Error> {
    let mut cluster = Cluster::default();
    let text =
        get(context, &["lsmnodes,lsmhookprofiles", "-o", "json"])?.map_err(Error::NoLsmNodes)?;
    cluster.add(SOURCE, &documents::parse(SOURCE, &text)?)?;
    // Without the DaemonSet, policies are judged for all known releases.
    if let Ok(text) =
        get(context, &["daemonsets", "--all-namespaces", "-l", TETRAGON_SELECTOR, "-o", "json"])?
    {
        cluster.add(SOURCE, &documents::parse(SOURCE, &text).unwrap_or_default())?;
    }
    match get(context, &["nodes", "-o", NODES])? {
        Ok(lines) => {
            let nodes: Vec<Document> = lines.lines().filter_map(node).collect();
            cluster.add(SOURCE, &nodes)?;
        }
        Err(message) => cluster.notes.push(format!("Nodes could not be read: {message}")),
    }
    Ok(cluster)
}

/// What the API server says to that object in a dry run.
pub fn dry_run(context: Option<&str>, object: &Value) -> DryRun {
    match apply(context, object) {
        Err(error) => DryRun::NotAsked(format!("cannot run kubectl ({error})")),
        Ok(output) if output.status.success() => DryRun::Accepted,
        Ok(output) => {
            let stderr = String::from_utf8_lossy(&output.stderr);
            let lines: Vec<&str> =
                stderr.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
            refused_or_not_asked(truncate(&lines.join("; "), MAX_MESSAGE_CHARS))
        }
    }
}

fn apply(context: Option<&str>, object: &Value) -> std::io::Result<Output> {
    let mut child = kubectl(context)
        .args(["apply", "--dry-run=server", "--validate=strict", "-f", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()?;
    if let Some(mut input) = child.stdin.take() {
        // kubectl may end without reading its input. Its exit status is an answer all the same.
        input.write_all(object.to_string().as_bytes()).ok();
    }
    child.wait_with_output()
}

/// A refusal by the API server itself names a reason that is about the object. kubectl prints it as
/// `Error from server (REASON)`.
fn refused_or_not_asked(message: String) -> DryRun {
    const REASONS: [&str; 5] =
        ["is invalid", "(Invalid)", "(BadRequest)", "strict decoding error", "error validating"];
    if REASONS.iter().any(|reason| message.contains(reason)) {
        DryRun::Refused(message)
    } else {
        DryRun::NotAsked(message)
    }
}

fn kubectl(context: Option<&str>) -> Command {
    let mut command = Command::new("kubectl");
    command.args(context.map(|context| format!("--context={context}")));
    command
}

/// The output of `kubectl get`, or the last line of its error message.
fn get(context: Option<&str>, arguments: &[&str]) -> Result<Result<String, String>, Error> {
    let mut command = kubectl(context);
    command.arg("get").args(arguments).stdin(Stdio::null());
    let output = command.output().map_err(Error::NoKubectl)?;
    if output.status.success() {
        return Ok(Ok(String::from_utf8_lossy(&output.stdout).into_owned()));
    }
    let stderr = String::from_utf8_lossy(&output.stderr);
    Ok(Err(stderr.lines().last().unwrap_or("kubectl printed no message").trim().to_owned()))
}

/// The Node of a line that [`NODES`] prints. Labels that are not valid JSON are dropped, so that no
/// `nodeSelector` matches them by accident.
fn node(line: &str) -> Option<Document> {
    let mut parts = line.splitn(3, '\t');
    let name = parts.next().filter(|name| !name.is_empty())?;
    let boot_id = parts.next().unwrap_or_default();
    let labels = parts.next().and_then(|labels| serde_json::from_str::<Value>(labels).ok());
    let labels = labels.unwrap_or_else(|| json!({}));
    let info = json!({
        "bootID": boot_id, "architecture": "", "containerRuntimeVersion": "", "kernelVersion": "",
        "kubeProxyVersion": "", "kubeletVersion": "", "machineID": "", "operatingSystem": "",
        "osImage": "", "systemUUID": "",
    });
    let value = json!({
        "apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels},
        "status": {"nodeInfo": info},
    });
    Some(Document { number: 1, line: 1, value })
}

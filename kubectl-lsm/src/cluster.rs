//! The nodes of the cluster at hand, as `kubectl` gives them.
//!
//! In: which context. Out: the objects that [`crate::preflight::nodes`] takes. A plugin runs where kubectl is, and kubectl
//! knows each way to a cluster that its user has (exec plugins, proxies, KUBECONFIG), so no client of our own is needed.
//! Nothing is written. Of Nodes only name, boot ID and labels are fetched: whole ones are 15 KB each.

use std::io::Write;
use std::process::{Command, Stdio};

use serde::Serialize;
use serde_json::{Value, json};

use crate::documents::{self, Document};

/// What stands for the file's name in messages.
pub const SOURCE: &str = "the cluster";

/// Selects the DaemonSets of Tetragon's chart.
const AGENTS: &str = "app.kubernetes.io/name=tetragon";

/// Longest answer of the API server that is repeated, in characters.
const LONGEST: usize = 1000;

/// One line a Node: name, boot ID, labels as JSON.
const NODES: &str = "jsonpath={range .items[*]}{.metadata.name}{\"\\t\"}{.status.nodeInfo.bootID}{\"\\t\"}{.metadata.labels}{\"\\n\"}{end}";

/// What the API server says to an object.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[serde(tag = "answer", content = "message")]
pub enum Server {
    /// It would take it.
    Accepted,
    /// It would not.
    Refused(String),
    /// It could not be asked.
    NotAsked(String),
}

/// Why the cluster could not be asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no kubectl.
    #[error(
        "kubectl cannot be run ({0}); put it into the PATH, or name a file with the nodes: --nodes FILE"
    )]
    NoKubectl(#[source] std::io::Error),
    /// It had no answer.
    #[error(
        "the cluster gave no LsmNodes: {0}; is lsm-ready installed there? Else name a file with the nodes: --nodes FILE"
    )]
    Refused(String),
    /// Its answer makes no sense.
    #[error(transparent)]
    Answer(#[from] documents::Error),
}

/// LsmNodes and LsmHookProfiles, and Nodes or why there are none.
///
/// # Errors
/// Where kubectl cannot be run or gives no LsmNodes.
pub fn objects(context: Option<&str>) -> Result<(Vec<Document>, Option<String>), Error> {
    let text =
        get(context, &["lsmnodes,lsmhookprofiles", "-o", "json"])?.map_err(Error::Refused)?;
    let mut all = documents::parse(SOURCE, &text)?;
    // Where that is refused, all known releases are judged.
    if let Ok(text) = get(context, &["daemonsets", "--all-namespaces", "-l", AGENTS, "-o", "json"])?
    {
        all.extend(documents::parse(SOURCE, &text).unwrap_or_default());
    }
    match get(context, &["nodes", "-o", NODES])? {
        Ok(lines) => {
            all.extend(lines.lines().filter_map(node));
            Ok((all, None))
        }
        Err(refused) => Ok((all, Some(format!("Nodes could not be read: {refused}")))),
    }
}

/// What the API server says to that object: a dry run, which changes nothing.
pub fn ask(context: Option<&str>, object: &Value) -> Server {
    let mut command = Command::new("kubectl");
    command.args(context.map(|context| format!("--context={context}")));
    command.args(["apply", "--dry-run=server", "--validate=strict", "-f", "-"]);
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let output = command.spawn().and_then(|mut child| {
        // What ends without reading has an answer all the same.
        if let Some(mut input) = child.stdin.take() {
            input.write_all(object.to_string().as_bytes()).ok();
        }
        child.wait_with_output()
    });
    match output {
        Err(error) => Server::NotAsked(format!("kubectl cannot be run ({error})")),
        Ok(output) if output.status.success() => Server::Accepted,
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr);
            let lines: Vec<&str> =
                said.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
            refused_or_not(&cut(&lines.join("; ")))
        }
    }
}

/// What the API server itself refused names a reason about the object (kubectl prints `Error from server (REASON)`).
fn refused_or_not(message: &str) -> Server {
    const REASONS: [&str; 5] =
        ["is invalid", "(Invalid)", "(BadRequest)", "strict decoding error", "error validating"];
    if REASONS.iter().any(|reason| message.contains(reason)) {
        Server::Refused(message.to_owned())
    } else {
        Server::NotAsked(message.to_owned())
    }
}

fn cut(text: &str) -> String {
    text.chars().take(LONGEST).collect()
}

/// What `kubectl get` printed, or the last line of what it said instead.
fn get(context: Option<&str>, arguments: &[&str]) -> Result<Result<String, String>, Error> {
    let mut command = Command::new("kubectl");
    command.args(context.map(|context| format!("--context={context}"))).arg("get").args(arguments);
    let output = command.stdin(Stdio::null()).output().map_err(Error::NoKubectl)?;
    if output.status.success() {
        return Ok(Ok(String::from_utf8_lossy(&output.stdout).into_owned()));
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Ok(Err(said.lines().last().unwrap_or("kubectl said nothing").trim().to_owned()))
}

/// The Node of a line. Labels that are not printed as JSON are left out, so that a `nodeSelector` fits by no accident.
fn node(line: &str) -> Option<Document> {
    let mut parts = line.splitn(3, '\t');
    let (name, boot) =
        (parts.next().filter(|name| !name.is_empty())?, parts.next().unwrap_or_default());
    let labels: Value = parts
        .next()
        .and_then(|labels| serde_json::from_str(labels).ok())
        .unwrap_or_else(|| json!({}));
    let info = json!({"bootID": boot, "architecture": "", "containerRuntimeVersion": "", "kernelVersion": "",
        "kubeProxyVersion": "", "kubeletVersion": "", "machineID": "", "operatingSystem": "", "osImage": "", "systemUUID": ""});
    let value = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels},
        "status": {"nodeInfo": info}});
    Some(Document { number: 1, line: 1, value })
}

//! The nodes of the cluster at hand, as `kubectl` gives them.
//!
//! In: which context. Out: the objects that [`crate::preflight::nodes`] takes. A plugin runs where kubectl is, and kubectl
//! knows each way to a cluster that its user has (exec plugins, proxies, KUBECONFIG), so no client of our own is needed.
//! Nothing is written. Of Nodes only name, boot ID and labels are fetched: whole ones are 15 KB each.

use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::documents::{self, Document};

/// What stands for the file's name in messages.
pub const SOURCE: &str = "the cluster";

/// One line a Node: name, boot ID, labels as JSON.
const NODES: &str = "jsonpath={range .items[*]}{.metadata.name}{\"\\t\"}{.status.nodeInfo.bootID}{\"\\t\"}{.metadata.labels}{\"\\n\"}{end}";

/// Why the cluster could not be asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no kubectl.
    #[error("kubectl cannot be run ({0}); put it into the PATH, or name a file with the nodes: --nodes FILE")]
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
    let text = get(context, &["lsmnodes,lsmhookprofiles", "-o", "json"])?.map_err(Error::Refused)?;
    let mut all = documents::parse(SOURCE, &text)?;
    match get(context, &["nodes", "-o", NODES])? {
        Ok(lines) => {
            all.extend(lines.lines().filter_map(node));
            Ok((all, None))
        }
        Err(refused) => Ok((all, Some(format!("Nodes could not be read: {refused}")))),
    }
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
    let (name, boot) = (parts.next().filter(|name| !name.is_empty())?, parts.next().unwrap_or_default());
    let labels: Value = parts.next().and_then(|labels| serde_json::from_str(labels).ok()).unwrap_or_else(|| json!({}));
    let info = json!({"bootID": boot, "architecture": "", "containerRuntimeVersion": "", "kernelVersion": "",
        "kubeProxyVersion": "", "kubeletVersion": "", "machineID": "", "operatingSystem": "", "osImage": "", "systemUUID": ""});
    let value = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels},
        "status": {"nodeInfo": info}});
    Some(Document { number: 1, line: 1, value })
}

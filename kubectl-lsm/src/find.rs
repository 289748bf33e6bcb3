//! Finds the DaemonSet of Tetragon's agent among the objects of a file.
//!
//! In: objects, and what the user says of the wanted one. Out: that DaemonSet. Other kinds, such as
//! the Deployment of Tetragon's operator, are skipped. Of several DaemonSets, the one that is
//! matched by the surest sign counts ([`MatchedBy`]): Tetragon's image, then a container with the
//! right name, then a mount of BPF maps. Agents of other programs mount BPF maps too, so that sign
//! counts only in a DaemonSet whose name or label has `tetragon` in it.

use k8s_openapi::api::apps::v1::DaemonSet;
use kube::ResourceExt;
use lsm_ready_tetragon::agent::{self, MatchedBy};
use lsm_ready_tetragon::plan::pod;
use serde::Deserialize;
use serde_json::Value;

use crate::documents::Document;

#[derive(Debug, Eq, PartialEq, thiserror::Error)]
pub enum Error {
    #[error(
        "{file}: found no DaemonSet of Tetragon's agent ({found}): name it with --daemon-set, or \
         its container with --container"
    )]
    None { file: String, found: String },
    #[error(
        "{file}: several DaemonSets could be Tetragon's agent ({found}): choose one with \
         --daemon-set"
    )]
    Several { file: String, found: String },
    #[error("{file}:{line}: document {number} is an invalid DaemonSet: {message}")]
    Invalid {
        file: String,
        /// The number of the document, from 1.
        number: usize,
        /// The first line of the document.
        line: usize,
        message: String,
    },
}

/// What the user says of the wanted DaemonSet.
#[derive(Clone, Copy, Default)]
pub struct Wanted<'a> {
    /// The name of the agent's container.
    pub container: Option<&'a str>,
    /// The name of the DaemonSet, or `NAMESPACE/NAME`.
    pub daemon_set: Option<&'a str>,
}

struct Candidate {
    daemon_set: DaemonSet,
    line: usize,
    /// `None` if nothing says that it is Tetragon's.
    matched_by: Option<MatchedBy>,
}

/// The agent's DaemonSet, if exactly one matches.
pub fn agent(file: &str, documents: &[Document], wanted: Wanted<'_>) -> Result<DaemonSet, Error> {
    let mut candidates = documents
        .iter()
        .filter(|document| is_daemon_set(&document.value))
        .filter(|document| wanted.daemon_set.is_none_or(|name| has_name(&document.value, name)))
        .map(|document| candidate(file, document, wanted.container))
        .collect::<Result<Vec<_>, _>>()?;
    let all = names(&candidates);
    if wanted.daemon_set.is_none() {
        let surest = candidates.iter().filter_map(|candidate| candidate.matched_by).max();
        candidates.retain(|candidate| surest.is_some() && candidate.matched_by == surest);
    }
    let file = file.to_owned();
    match candidates.len() {
        1 => Ok(candidates.remove(0).daemon_set),
        0 if wanted.daemon_set.is_none() => Err(Error::None { file, found: all }),
        0 => Err(Error::None { file, found: "none of that name".to_owned() }),
        _ => Err(Error::Several { file, found: names(&candidates) }),
    }
}

fn is_daemon_set(object: &Value) -> bool {
    object["kind"] == "DaemonSet" && object["apiVersion"] == "apps/v1"
}

fn has_name(object: &Value, wanted: &str) -> bool {
    let metadata = &object["metadata"];
    match wanted.split_once('/') {
        Some((namespace, name)) => metadata["namespace"] == namespace && metadata["name"] == name,
        None => metadata["name"] == wanted,
    }
}

fn candidate(file: &str, document: &Document, container: Option<&str>) -> Result<Candidate, Error> {
    let &Document { number, line, .. } = document;
    let daemon_set = DaemonSet::deserialize(&document.value).map_err(|error| Error::Invalid {
        file: file.to_owned(),
        number,
        line,
        message: error.to_string(),
    })?;
    let name = container.map_or_else(agent::default_name, str::to_owned);
    let container = pod(&daemon_set).and_then(|pod| agent::agent(pod, &name).ok());
    let matched_by = container
        .map(|container| agent::matched_by(container, &name))
        .filter(|sign| *sign > MatchedBy::BpfMaps || is_called_tetragon(&daemon_set));
    Ok(Candidate { daemon_set, line, matched_by })
}

fn is_called_tetragon(daemon_set: &DaemonSet) -> bool {
    let label = daemon_set.labels().get("app.kubernetes.io/name");
    daemon_set.name_any().contains("tetragon")
        || label.is_some_and(|name| name.contains("tetragon"))
}

fn names(candidates: &[Candidate]) -> String {
    let name = |candidate: &Candidate| {
        let namespace =
            candidate.daemon_set.namespace().map_or_else(String::new, |namespace| namespace + "/");
        format!("{namespace}{} on line {}", candidate.daemon_set.name_any(), candidate.line)
    };
    let names: Vec<String> = candidates.iter().map(name).collect();
    if names.is_empty() { "it has no DaemonSet".to_owned() } else { names.join(", ") }
}

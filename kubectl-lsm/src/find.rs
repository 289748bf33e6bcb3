//! The DaemonSet of Tetragon's agent among the objects of a stream.
//!
//! In: objects, and what the user says of the one that is meant. Out: that DaemonSet. Other kinds, as the Deployment of
//! Tetragon's operator, are passed over. Of several DaemonSets the one with the surest sign is meant ([`MatchedBy`]): Tetragon's
//! image before a container of the right name, and that before a mount of BPF maps. Other programs' agents have that too,
//! so it counts only in a DaemonSet that is called after Tetragon.

use k8s_openapi::api::apps::v1::DaemonSet;
use kube::ResourceExt;
use lsm_ready_tetragon::agent::{self, MatchedBy};
use lsm_ready_tetragon::plan::pod;
use serde::Deserialize;
use serde_json::Value;

use crate::documents::Document;

/// Why there is no such DaemonSet, or not one.
#[derive(Debug, Eq, PartialEq, thiserror::Error)]
pub enum Error {
    /// None is.
    #[error(
        "{file}: no DaemonSet in it is Tetragon's agent ({there}); name it with --daemon-set, or its container with \
         --container"
    )]
    None {
        /// Name of the file.
        file: String,
        /// The DaemonSets that are there.
        there: String,
    },
    /// Several could be.
    #[error(
        "{file}: several DaemonSets could be Tetragon's agent ({there}); choose one with --daemon-set"
    )]
    Several {
        /// Name of the file.
        file: String,
        /// Those DaemonSets.
        there: String,
    },
    /// One that has to be looked at is none.
    #[error(
        "{file}:{line}: document {number} is not a DaemonSet that the API server would take: {message}"
    )]
    Invalid {
        /// Name of the file.
        file: String,
        /// Which document, from 1.
        number: usize,
        /// Its first line.
        line: usize,
        /// What is wrong with it.
        message: String,
    },
}

/// A DaemonSet of the stream.
struct Candidate {
    daemon_set: DaemonSet,
    line: usize,
    /// By what it is taken for Tetragon's; none where it is not.
    sign: Option<MatchedBy>,
}

/// The DaemonSet of the agent. `container` is the name of its container, `wanted` its own, with or without the namespace.
///
/// # Errors
/// Where none is it, several could be, or one cannot be read.
pub fn agent(
    file: &str,
    documents: &[Document],
    container: Option<&str>,
    wanted: Option<&str>,
) -> Result<DaemonSet, Error> {
    let meant = documents.iter().filter(|document| is_daemon_set(&document.value));
    let meant =
        meant.filter(|document| wanted.is_none_or(|wanted| has_name(&document.value, wanted)));
    let mut all = meant
        .map(|document| candidate(file, document, container))
        .collect::<Result<Vec<_>, _>>()?;
    if wanted.is_none() {
        let surest = all.iter().filter_map(|candidate| candidate.sign).max();
        let there = names(&all);
        all.retain(|candidate| surest.is_some() && candidate.sign == surest);
        if all.is_empty() {
            return Err(Error::None { file: file.to_owned(), there });
        }
    }
    match all.len() {
        0 => Err(Error::None { file: file.to_owned(), there: "none of that name".to_owned() }),
        1 => Ok(all.remove(0).daemon_set),
        _ => Err(Error::Several { file: file.to_owned(), there: names(&all) }),
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
    let (number, line) = (document.number, document.line);
    let daemon_set = DaemonSet::deserialize(&document.value).map_err(|error| Error::Invalid {
        file: file.to_owned(),
        number,
        line,
        message: error.to_string(),
    })?;
    let name = container.map_or_else(agent::default_name, str::to_owned);
    let found = pod(&daemon_set).and_then(|pod| agent::agent(pod, &name).ok());
    let sign = found.map(|container| agent::matched_by(container, &name));
    let sign = sign.filter(|sign| *sign > MatchedBy::BpfMaps || is_called_tetragon(&daemon_set));
    Ok(Candidate { daemon_set, line, sign })
}

fn is_called_tetragon(daemon_set: &DaemonSet) -> bool {
    let name = daemon_set.labels().get("app.kubernetes.io/name").cloned();
    daemon_set.name_any().contains("tetragon") || name.is_some_and(|name| name.contains("tetragon"))
}

fn names(all: &[Candidate]) -> String {
    let name = |candidate: &Candidate| {
        let namespace =
            candidate.daemon_set.namespace().map_or_else(String::new, |namespace| namespace + "/");
        format!("{namespace}{} on line {}", candidate.daemon_set.name_any(), candidate.line)
    };
    let names: Vec<String> = all.iter().map(name).collect();
    if names.is_empty() { "it has no DaemonSet".to_owned() } else { names.join(", ") }
}

//! What is known of the nodes: from LsmNodes, LsmHookProfiles and, if there are any, Nodes.
//!
//! In: objects, from a file or from the cluster. Out: a [`Cluster`]. Nodes have the current boot
//! ID, and the labels for a policy's `nodeSelector`. Without Nodes, each report is assumed to be
//! about the current boot, and each policy to select each node. A note says so.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::Node;
use kube::ResourceExt;
use lsm_ready_crds::profile::LsmHookProfileSpec;
use lsm_ready_crds::selection::Labels;
use lsm_ready_crds::verdict::Facts;
use lsm_ready_crds::{LsmHookProfile, LsmNode, LsmNodeStatus};
use lsm_ready_tetragon::agent::{self, MatchedBy};
use lsm_ready_tetragon::forecast::{KnownNode, Nodes};
use lsm_ready_tetragon::image::Version;
use lsm_ready_tetragon::plan::pod;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::documents::Document;
use crate::fleet::Objects;

/// An object is not what its kind says.
#[derive(Debug, Eq, PartialEq, thiserror::Error)]
#[error("{file}:{line}: document {number} is an invalid {kind}: {message}")]
pub struct Error {
    file: String,
    line: usize,
    number: usize,
    kind: &'static str,
    message: String,
}

#[derive(Clone, Debug, Default)]
pub struct Cluster {
    /// By name. Empty if Nodes are not known.
    nodes: BTreeMap<String, NodeInfo>,
    /// By the name of the node.
    reports: BTreeMap<String, LsmNodeStatus>,
    /// By name. Only profiles whose name is the digest of their content.
    profiles: HashMap<String, LsmHookProfileSpec>,
    /// The releases of Tetragon's agents.
    versions: BTreeSet<Version>,
    /// What could not be read, and what was assumed.
    pub notes: Vec<String>,
}

#[derive(Clone, Debug)]
struct NodeInfo {
    boot_id: String,
    labels: Labels,
}

impl Cluster {
    /// What was read of a cluster.
    pub fn of(objects: Objects) -> Self {
        let mut cluster = Self { notes: objects.notes, ..Self::default() };
        cluster.reports = objects.reports.into_iter().collect();
        cluster.profiles = objects.profiles.into_iter().collect();
        for node in &objects.nodes {
            cluster.add_node(node);
        }
        for daemon_set in &objects.daemon_sets {
            cluster.add_agents(daemon_set);
        }
        cluster
    }

    /// Adds the objects of that file. Other kinds are skipped.
    pub fn add(&mut self, file: &str, documents: &[Document]) -> Result<(), Error> {
        for document in documents {
            let group =
                document.value["apiVersion"].as_str().and_then(|version| version.split_once('/'));
            let group = group.map_or("", |(group, _)| group);
            match (group, document.value["kind"].as_str().unwrap_or_default()) {
                ("lsmready.io", "LsmNode") => {
                    let node: LsmNode = read(file, document, "LsmNode")?;
                    let status = node.status.clone().unwrap_or_default().cleaned();
                    self.reports.insert(node.name_any(), status);
                }
                ("lsmready.io", "LsmHookProfile") => {
                    let profile: LsmHookProfile = read(file, document, "LsmHookProfile")?;
                    if profile.is_genuine() {
                        self.profiles.insert(profile.name_any(), profile.spec);
                    }
                }
                ("apps", "DaemonSet") => {
                    // An invalid DaemonSet is skipped.
                    if let Ok(daemon_set) = DaemonSet::deserialize(&document.value) {
                        self.add_agents(&daemon_set);
                    }
                }
                ("", "Node") => self.add_node(&read::<Node>(file, document, "Node")?),
                _ => {}
            }
        }
        Ok(())
    }

    /// Records the release of a DaemonSet with Tetragon's image.
    fn add_agents(&mut self, daemon_set: &DaemonSet) {
        let name = agent::default_name();
        let container = pod(daemon_set).and_then(|pod| agent::agent(pod, &name).ok());
        if container
            .is_some_and(|container| agent::matched_by(container, &name) == MatchedBy::Image)
        {
            self.versions.extend(agent::version(daemon_set, &name));
        }
    }

    /// The release of Tetragon's agents, if all have the same.
    pub fn version(&self) -> Option<Version> {
        self.versions.first().copied().filter(|_| self.versions.len() == 1)
    }

    /// Skips nodes with another operating system than Linux: they have no LSM hooks.
    fn add_node(&mut self, node: &Node) {
        let labels = node.labels().clone();
        if labels.get("kubernetes.io/os").is_none_or(|os| os == "linux") {
            let info = node.status.as_ref().and_then(|status| status.node_info.as_ref());
            let boot_id = info.map(|info| info.boot_id.clone()).unwrap_or_default();
            self.nodes.insert(node.name_any(), NodeInfo { boot_id, labels });
        }
    }

    /// Adds notes about what the forecast has to assume.
    pub fn note_assumptions(&mut self) {
        if self.nodes.is_empty() && !self.reports.is_empty() {
            self.notes.push(
                "no Nodes are known, so each LsmNode is assumed to be about the current boot, and \
                 each policy to select each node"
                    .to_owned(),
            );
        }
        if self.nodes.is_empty() && self.reports.is_empty() {
            self.notes.push(
                "no node is known: check `kubectl get lsmnodes`, or name a file that has LsmNodes \
                 with --nodes FILE"
                    .to_owned(),
            );
        }
    }

    /// The nodes, for the forecast.
    pub fn nodes(&self) -> Nodes<'_> {
        if self.nodes.is_empty() {
            let reports = self.reports.iter();
            return Nodes::of(reports.map(|(name, report)| self.node(name, &report.boot_id, None)));
        }
        let nodes = self.nodes.iter();
        Nodes::of(nodes.map(|(name, info)| self.node(name, &info.boot_id, Some(&info.labels))))
    }

    fn node<'a>(
        &'a self,
        name: &'a str,
        boot_id: &'a str,
        labels: Option<&'a Labels>,
    ) -> KnownNode<'a> {
        let report = self.reports.get(name);
        let profile = report.and_then(|report| self.profiles.get(report.hook_profile.as_deref()?));
        KnownNode { name, labels, facts: Facts { boot_id, report, profile } }
    }
}

fn read<K: DeserializeOwned>(
    file: &str,
    document: &Document,
    kind: &'static str,
) -> Result<K, Error> {
    K::deserialize(&document.value).map_err(|error| Error {
        file: file.to_owned(),
        line: document.line,
        number: document.number,
        kind,
        message: error.to_string(),
    })
}

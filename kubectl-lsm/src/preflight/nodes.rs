//! What is known of the nodes: from LsmNodes, LsmHookProfiles and, where they are there, Nodes.
//!
//! In: objects, from a file or from the cluster. Out: a [`Cluster`]. Nodes say which boot is the present one, and which
//! labels a policy's `nodeSelector` may look at. Without them each report is taken to be about the present boot, and each
//! policy to be for every node; a remark says so.

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
use serde_json::Value;

use crate::documents::Document;

/// An object that is not what its kind says.
#[derive(Debug, Eq, PartialEq, thiserror::Error)]
#[error("{file}:{line}: document {number} is no {kind} that the API server would take: {message}")]
pub struct Error {
    file: String,
    line: usize,
    number: usize,
    kind: &'static str,
    message: String,
}

/// What is known.
#[derive(Clone, Debug, Default)]
pub struct Cluster {
    /// Boot ID and labels by name; empty where Nodes are not known.
    nodes: BTreeMap<String, (String, Labels)>,
    reports: BTreeMap<String, LsmNodeStatus>,
    /// The genuine ones.
    profiles: HashMap<String, LsmHookProfileSpec>,
    /// The releases of Tetragon's agents.
    versions: BTreeSet<Version>,
    /// What could not be looked at.
    pub remarks: Vec<String>,
}

impl Cluster {
    /// Takes in the objects of that file; other kinds are passed over.
    ///
    /// # Errors
    /// At the first that cannot be read.
    pub fn add(&mut self, file: &str, documents: &[Document]) -> Result<(), Error> {
        for document in documents {
            let group =
                document.value["apiVersion"].as_str().and_then(|version| version.split_once('/'));
            let group = group.map_or("", |(group, _)| group);
            match (group, document.value["kind"].as_str().unwrap_or_default()) {
                ("lsmready.io", "LsmNode") => {
                    let node: LsmNode = read(file, document, "LsmNode")?;
                    self.reports.insert(node.name_any(), node.status.unwrap_or_default());
                }
                ("lsmready.io", "LsmHookProfile") => {
                    let profile: LsmHookProfile = read(file, document, "LsmHookProfile")?;
                    if profile.is_genuine() {
                        self.profiles.insert(profile.name_any(), profile.spec);
                    }
                }
                ("apps", "DaemonSet") => self.add_agents(&document.value),
                ("", "Node") => self.add_node(&read::<Node>(file, document, "Node")?),
                _ => {}
            }
        }
        Ok(())
    }

    /// Notes the release of a DaemonSet with Tetragon's image. One that cannot be read is not Tetragon's.
    fn add_agents(&mut self, object: &Value) {
        let Ok(daemon_set) = DaemonSet::deserialize(object) else {
            return;
        };
        let name = agent::default_name();
        let container = pod(&daemon_set).and_then(|pod| agent::agent(pod, &name).ok());
        if container
            .is_some_and(|container| agent::matched_by(container, &name) == MatchedBy::Image)
        {
            self.versions.extend(agent::version(&daemon_set, &name));
        }
    }

    /// The release of the agents, if there is one.
    pub fn version(&self) -> Option<Version> {
        self.versions.first().copied().filter(|_| self.versions.len() == 1)
    }

    /// Of nodes with another operating system nothing is asked.
    fn add_node(&mut self, node: &Node) {
        let labels = node.labels();
        if labels.get("kubernetes.io/os").is_none_or(|os| os == "linux") {
            let boot = node.status.as_ref().and_then(|status| status.node_info.as_ref());
            let boot = boot.map(|info| info.boot_id.clone()).unwrap_or_default();
            self.nodes.insert(node.name_any(), (boot, labels.clone()));
        }
    }

    /// Says what has to be taken for granted.
    pub fn remark(&mut self) {
        if self.nodes.is_empty() && !self.reports.is_empty() {
            self.remarks.push(
                "no Nodes are known: each LsmNode is taken to be about the present boot, and each policy to be for every \
                 node"
                    .to_owned(),
            );
        }
        if self.nodes.is_empty() && self.reports.is_empty() {
            self.remarks.push(
                "no node is known: look for LsmNodes with `kubectl get lsmnodes`, or name a file that has them with --nodes"
                    .to_owned(),
            );
        }
    }

    /// The nodes as the forecast takes them.
    pub fn nodes(&self) -> Nodes<'_> {
        if self.nodes.is_empty() {
            return Nodes::of(
                self.reports.iter().map(|(name, report)| self.known(name, &report.boot_id, None)),
            );
        }
        Nodes::of(
            self.nodes.iter().map(|(name, (boot, labels))| self.known(name, boot, Some(labels))),
        )
    }

    fn known<'a>(
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

//! Reads what a fleet is made of.
//!
//! ## Errors
//! Nodes and LsmNodes are needed for any answer. What else cannot be read becomes a note.

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Node;
use kube::ResourceExt;
use kube::api::GetParams;
use kube::core::{PartialObjectMeta, Request};
use lsm_ready_crds::names::{BREAKER_OPEN_ANNOTATION, GROUP, OPERATOR_ACCOUNT};
use lsm_ready_crds::text::printable;
use lsm_ready_crds::{LsmHookProfile, LsmNode, LsmPolicy};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::cluster::error::{Asked, Error};
use crate::cluster::list::Query;
use crate::cluster::trim::ParsedNode;
use crate::cluster::{Cluster, trim};
use crate::fleet::Objects;

/// The only version that this plugin reads.
const VERSION: &str = "v1alpha1";

const NODES: Asked = Asked::list("", "nodes");
const REPORTS: Asked = Asked::list(GROUP, "lsmnodes");
const PROFILES: Asked = Asked::list(GROUP, "lsmhookprofiles");
const POLICIES: Asked = Asked::list(GROUP, "lsmpolicies");
const DAEMON_SETS: Asked = Asked::list("apps", "daemonsets");
const DAEMON_SET: Asked = Asked::get("apps", "daemonsets");
const DEPLOYMENT: Asked = Asked::get("apps", "deployments");

const LEASE: Asked = Asked::get("coordination.k8s.io", "leases");

/// Path of the list of Nodes.
const NODES_PATH: &str = "/api/v1/nodes";

/// Selects the DaemonSets of Tetragon's chart.
const TETRAGON_SELECTOR: &str = "app.kubernetes.io/name=tetragon";

/// Name of the DaemonSet in config/probe.
const PROBE: &str = "lsm-ready-probe";

/// Maximum number of notes about objects of one kind.
const MAX_NOTES: usize = 3;

/// Maximum length of a Node's name, in characters.
const MAX_NAME_CHARS: usize = 253;

/// Maximum length of an error about an object, in characters.
const MAX_ERROR_CHARS: usize = 200;

/// How much is read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Scope {
    /// Reports and hook profiles, and Nodes if these may be read.
    Reports,
    /// Nodes, reports and hook profiles: what a verdict needs.
    Nodes,
    /// Also policies, Tetragon's DaemonSets, operator and probe.
    All,
}

/// The API group, as discovery describes it.
#[derive(Clone, Debug, Deserialize)]
struct Group {
    #[serde(default)]
    versions: Vec<GroupVersion>,
}

#[derive(Clone, Debug, Deserialize)]
struct GroupVersion {
    version: String,
}

impl Cluster {
    /// The objects of the nodes with these labels.
    pub async fn objects(&self, scope: Scope, labels: Option<&str>) -> Result<Objects, Error> {
        // Boxed, because every command has a future as large as this one.
        Box::pin(self.progress.during(self.read(scope, labels))).await
    }

    async fn read(&self, scope: Scope, labels: Option<&str>) -> Result<Objects, Error> {
        self.check_group().await?;
        let mut objects = Objects {
            context: self.context.clone(),
            taken_at: Timestamp::now(),
            ..Objects::default()
        };
        let nodes = Query { labels, ..Query::all(NODES, NODES_PATH) };
        let (reports_path, profiles_path) = (path("lsmnodes"), path("lsmhookprofiles"));
        let (nodes, reports) = tokio::join!(
            self.list(nodes, trim::node),
            self.list(Query::all(REPORTS, &reports_path), parsed::<LsmNode>),
        );
        let reports = reports?;
        objects.nodes = match scope {
            Scope::Reports => noted(nodes, &mut objects.notes)?.unwrap_or_default(),
            Scope::Nodes | Scope::All => nodes?,
        };
        for report in readable("LsmNode", reports, &mut objects.notes) {
            objects.add_report(report);
        }
        let profiles = self.list(Query::all(PROFILES, &profiles_path), parsed::<LsmHookProfile>);
        let profiles = noted(profiles.await, &mut objects.notes)?.unwrap_or_default();
        for profile in readable("LsmHookProfile", profiles, &mut objects.notes) {
            objects.add_profile(profile);
        }
        if scope == Scope::All {
            self.read_others(&mut objects).await?;
        }
        Ok(objects)
    }

    /// The objects of one Node, without Nodes where it is not there.
    pub async fn objects_of(&self, name: &str) -> Result<Objects, Error> {
        self.progress.during(self.read_of(name)).await
    }

    async fn read_of(&self, name: &str) -> Result<Objects, Error> {
        self.check_group().await?;
        let mut objects = Objects {
            context: self.context.clone(),
            taken_at: Timestamp::now(),
            ..Objects::default()
        };
        let asked = Asked::get("", "nodes");
        let Some(node) = self.get::<ParsedNode>(asked, NODES_PATH, name).await? else {
            return Ok(objects);
        };
        objects.nodes = vec![trim::node(node)];
        let asked = Asked::get(GROUP, "lsmnodes");
        let report =
            self.get::<Value>(asked, &path("lsmnodes"), name).await?.map(parsed::<LsmNode>);
        let report = readable("LsmNode", report.into_iter().collect(), &mut objects.notes).pop();
        let digest = report.as_ref().and_then(|of| of.status.as_ref()?.hook_profile.clone());
        if let Some(report) = report {
            objects.add_report(report);
        }
        if let Some(digest) = digest.filter(|digest| !digest.is_empty()) {
            let asked = Asked::get(GROUP, "lsmhookprofiles");
            let found = self.get::<Value>(asked, &path("lsmhookprofiles"), &digest).await;
            let found = noted(found, &mut objects.notes)?.flatten().map(parsed::<LsmHookProfile>);
            let kind = "LsmHookProfile";
            for profile in readable(kind, found.into_iter().collect(), &mut objects.notes) {
                objects.add_profile(profile);
            }
        }
        self.read_others(&mut objects).await?;
        Ok(objects)
    }

    /// The names of all Nodes.
    pub async fn node_names(&self) -> Result<Vec<String>, Error> {
        let query = Query { is_metadata: true, ..Query::all(NODES, NODES_PATH) };
        let keep = |node: PartialObjectMeta<Node>| printable(&node.name_any(), MAX_NAME_CHARS);
        self.list(query, keep).await
    }

    /// Refuses a cluster without our CRDs, or with those of another version.
    pub async fn check_group(&self) -> Result<(), Error> {
        let asked = Asked::get(GROUP, "");
        let Ok(request) = Request::new("/apis").get(GROUP, &GetParams::default()) else {
            return Ok(());
        };
        match self.client.request::<Group>(request).await {
            Ok(group) if group.versions.iter().any(|found| found.version == VERSION) => Ok(()),
            Ok(group) => Err(Error::NotServed {
                name: GROUP.to_owned(),
                served: group.versions.into_iter().map(|found| found.version).collect(),
            }),
            Err(kube::Error::Api(status)) if status.code == 404 => Err(Error::NotInstalled),
            // Some clusters hide discovery. The requests for the objects themselves then tell.
            Err(kube::Error::Api(status)) if status.code == 403 => Ok(()),
            Err(error) => Err(Error::of(&error, asked, &self.context.server)),
        }
    }

    async fn read_others(&self, objects: &mut Objects) -> Result<(), Error> {
        let path = path("lsmpolicies");
        let policies = self.list(Query::all(POLICIES, &path), parsed::<LsmPolicy>).await;
        let policies = noted(policies, &mut objects.notes)?.unwrap_or_default();
        objects.policies = readable("LsmPolicy", policies, &mut objects.notes);
        self.read_breaker(objects).await?;
        self.read_daemon_sets(objects).await?;
        let apps = |kind: &str| format!("/apis/apps/v1/namespaces/{}/{kind}", self.namespace);
        let operator = self.get(DEPLOYMENT, &apps("deployments"), OPERATOR_ACCOUNT).await;
        objects.operator = noted(operator, &mut objects.notes)?.flatten();
        let probe = self.get(DAEMON_SET, &apps("daemonsets"), PROBE).await;
        objects.probe = noted(probe, &mut objects.notes)?.flatten();
        Ok(())
    }

    /// What the circuit breaker holds. Where there are policies, these say it.
    async fn read_breaker(&self, objects: &mut Objects) -> Result<(), Error> {
        if !objects.policies.is_empty() {
            return Ok(());
        }
        let path = format!("/apis/coordination.k8s.io/v1/namespaces/{}/leases", self.namespace);
        let lease = self.get::<PartialObjectMeta<Lease>>(LEASE, &path, OPERATOR_ACCOUNT).await;
        // It is only more to know, so somebody who may not read Leases gets no note about it.
        let lease = noted(lease, &mut Vec::new())?.flatten();
        let says =
            lease.and_then(|lease| lease.annotations().get(BREAKER_OPEN_ANNOTATION).cloned());
        objects.notes.extend(says.map(|says| format!("the circuit breaker holds changes: {says}")));
        Ok(())
    }

    /// Tetragon's DaemonSets: those of its chart, and those that policies name.
    pub async fn read_daemon_sets(&self, objects: &mut Objects) -> Result<(), Error> {
        let query = Query {
            labels: Some(TETRAGON_SELECTOR),
            ..Query::all(DAEMON_SETS, "/apis/apps/v1/daemonsets")
        };
        let found = self.list(query, |daemon_set: DaemonSet| daemon_set).await;
        objects.daemon_sets = noted(found, &mut objects.notes)?.unwrap_or_default();
        for (namespace, name) in wanted(objects) {
            let path = format!("/apis/apps/v1/namespaces/{namespace}/daemonsets");
            let found = self.get::<DaemonSet>(DAEMON_SET, &path, &name).await;
            objects.daemon_sets.extend(noted(found, &mut objects.notes)?.flatten());
        }
        Ok(())
    }
}

/// The DaemonSets that policies name and that are not read yet.
fn wanted(objects: &Objects) -> std::collections::BTreeSet<(String, String)> {
    let named = objects.policies.iter().filter_map(|policy| policy.spec.tetragon.as_ref());
    let named = named.map(|tetragon| &tetragon.daemon_set);
    named
        .map(|wanted| (wanted.namespace.clone(), wanted.name.clone()))
        .filter(|(namespace, name)| {
            !objects.daemon_sets.iter().any(|found| {
                found.namespace().as_ref() == Some(namespace) && found.name_any() == *name
            })
        })
        .collect()
}

/// Path of the list of one of our kinds.
pub fn path(resource: &str) -> String {
    format!("/apis/{GROUP}/{VERSION}/{resource}")
}

/// An object of another version may not be what this version expects. It does not hide the others.
fn parsed<K: DeserializeOwned + ResourceExt>(object: Value) -> Result<K, String> {
    let name = object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    let parsed = K::deserialize(object).map(trim::managers);
    parsed.map_err(|error| format!("{name} cannot be read: {error}"))
}

fn readable<K>(kind: &str, parsed: Vec<Result<K, String>>, notes: &mut Vec<String>) -> Vec<K> {
    let mut unread = Vec::new();
    let mut objects = Vec::with_capacity(parsed.len());
    for result in parsed {
        match result {
            Ok(object) => objects.push(object),
            Err(error) => unread.push(format!("{kind} {}", printable(&error, MAX_ERROR_CHARS))),
        }
    }
    let more = unread.len().saturating_sub(MAX_NOTES);
    notes.extend(unread.into_iter().take(MAX_NOTES));
    if more > 0 {
        notes.push(format!("{more} more objects of kind {kind} cannot be read"));
    }
    objects
}

/// What was read, or a note. Only a cluster that does not answer at all is an error.
fn noted<T>(result: Result<T, Error>, notes: &mut Vec<String>) -> Result<Option<T>, Error> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error @ (Error::Unreachable { .. } | Error::Unauthorized(_))) => Err(error),
        Err(error) => {
            notes.push(error.to_string());
            Ok(None)
        }
    }
}

//! What the operator knows of the cluster: one in-memory store a kind, filled by [`crate::watch`].
//!
//! Objects are trimmed before they are stored: 5,000 Nodes with their images and managed fields would be 150 MB.

use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::{Node, NodeStatus, NodeSystemInfo};
use kube::ResourceExt;
use kube_runtime::reflector::{self, ObjectRef, Store, store::Writer};
use lsm_ready_crds::verdict::Facts;
use lsm_ready_crds::{LsmHookProfile, LsmNode, LsmPolicy, names};

use crate::tracing_policies::snapshot::{self, Reader};
use crate::watch::digests::Genuine;

/// The read sides.
#[derive(Clone)]
pub struct Stores {
    /// Nodes: labels, taints, addresses, boot ID and our condition.
    pub nodes: Store<Node>,
    /// What the probes report.
    pub reports: Store<LsmNode>,
    /// Hook profiles, by digest.
    pub profiles: Store<LsmHookProfile>,
    /// What people ask for.
    pub policies: Store<LsmPolicy>,
    /// Every DaemonSet, as any may be named by a policy.
    pub daemon_sets: Store<DaemonSet>,
    /// Which profiles are what their names say.
    pub genuine: Genuine,
    /// Tetragon's own policies, where they are installed.
    pub tracing_policies: Reader,
}

/// The write sides.
pub struct Writers {
    pub(crate) nodes: Writer<Node>,
    pub(crate) reports: Writer<LsmNode>,
    pub(crate) profiles: Writer<LsmHookProfile>,
    pub(crate) policies: Writer<LsmPolicy>,
    pub(crate) daemon_sets: Writer<DaemonSet>,
    pub(crate) tracing_policies: snapshot::Writer,
}

/// Empty stores.
pub fn stores() -> (Stores, Writers) {
    let (nodes, node_writer) = reflector::store();
    let (reports, report_writer) = reflector::store();
    let (profiles, profile_writer) = reflector::store();
    let (policies, policy_writer) = reflector::store();
    let (daemon_sets, daemon_set_writer) = reflector::store();
    let (tracing_policies, tracing_writer) = snapshot::channel();
    let writers = Writers {
        nodes: node_writer,
        reports: report_writer,
        profiles: profile_writer,
        policies: policy_writer,
        daemon_sets: daemon_set_writer,
        tracing_policies: tracing_writer,
    };
    (
        Stores {
            nodes,
            reports,
            profiles,
            policies,
            daemon_sets,
            genuine: Genuine::default(),
            tracing_policies,
        },
        writers,
    )
}

/// What is known about one node, held for as long as a verdict needs it.
pub struct NodeRecord {
    boot_id: String,
    report: Option<std::sync::Arc<LsmNode>>,
    profile: Option<std::sync::Arc<LsmHookProfile>>,
}

impl NodeRecord {
    /// The facts that a verdict is made of.
    pub fn facts(&self) -> Facts<'_> {
        Facts {
            boot_id: &self.boot_id,
            report: self.report.as_ref().and_then(|report| report.status.as_ref()),
            profile: self.profile.as_ref().map(|profile| &profile.spec),
        }
    }
}

impl Stores {
    /// Everything known about that Node. A hook profile that is not what its name says is left out.
    pub fn record(&self, node: &Node) -> NodeRecord {
        let report = self.reports.get(&ObjectRef::new(&node.name_any()));
        let profile = report
            .as_ref()
            .and_then(|report| report.status.as_ref()?.hook_profile.as_deref())
            .and_then(|digest| self.profiles.get(&ObjectRef::new(digest)))
            .filter(|profile| self.genuine.is(profile));
        NodeRecord { boot_id: boot_id(node).to_owned(), report, profile }
    }
}

/// The Node's present boot, as its kubelet tells it.
pub fn boot_id(node: &Node) -> &str {
    node.status
        .as_ref()
        .and_then(|status| status.node_info.as_ref())
        .map_or("", |info| info.boot_id.as_str())
}

/// Leaves of a Node what the planning reads.
pub(crate) fn trim_node(node: &mut Node) {
    node.metadata.managed_fields = None;
    node.metadata.annotations = None;
    if let Some(spec) = &mut node.spec {
        *spec = k8s_openapi::api::core::v1::NodeSpec {
            taints: spec.taints.take(),
            ..Default::default()
        };
    }
    let Some(status) = node.status.take() else {
        return;
    };
    let conditions = status
        .conditions
        .into_iter()
        .flatten()
        .filter(|c| c.type_ == names::NODE_CONDITION)
        .collect();
    let boot_id = status.node_info.map(|info| info.boot_id).unwrap_or_default();
    node.status = Some(NodeStatus {
        addresses: status.addresses,
        conditions: Some(conditions),
        node_info: Some(NodeSystemInfo { boot_id, ..Default::default() }),
        ..Default::default()
    });
}

/// Leaves out of any object what nobody here reads.
pub(crate) fn trim<K: kube::Resource>(object: &mut K) {
    let metadata = object.meta_mut();
    metadata.managed_fields = None;
    if let Some(annotations) = &mut metadata.annotations {
        annotations.remove("kubectl.kubernetes.io/last-applied-configuration");
    }
}

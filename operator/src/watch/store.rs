//! What the operator knows of the cluster: one store in memory for each kind of object.
//!
//! In: the events of [`crate::watch`]. Out: the objects as they were last seen, trimmed
//! ([`crate::watch::kept`]).

use std::borrow::Cow;
use std::sync::Arc;

use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::Node;
use kube::ResourceExt;
use kube_runtime::reflector::{self, ObjectRef, Store, store::Writer};
use lsm_ready_crds::node::Securityfs;
use lsm_ready_crds::profile::LsmHookProfileSpec;
use lsm_ready_crds::selection::{self, Labels, Selection};
use lsm_ready_crds::verdict::Facts;
use lsm_ready_crds::{LsmNode, LsmPolicy};

use crate::tracing_policies::snapshot::{self, Reader};
use crate::watch::contents::Contents;
use crate::watch::first_list::FirstLists;
use crate::watch::named::Wanted;
use crate::watch::packed_node::{Nodes, PackedNode, Selecting};
use crate::watch::policy_bound::Excess;
use crate::watch::profile::Profile;
use crate::watch::unparsable::Unparsable;

/// The read sides.
#[derive(Clone)]
pub struct Stores {
    /// Nodes with their labels, taints, internal addresses, boot ID and our condition.
    pub nodes: Nodes,
    /// The probes' reports, by the node's name.
    pub reports: Store<LsmNode>,
    /// Hook profiles by name, without their contents.
    pub profiles: Store<Profile>,
    /// The contents of the hook profiles that are used, by digest.
    pub contents: Contents,
    /// The policies in force.
    pub policies: Store<LsmPolicy>,
    /// The policies that are not in force, because there are too many.
    pub excess_policies: Excess,
    /// The policies whose newest version cannot be parsed. An earlier version stays in force.
    pub unparsable_policies: Unparsable,
    /// The DaemonSets that a policy names, and those with our label.
    pub daemon_sets: Store<DaemonSet>,
    /// The DaemonSets that policies name.
    pub wanted_daemon_sets: Wanted,
    /// Tetragon's own policies, if their CRDs are installed.
    pub tracing_policies: Reader,
    /// Whether the stores have had their first lists.
    pub first_lists: FirstLists,
}

/// The write sides.
pub struct Writers {
    pub(crate) nodes: Writer<PackedNode>,
    pub(crate) reports: Writer<LsmNode>,
    pub(crate) profiles: Writer<Profile>,
    pub(crate) policies: Writer<LsmPolicy>,
    pub(crate) daemon_sets: Writer<DaemonSet>,
    pub(crate) tracing_policies: snapshot::Writer,
}

/// Creates empty stores.
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
            nodes: Nodes(nodes),
            reports,
            profiles,
            contents: Contents::default(),
            policies,
            excess_policies: Excess::default(),
            unparsable_policies: Unparsable::default(),
            daemon_sets,
            wanted_daemon_sets: Wanted::default(),
            tracing_policies,
            first_lists: FirstLists::default(),
        },
        writers,
    )
}

/// A node's report and hook profile. They are held here while a verdict borrows them.
pub struct NodeRecord {
    boot_id: String,
    report: Option<Arc<LsmNode>>,
    profile: Option<Arc<LsmHookProfileSpec>>,
}

impl NodeRecord {
    pub fn new(
        node: &Node,
        report: Option<Arc<LsmNode>>,
        profile: Option<Arc<LsmHookProfileSpec>>,
    ) -> Self {
        Self { boot_id: boot_id(node).to_owned(), report, profile }
    }

    /// Whether the node's probe has reported.
    pub const fn is_reported(&self) -> bool {
        self.report.is_some()
    }

    /// The facts that a verdict is computed from.
    pub fn facts(&self) -> Facts<'_> {
        Facts {
            boot_id: &self.boot_id,
            report: self.report.as_ref().and_then(|report| report.status.as_ref()),
            profile: self.profile.as_deref(),
        }
    }

    /// The labels by which policies select the Node.
    pub fn labels<'a>(&self, node: &'a Node) -> Cow<'a, Labels> {
        labels_for_selecting(node, self.report.is_some())
    }
}

impl Stores {
    /// The report and hook profile of that Node. A profile whose name is not the digest of its
    /// content is left out.
    pub fn record(&self, node: &Node) -> NodeRecord {
        let report = self.reports.get(&ObjectRef::new(&node.name_any()));
        let profile = report
            .as_ref()
            .and_then(|report| self.profile(report.status.as_ref()?.hook_profile.as_deref()?));
        NodeRecord::new(node, report, profile)
    }

    /// The content of the genuine profile with that name.
    pub fn profile(&self, digest: &str) -> Option<Arc<LsmHookProfileSpec>> {
        let profile = self.profiles.get(&ObjectRef::new(digest))?;
        if profile.is_genuine { self.contents.get(digest) } else { None }
    }

    /// The names of the policies of which no version is known, because none could be parsed since
    /// this process started. What they ask for is unknown, so no label, taint or mount may be
    /// removed that they could have asked for.
    pub fn unread_policies(&self) -> Vec<String> {
        self.unparsable_policies.unread()
    }

    /// The Nodes that are selected, one after the other.
    pub fn selected<'a>(&'a self, selection: &'a Selection) -> impl Iterator<Item = Node> + 'a {
        let selecting = Selecting::of(selection);
        let all = self.nodes.0.state().into_iter();
        all.filter(move |node| selecting.selects(node, self.is_reported(&**node)))
            .map(|node| node.node())
    }

    /// Whether the node's probe has reported.
    pub fn is_reported(&self, node: &impl ResourceExt) -> bool {
        self.reports.get(&ObjectRef::new(&node.name_any())).is_some()
    }
}

/// The labels by which policies select the Node.
pub(crate) fn labels_for_selecting(node: &Node, is_reported: bool) -> Cow<'_, Labels> {
    selection::labels_for_selecting(node.labels(), is_reported)
}

/// The ID of the Node's present boot, as its kubelet reports it.
pub fn boot_id(node: &Node) -> &str {
    node.status
        .as_ref()
        .and_then(|status| status.node_info.as_ref())
        .map_or("", |info| info.boot_id.as_str())
}

/// Whether a report says that the kernel has no securityfs.
pub fn lacks_securityfs(report: &LsmNode) -> bool {
    report.status.as_ref().is_some_and(|status| status.securityfs == Securityfs::NotInKernel)
}

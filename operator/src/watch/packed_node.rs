//! A Node as the store holds it: in less than half of the memory of the object.
//!
//! In: a trimmed Node. Out: the same Node, made anew each time somebody asks for it, which takes
//! some microseconds. Nobody keeps it. A map of labels has an allocation for each key and each
//! value, and the type of the API has 1.5 kB of fields that are empty here.

use std::collections::BTreeSet;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{
    Node, NodeAddress, NodeCondition, NodeSpec, NodeStatus, NodeSystemInfo, Taint,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::ResourceExt;
use kube_runtime::reflector::{ObjectRef, Store};
use kube_runtime::watcher::Event;
use lsm_ready_crds::selection::{Labels, Selection, labels_for_selecting};
use serde::{Deserialize, Deserializer};

use super::stored::resource_as;

/// No label has this character.
const END: char = '\0';

/// A Node as it is kept.
#[derive(Clone, Debug, PartialEq)]
pub struct PackedNode {
    /// Without labels.
    metadata: ObjectMeta,
    /// Each key and each value, with its end.
    labels: Box<str>,
    taints: Option<Box<[Taint]>>,
    addresses: Box<[NodeAddress]>,
    boot_id: Box<str>,
    conditions: Box<[NodeCondition]>,
    has_status: bool,
}

impl PackedNode {
    pub fn of(node: &Node) -> Self {
        let status = node.status.as_ref();
        let info = status.and_then(|status| status.node_info.as_ref());
        Self {
            metadata: ObjectMeta { labels: None, ..node.metadata.clone() },
            labels: packed(node.labels()),
            taints: node.spec.as_ref().map(|spec| spec.taints.iter().flatten().cloned().collect()),
            addresses: all(status.and_then(|status| status.addresses.as_deref())),
            boot_id: info.map_or("", |info| &info.boot_id).into(),
            conditions: all(status.and_then(|status| status.conditions.as_deref())),
            has_status: status.is_some(),
        }
    }

    pub fn event(event: &Event<Node>) -> Event<Self> {
        match event {
            Event::Apply(node) => Event::Apply(Self::of(node)),
            Event::Delete(node) => Event::Delete(Self::of(node)),
            Event::Init => Event::Init,
            Event::InitApply(node) => Event::InitApply(Self::of(node)),
            Event::InitDone => Event::InitDone,
        }
    }

    pub fn labels(&self) -> Labels {
        self.labels_of(|_| true)
    }

    /// The labels with these keys.
    pub fn labels_of(&self, is_wanted: impl Fn(&str) -> bool) -> Labels {
        let mut parts = self.labels.split_terminator(END);
        let all = std::iter::from_fn(|| Some((parts.next()?, parts.next()?)));
        let wanted = all.filter(|(key, _)| is_wanted(key));
        wanted.map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
    }

    /// The Node.
    pub fn node(&self) -> Node {
        let spec = self.taints.as_ref().map(|taints| NodeSpec {
            taints: (!taints.is_empty()).then(|| taints.to_vec()),
            ..NodeSpec::default()
        });
        let status = self.has_status.then(|| NodeStatus {
            addresses: Some(self.addresses.to_vec()),
            conditions: Some(self.conditions.to_vec()),
            node_info: Some(NodeSystemInfo {
                boot_id: self.boot_id.to_string(),
                ..NodeSystemInfo::default()
            }),
            ..NodeStatus::default()
        });
        let labels = self.labels();
        let labels = (!labels.is_empty()).then_some(labels);
        Node { metadata: ObjectMeta { labels, ..self.metadata.clone() }, spec, status }
    }
}

fn packed(labels: &Labels) -> Box<str> {
    let mut text = String::with_capacity(labels.iter().map(|(k, v)| k.len() + v.len() + 2).sum());
    for part in labels.iter().flat_map(|(key, value)| [key, value]) {
        text.push_str(part);
        text.push(END);
    }
    text.into()
}

fn all<T: Clone>(items: Option<&[T]>) -> Box<[T]> {
    items.unwrap_or_default().into()
}

/// Selects Nodes as they are kept, by the few labels that matter. To make a Node anew takes longer.
pub struct Selecting<'a> {
    selection: &'a Selection,
    keys: BTreeSet<String>,
}

impl<'a> Selecting<'a> {
    pub fn of(selection: &'a Selection) -> Self {
        Self { selection, keys: selection.keys() }
    }

    pub fn selects(&self, node: &PackedNode, is_reported: bool) -> bool {
        let labels = node.labels_of(|key| self.keys.contains(key));
        self.selection.selects(&labels_for_selecting(&labels, is_reported))
    }
}

resource_as!(PackedNode, Node, ());

/// kube-runtime asks this of every object of a controller, and parses none.
impl<'de> Deserialize<'de> for PackedNode {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Node::deserialize(deserializer).map(|node| Self::of(&node))
    }
}

/// The read side of the store of Nodes.
#[derive(Clone)]
pub struct Nodes(pub Store<PackedNode>);

impl Nodes {
    /// The Node with that name.
    pub fn get(&self, name: &str) -> Option<Node> {
        self.packed(name).map(|node| node.node())
    }

    /// The same, as it is kept.
    pub fn packed(&self, name: &str) -> Option<Arc<PackedNode>> {
        self.0.get(&ObjectRef::new(name))
    }

    /// All Nodes, one after the other.
    pub fn iter(&self) -> impl Iterator<Item = Node> {
        self.0.state().into_iter().map(|node| node.node())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;
    use crate::context::fixture::{self, any_labels, any_selection};
    use crate::watch::guard::Guard;

    /// A Node as the watch trims it.
    fn trimmed(node: Value) -> Node {
        serde_json::from_value::<Guard<Node>>(node).unwrap().0.unwrap()
    }

    #[test]
    fn a_packed_node_is_the_node_that_was_packed() {
        let mut full = fixture::node("n1");
        full["metadata"]["labels"]["empty"] = json!("");
        full["metadata"]["creationTimestamp"] = json!("2026-01-01T00:00:00Z");
        full["metadata"]["deletionTimestamp"] = json!("2026-01-02T00:00:00Z");
        full["spec"] = json!({"taints": [{"key": "a", "effect": "NoExecute", "value": "v",
            "timeAdded": "2026-01-01T00:00:00Z"}, {"key": "b", "effect": "NoSchedule"}]});
        full["status"]["addresses"] = json!([{"type": "InternalIP", "address": "10.0.0.1"}]);
        full["status"]["conditions"] = json!([{"type": lsm_ready_crds::names::NODE_CONDITION,
            "status": "True", "reason": "R", "message": "m"}]);
        let mut without_taints = fixture::node("n2");
        without_taints["spec"] = json!({"podCIDR": "10.0.0.0/24"});
        let bare = json!({"metadata": {"name": "n3"}});
        for node in [full, without_taints, fixture::node("n4"), bare].map(trimmed) {
            assert_eq!(PackedNode::of(&node).node(), node);
        }
    }

    /// What a Node takes beside its texts. docs/performance.md says how much that is.
    #[test]
    fn a_packed_node_is_small() {
        assert!(size_of::<PackedNode>() <= 480, "{}", size_of::<PackedNode>());
    }

    proptest! {
        #[test]
        fn a_packed_node_is_selected_as_the_node_is(
            (labels, selection, is_reported) in (any_labels(), any_selection(), any::<bool>()),
        ) {
            let mut node = trimmed(fixture::node("n"));
            node.metadata.labels = Some(labels.clone());
            let selected = selection.selects(&labels_for_selecting(&labels, is_reported));
            let packed = PackedNode::of(&node);
            prop_assert_eq!(Selecting::of(&selection).selects(&packed, is_reported), selected);
        }
    }
}

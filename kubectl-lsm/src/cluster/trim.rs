//! Drops what no command uses. A whole Node has about 15 KB, and most of it are names of images.

use k8s_openapi::api::core::v1::{Node, NodeSpec, NodeStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use lsm_ready_crds::names::NODE_CONDITION;

/// The Node with name, labels, taints, its system's description, and our condition.
pub fn node(node: Node) -> Node {
    let status = node.status.unwrap_or_default();
    let ours = status.conditions.map(|conditions| {
        conditions.into_iter().filter(|condition| condition.type_ == NODE_CONDITION).collect()
    });
    Node {
        metadata: ObjectMeta {
            name: node.metadata.name,
            labels: node.metadata.labels,
            ..ObjectMeta::default()
        },
        spec: node.spec.map(|spec| NodeSpec { taints: spec.taints, ..NodeSpec::default() }),
        status: Some(NodeStatus {
            conditions: ours,
            node_info: status.node_info,
            ..NodeStatus::default()
        }),
    }
}

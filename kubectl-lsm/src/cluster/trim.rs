//! Drops what no command uses, page by page. A whole Node has about 15 KB, and most of it are names
//! of images.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    Node, NodeCondition, NodeSpec, NodeStatus, NodeSystemInfo, Taint,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::ResourceExt;
use lsm_ready_crds::names::NODE_CONDITION;
use serde::Deserialize;

/// What is parsed of a Node: name, labels, taints, its system's description, and conditions. The
/// parser skips everything else.
#[derive(Deserialize)]
pub struct ParsedNode {
    metadata: ParsedMeta,
    spec: Option<ParsedSpec>,
    status: Option<ParsedStatus>,
}

#[derive(Deserialize)]
struct ParsedMeta {
    name: Option<String>,
    labels: Option<BTreeMap<String, String>>,
}

#[derive(Deserialize)]
struct ParsedSpec {
    taints: Option<Vec<Taint>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ParsedStatus {
    conditions: Option<Vec<NodeCondition>>,
    node_info: Option<NodeSystemInfo>,
}

/// The Node with what was parsed, and of its conditions only ours.
pub fn node(parsed: ParsedNode) -> Node {
    let ParsedMeta { name, labels } = parsed.metadata;
    let ParsedStatus { conditions, node_info } = parsed.status.unwrap_or_default();
    let ours = conditions.map(|conditions| {
        conditions.into_iter().filter(|condition| condition.type_ == NODE_CONDITION).collect()
    });
    Node {
        metadata: ObjectMeta { name, labels, ..ObjectMeta::default() },
        spec: parsed.spec.map(|spec| NodeSpec { taints: spec.taints, ..NodeSpec::default() }),
        status: Some(NodeStatus { conditions: ours, node_info, ..NodeStatus::default() }),
    }
}

/// The object without its field managers, which are half of a report.
pub fn managers<K: ResourceExt>(mut object: K) -> K {
    object.managed_fields_mut().clear();
    object.managed_fields_mut().shrink_to_fit();
    object
}

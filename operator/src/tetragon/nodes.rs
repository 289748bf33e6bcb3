//! What is known about the nodes on which a DaemonSet runs an agent.
//!
//! In: the DaemonSet, the Nodes and their reports. Out: the nodes whose kernels have no securityfs,
//! and the nodes where AppArmor is active. Needs no client.
//!
//! Where a kernel has no securityfs, the kubelet finds no directory to mount and never starts an
//! agent with the mount. Where AppArmor is active, runtimes apply their default profile to every
//! container that is not privileged and does not decline it. Under that profile an agent can
//! neither start, nor mount, nor read securityfs through a mount.

use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::{Node, PodSpec, Taint, Toleration};
use kube::ResourceExt;
use lsm_ready_crds::first_n;
use lsm_ready_tetragon::audit::AppArmorNodes;
use lsm_ready_tetragon::plan::pod;

use crate::agents::node_affinity::matches_node;
use crate::watch::store::{Stores, boot_id, lacks_securityfs};

/// The DaemonSet controller adds tolerations for the taints with this prefix.
const TOLERATED_PREFIX: &str = "node.kubernetes.io/";

/// What is known about the nodes of one DaemonSet's agents.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct NodeFacts {
    /// Names of the nodes whose kernels have no securityfs, in order.
    pub without_securityfs: Vec<String>,
    /// The nodes where AppArmor is active.
    pub app_armor: AppArmorNodes,
    /// AppArmor is active on every node that reports.
    pub app_armor_everywhere: bool,
}

impl NodeFacts {
    /// Reads the reports of the DaemonSet's nodes.
    pub fn of(daemon_set: &DaemonSet, stores: &Stores) -> Self {
        let Some(pod) = pod(daemon_set) else {
            return Self::default();
        };
        Self { without_securityfs: without_securityfs(pod, stores), ..app_armor(pod, stores) }
    }
}

/// The names of the nodes whose kernels have no securityfs, in order. A report of an earlier boot
/// counts: the next one comes as soon as the probe has started, and until then a mount would keep
/// the agent from starting.
fn without_securityfs(pod: &PodSpec, stores: &Stores) -> Vec<String> {
    let reports = stores.reports.state_filter(lacks_securityfs);
    let nodes = reports.iter().filter_map(|report| stores.nodes.get(&report.name_any()));
    let mut names: Vec<String> =
        nodes.filter(|node| runs_on(pod, node)).map(|node| node.name_any()).collect();
    names.sort();
    names
}

/// Where AppArmor is active. Only reports of the present boot count.
fn app_armor(pod: &PodSpec, stores: &Stores) -> NodeFacts {
    let (mut reporting, mut count, mut sample) = (0, 0, Vec::new());
    for node in stores.nodes.iter().filter(|node| runs_on(pod, node)) {
        let record = stores.record(&node);
        let report = record.facts().report.filter(|report| report.boot_id == boot_id(&node));
        let Some(report) = report else { continue };
        reporting += 1;
        if report.lsms.active.iter().any(|lsm| lsm == "apparmor") {
            count += 1;
            first_n::insert(&mut sample, node.name_any(), |a, b| a < b);
        }
    }
    if reporting == 0 {
        return NodeFacts::default();
    }
    NodeFacts {
        app_armor: AppArmorNodes::Known { count, sample },
        app_armor_everywhere: count == reporting,
        ..NodeFacts::default()
    }
}

/// Whether the DaemonSet runs an agent on that Node.
fn runs_on(pod: &PodSpec, node: &Node) -> bool {
    let taints = node.spec.iter().flat_map(|spec| spec.taints.iter().flatten());
    let mut repelling = taints.filter(|taint| {
        taint.effect != "PreferNoSchedule" && !taint.key.starts_with(TOLERATED_PREFIX)
    });
    matches_node(pod, &node.name_any(), node.labels())
        && repelling.all(|taint| is_tolerated(pod, taint))
}

fn is_tolerated(pod: &PodSpec, taint: &Taint) -> bool {
    pod.tolerations.iter().flatten().any(|toleration| tolerates(toleration, taint))
}

/// Follows the scheduler: an empty key with the operator Exists matches all keys, an empty effect
/// all effects.
fn tolerates(toleration: &Toleration, taint: &Taint) -> bool {
    let key = toleration.key.as_deref().unwrap_or_default();
    let effect = toleration.effect.as_deref().unwrap_or_default();
    let exists = toleration.operator.as_deref() == Some("Exists");
    let same_value = toleration.value.as_deref().unwrap_or_default()
        == taint.value.as_deref().unwrap_or_default();
    (effect.is_empty() || effect == taint.effect)
        && (key == taint.key || key.is_empty() && exists)
        && (exists || same_value)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn on(pod: &Value, taints: &Value) -> bool {
        let mut pod = pod.clone();
        pod["containers"] = json!([]);
        let metadata = json!({"name": "n1", "labels": {"os": "linux"}});
        let node = json!({"metadata": metadata, "spec": {"taints": taints}});
        runs_on(&serde_json::from_value(pod).unwrap(), &serde_json::from_value(node).unwrap())
    }

    #[test]
    fn selector_and_taints_decide_where_an_agent_runs() {
        let gpu = json!([{"key": "gpu", "value": "a", "effect": "NoSchedule"}]);
        let tolerating = |toleration: &Value| json!({"tolerations": [toleration]});
        for (pod, taints, expected) in [
            (json!({}), json!([]), true),
            (json!({"nodeSelector": {"os": "linux"}}), json!([]), true),
            (json!({"nodeSelector": {"os": "windows"}}), json!([]), false),
            (json!({}), gpu.clone(), false),
            (json!({}), json!([{"key": "gpu", "effect": "PreferNoSchedule"}]), true),
            (
                json!({}),
                json!([{"key": "node.kubernetes.io/unreachable", "effect": "NoExecute"}]),
                true,
            ),
            (tolerating(&json!({"operator": "Exists"})), gpu.clone(), true),
            (
                tolerating(&json!({"key": "gpu", "operator": "Exists", "effect": "NoSchedule"})),
                gpu.clone(),
                true,
            ),
            (
                tolerating(&json!({"key": "gpu", "operator": "Exists", "effect": "NoExecute"})),
                gpu.clone(),
                false,
            ),
            (tolerating(&json!({"key": "gpu", "value": "a"})), gpu.clone(), true),
            (tolerating(&json!({"key": "gpu", "value": "b"})), gpu.clone(), false),
            (tolerating(&json!({"key": "other", "operator": "Exists"})), gpu, false),
        ] {
            assert_eq!(on(&pod, &taints), expected, "{pod} {taints}");
        }
    }
}

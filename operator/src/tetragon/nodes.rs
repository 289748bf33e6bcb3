//! On which nodes of a DaemonSet an agent with the mount cannot start.
//!
//! In: the DaemonSet, the Nodes and their reports. Out: the names of the nodes whose kernels have no securityfs. There the
//! kubelet finds no directory to mount and never starts the pod.

use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::{Node, PodSpec, Taint, Toleration};
use kube::ResourceExt;
use kube_runtime::reflector::ObjectRef;
use lsm_ready_crds::LsmNode;
use lsm_ready_crds::node::Securityfs;
use lsm_ready_tetragon::plan::pod;

use crate::agents::node_affinity::matches_node;
use crate::watch::store::Stores;

/// The DaemonSet controller adds tolerations for the taints of this prefix.
const OF_KUBERNETES: &str = "node.kubernetes.io/";

/// The report says that the kernel has no securityfs.
pub fn lacks_securityfs(report: &LsmNode) -> bool {
    report.status.as_ref().is_some_and(|status| status.securityfs == Securityfs::NotInKernel)
}

/// The names, in order. A report of an earlier boot counts: the next one comes as soon as the probe has started, and until
/// then a mount too many would keep the agent from starting.
pub fn without_securityfs(daemon_set: &DaemonSet, stores: &Stores) -> Vec<String> {
    let Some(pod) = pod(daemon_set) else {
        return Vec::new();
    };
    let reports = stores.reports.state_filter(lacks_securityfs);
    let nodes =
        reports.iter().filter_map(|report| stores.nodes.get(&ObjectRef::new(&report.name_any())));
    let mut names: Vec<String> =
        nodes.filter(|node| runs_on(pod, node)).map(|node| node.name_any()).collect();
    names.sort();
    names
}

/// Whether the DaemonSet has an agent on that Node.
fn runs_on(pod: &PodSpec, node: &Node) -> bool {
    let taints = node.spec.iter().flat_map(|spec| spec.taints.iter().flatten());
    let mut keeping_away = taints.filter(|taint| {
        taint.effect != "PreferNoSchedule" && !taint.key.starts_with(OF_KUBERNETES)
    });
    matches_node(pod, &node.name_any(), node.labels())
        && keeping_away.all(|taint| is_tolerated(pod, taint))
}

fn is_tolerated(pod: &PodSpec, taint: &Taint) -> bool {
    pod.tolerations.iter().flatten().any(|toleration| tolerates(toleration, taint))
}

/// As the scheduler sees it: an empty key with the operator Exists stands for all keys, an empty effect for all effects.
fn tolerates(toleration: &Toleration, taint: &Taint) -> bool {
    let is =
        |own: Option<&str>, taints: &str| own.is_none_or(|own| own.is_empty() || own == taints);
    let exists = toleration.operator.as_deref() == Some("Exists");
    let key = toleration.key.as_deref().unwrap_or_default();
    let value = || {
        toleration.value.as_deref().unwrap_or_default()
            == taint.value.as_deref().unwrap_or_default()
    };
    is(toleration.effect.as_deref(), &taint.effect)
        && (key == taint.key || key.is_empty() && exists)
        && (exists || value())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn on(pod: &Value, taints: &Value) -> bool {
        let mut pod = pod.clone();
        pod["containers"] = json!([]);
        let node = json!({"metadata": {"name": "n1", "labels": {"os": "linux"}}, "spec": {"taints": taints}});
        runs_on(&serde_json::from_value(pod).unwrap(), &serde_json::from_value(node).unwrap())
    }

    #[test]
    fn only_nodes_with_an_agent_count() {
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

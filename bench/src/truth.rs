//! Whether everything is right: each Node's labels, taint and condition, each policy's status.
//!
//! The objects are read from the API server in pages. What is wrong is said with one example.

use http::Request;
use k8s_openapi::api::core::v1::Node;
use kube::Client;
use kube::core::ObjectList;
use lsm_ready_crds::names::{NODE_CONDITION, TAINT_KEYS};
use lsm_ready_crds::{LsmPolicy, LsmPolicyStatus};

use crate::Failure;
use crate::fleet::policies::Policy;
use crate::fleet::{self, Fleet, Proof, objects};

/// What is wrong. None where everything is right.
pub async fn wrong(
    client: &Client,
    fleet: &Fleet,
    proof: Proof,
) -> Result<Option<String>, Failure> {
    let (mut next, mut count) = (String::new(), 0);
    loop {
        let path = format!("/api/v1/nodes?limit=500&continue={next}");
        let page: ObjectList<Node> = client.request(Request::get(path).body(Vec::new())?).await?;
        count += page.items.len();
        let wrong = page.items.iter().find_map(|node| wrong_node(node, fleet, proof));
        if wrong.is_some() {
            return Ok(wrong);
        }
        next = page.metadata.continue_.unwrap_or_default();
        if next.is_empty() {
            break;
        }
    }
    if count != fleet.nodes {
        return Ok(Some(format!("there are {count} nodes instead of {}", fleet.nodes)));
    }
    wrong_policies(client, fleet, proof).await
}

/// What is wrong with a policy's status.
pub async fn wrong_policies(
    client: &Client,
    fleet: &Fleet,
    proof: Proof,
) -> Result<Option<String>, Failure> {
    let path = "/apis/lsmready.io/v1alpha1/lsmpolicies";
    let policies: ObjectList<LsmPolicy> =
        client.request(Request::get(path).body(Vec::new())?).await?;
    let wrong = fleet.policies.iter().find_map(|policy| {
        let found =
            policies.items.iter().find(|found| found.metadata.name.as_ref() == Some(&policy.name));
        let status = found.and_then(|found| found.status.as_ref());
        let is_right = status.is_some_and(|status| {
            is_status_right(status, policy, fleet.nodes, proof)
                && status.observed_generation == found.and_then(|found| found.metadata.generation)
        });
        (!is_right)
            .then(|| format!("policy {}: {:?}", policy.name, status.map(|status| &status.nodes)))
    });
    Ok(wrong)
}

fn is_status_right(status: &LsmPolicyStatus, policy: &Policy, nodes: usize, proof: Proof) -> bool {
    let selected = (0..nodes).filter(|node| policy.selects(*node)).count();
    let selected = i64::try_from(selected).unwrap_or(i64::MAX);
    let (ready, not_ready, condition) = match proof {
        Proof::Denied => (selected, 0, if selected == 0 { "False" } else { "True" }),
        Proof::NotDenied => (0, selected, "False"),
    };
    let nodes = &status.nodes;
    let shown = status.conditions.iter().find(|shown| shown.type_ == "NodesReady");
    (nodes.selected, nodes.ready, nodes.not_ready, nodes.unknown) == (selected, ready, not_ready, 0)
        && shown.is_some_and(|shown| shown.status == condition)
        && status.spec_change.is_none()
}

fn wrong_node(node: &Node, fleet: &Fleet, proof: Proof) -> Option<String> {
    let name = node.metadata.name.clone().unwrap_or_default();
    let number = fleet::number(&name)?;
    let labels = fleet::ours(node.metadata.labels.as_ref()?);
    if labels != fleet.labels(number, proof) {
        return Some(format!("{name}: labels {labels:?}"));
    }
    let taints = node.spec.iter().flat_map(|spec| spec.taints.iter().flatten());
    let is_tainted = taints.filter(|taint| TAINT_KEYS.contains(&taint.key.as_str())).count() == 1;
    if is_tainted != fleet.is_tainted(number, proof) {
        return Some(format!("{name}: tainted {is_tainted}"));
    }
    let conditions = node.status.iter().flat_map(|status| status.conditions.iter().flatten());
    let mut ours = conditions.filter(|condition| condition.type_ == NODE_CONDITION);
    let Some(ours) = ours.next() else {
        return Some(format!("{name}: no condition"));
    };
    let status = if proof == Proof::Denied { "True" } else { "False" };
    let message = ours.message.as_deref().unwrap_or_default();
    let is_right = ours.status == status && message.contains(&objects::boot_id(number));
    (!is_right).then(|| format!("{name}: condition {} {message}", ours.status))
}

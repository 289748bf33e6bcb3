//! On which of a DaemonSet's nodes AppArmor is active, and what that means for its agents.
//!
//! In: the DaemonSet, the Nodes and their reports. Out: the nodes, and the plan where a mount could help no agent. Runtimes
//! apply their default profile to every container that is not privileged and does not decline it. Under that profile an agent
//! can neither start, nor mount, nor read securityfs through a mount.

use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::Container;
use kube::ResourceExt;
use lsm_ready_crds::first_n;
use lsm_ready_tetragon::agent::agent;
use lsm_ready_tetragon::audit::AppArmorNodes;
use lsm_ready_tetragon::plan::{Plan, pod};
use lsm_ready_tetragon::privilege::is_confined_by_default;
use lsm_ready_tetragon::refusal::Refusal;

use crate::agents::node_affinity::matches_node;
use crate::watch::store::{Stores, boot_id};

/// Where AppArmor is active.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct AppArmorOn {
    /// The nodes.
    pub nodes: AppArmorNodes,
    /// It is active on every node that reports.
    pub everywhere: bool,
}

/// Where AppArmor is active, among the nodes on which that DaemonSet has an agent. Only reports of the present boot count.
pub fn app_armor(daemon_set: &DaemonSet, stores: &Stores) -> AppArmorOn {
    let Some(pod) = pod(daemon_set) else {
        return AppArmorOn::default();
    };
    let (mut reporting, mut active, mut first) = (0, 0, Vec::new());
    for node in stores
        .nodes
        .state()
        .iter()
        .filter(|node| matches_node(pod, &node.name_any(), node.labels()))
    {
        let record = stores.record(node);
        let report = record.facts().report.filter(|report| report.boot_id == boot_id(node));
        let Some(report) = report else { continue };
        reporting += 1;
        if report.lsms.active.iter().any(|lsm| lsm == "apparmor") {
            active += 1;
            first_n::insert(&mut first, node.name_any(), |a, b| a < b);
        }
    }
    if reporting == 0 {
        return AppArmorOn::default();
    }
    AppArmorOn {
        nodes: AppArmorNodes::Known { count: active, sample: first },
        everywhere: active == reporting,
    }
}

/// What keeps the agent from securityfs on some nodes, in words.
pub fn confined(daemon_set: &DaemonSet, wanted: &str, on: &AppArmorOn) -> Option<String> {
    confined_container(daemon_set, wanted)?;
    on.nodes.words()
}

/// The plan; where every agent is confined, a refusal in place of a mount that would replace them for nothing.
pub fn unless_confined(plan: Plan, daemon_set: &DaemonSet, wanted: &str, on: &AppArmorOn) -> Plan {
    if !on.everywhere || !matches!(plan, Plan::Patch { .. } | Plan::Suggest { .. }) {
        return plan;
    }
    match (confined_container(daemon_set, wanted), on.nodes.words()) {
        (Some(container), Some(nodes)) => {
            Plan::Refused(Refusal::AppArmorActive { container: container.name.clone(), nodes })
        }
        _ => plan,
    }
}

fn confined_container<'a>(daemon_set: &'a DaemonSet, wanted: &str) -> Option<&'a Container> {
    let (template, pod) = (&daemon_set.spec.as_ref()?.template, pod(daemon_set)?);
    agent(pod, wanted).ok().filter(|container| is_confined_by_default(template, pod, container))
}

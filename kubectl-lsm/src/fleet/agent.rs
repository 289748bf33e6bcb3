//! The rows of Tetragon's DaemonSets. Pure.

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::DaemonSet;
use kube::ResourceExt;
use lsm_ready_crds::LsmPolicy;
use lsm_ready_crds::conditions::{
    SECURITYFS_MOUNTED, TETRAGON_HARDENED, TETRAGON_ROLLED_OUT, TRACING_POLICIES_ENFORCED,
};
use lsm_ready_crds::policy::DaemonSetRef;
use lsm_ready_tetragon::agent;
use lsm_ready_tetragon::plan::{labelled, pod};

use super::{AgentRow, ConditionRow, policy, printed};

/// The conditions of a policy that are about its DaemonSet.
const CONDITIONS: [&str; 4] =
    [SECURITYFS_MOUNTED, TETRAGON_ROLLED_OUT, TETRAGON_HARDENED, TRACING_POLICIES_ENFORCED];

/// Namespace and name.
type Key = (String, String);

/// The rows, by namespace and name: the DaemonSets that exist, and those that a policy names.
pub fn rows(daemon_sets: &[DaemonSet], policies: &[LsmPolicy]) -> Vec<AgentRow> {
    let mut rows: BTreeMap<Key, AgentRow> = daemon_sets
        .iter()
        .map(|found| ((found.namespace().unwrap_or_default(), found.name_any()), found))
        .map(|(key, found)| (key, row(found, &container(found, policies))))
        .collect();
    for of in policies {
        let Some(tetragon) = &of.spec.tetragon else {
            continue;
        };
        let wanted = &tetragon.daemon_set;
        let key = (wanted.namespace.clone(), wanted.name.clone());
        let row = rows.entry(key).or_insert_with(|| missing(wanted));
        row.policies.push(printed(&of.name_any()));
        let status = of.status.iter().flat_map(|status| &status.conditions);
        for condition in status.filter(|found| CONDITIONS.contains(&found.type_.as_str())) {
            add(&mut row.conditions, policy::condition(condition));
        }
    }
    rows.into_values().collect()
}

/// The container's name in a policy that names the DaemonSet.
fn container(daemon_set: &DaemonSet, policies: &[LsmPolicy]) -> String {
    let mut named = policies.iter().filter_map(|policy| {
        let wanted = &policy.spec.tetragon.as_ref()?.daemon_set;
        let is_this = daemon_set.namespace().as_ref() == Some(&wanted.namespace)
            && daemon_set.name_any() == wanted.name;
        is_this.then(|| wanted.container.clone())
    });
    named.next().unwrap_or_else(agent::default_name)
}

fn row(daemon_set: &DaemonSet, container: &str) -> AgentRow {
    let status = daemon_set.status.as_ref();
    let agent = pod(daemon_set).and_then(|pod| agent::agent(pod, container).ok());
    AgentRow {
        namespace: printed(&daemon_set.namespace().unwrap_or_default()),
        name: printed(&daemon_set.name_any()),
        is_missing: false,
        version: agent::version(daemon_set, container).map(|version| version.to_string()),
        image: agent.and_then(|agent| agent.image.as_deref()).map(printed),
        pods_wanted: status.map_or(0, |status| status.desired_number_scheduled),
        pods_ready: status.map_or(0, |status| status.number_ready),
        pods_updated: status.and_then(|status| status.updated_number_scheduled).unwrap_or(0),
        has_our_mount: labelled(daemon_set),
        policies: Vec::new(),
        conditions: Vec::new(),
    }
}

fn missing(wanted: &DaemonSetRef) -> AgentRow {
    AgentRow {
        namespace: printed(&wanted.namespace),
        name: printed(&wanted.name),
        is_missing: true,
        version: None,
        image: None,
        pods_wanted: 0,
        pods_ready: 0,
        pods_updated: 0,
        has_our_mount: false,
        policies: Vec::new(),
        conditions: Vec::new(),
    }
}

/// Adds a condition. Of two with one type the worse one stays.
fn add(conditions: &mut Vec<ConditionRow>, new: ConditionRow) {
    let rank = |condition: &ConditionRow| match condition.status.as_str() {
        "False" => 0,
        "True" => 2,
        _ => 1,
    };
    match conditions.iter_mut().find(|old| old.type_ == new.type_) {
        Some(old) if rank(&new) < rank(old) => *old = new,
        Some(_) => {}
        None => conditions.push(new),
    }
}

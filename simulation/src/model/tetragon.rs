//! What should become of Tetragon's DaemonSet and its agents.

use serde_json::Value;

use super::{MOUNT_FAILS, VOLUME, boot, proves, text};
use crate::server::Server;
use crate::server::kind::Kind;

/// Annotation by which the owner of a DaemonSet forbids changes.
pub const APPLY: &str = "lsmready.io/apply";

/// Whether a policy lets the operator add the mount.
#[must_use]
pub fn wants_mount(policy: &Value) -> bool {
    allows_mount(policy) && policy["spec"]["tetragon"]["securityfs"]["apply"] != "Suggest"
}

/// Whether a mount that is there may stay.
fn allows_mount(policy: &Value) -> bool {
    policy["spec"].get("tetragon").is_some()
        && policy["spec"]["tetragon"]["securityfs"]["mount"] != "Never"
}

/// Whether a policy has a window. The windows of histories are always closed.
#[must_use]
pub fn has_window(policy: &Value) -> bool {
    !policy["spec"]["tetragon"]["window"].is_null()
}

/// Whether the owner of the DaemonSet forbids changes.
#[must_use]
pub fn is_held(daemon_set: &Value) -> bool {
    !daemon_set["metadata"]["annotations"][APPLY].is_null()
}

/// Whether agents of that DaemonSet may be restarted.
fn may_restart(server: &Server, daemon_set: &Value) -> bool {
    !is_held(daemon_set) && !server.all(Kind::Policy).any(|(_, policy)| has_window(policy))
}

/// Whether our mount is in the pod template.
#[must_use]
pub fn has_mount(daemon_set: &Value) -> bool {
    let volumes = daemon_set["spec"]["template"]["spec"]["volumes"].as_array();
    volumes.into_iter().flatten().any(|volume| volume["name"] == VOLUME)
}

/// Whether the mount of a DaemonSet differs from what should be.
pub(super) fn mount_difference(server: &Server, name: &str, daemon_set: &Value) -> Option<String> {
    if !may_restart(server, daemon_set) {
        return None;
    }
    let wanted = server.all(Kind::Policy).any(|(_, policy)| wants_mount(policy));
    let fails = !daemon_set["metadata"]["annotations"][MOUNT_FAILS].is_null();
    if fails && server.all(Kind::Node).next().is_none() {
        // Where no agent starts, nobody sees that the mount keeps it from starting.
        return None;
    }
    let is = has_mount(daemon_set);
    // A mount that is there stays when an upgrade makes it superfluous, and where the policies that
    // are left only suggest it.
    let is_allowed = server.all(Kind::Policy).any(|(_, policy)| allows_mount(policy));
    let should = !fails && (wanted && needs_mount(daemon_set) || is && is_allowed);
    let label = text(daemon_set, "/metadata/labels/lsmready.io~1securityfs");
    // That a mount was taken back is remembered as long.
    let label_fits = match (should, is_allowed && fails) {
        (true, _) => label == "mounted",
        (false, true) => label != "mounted",
        (false, false) => label.is_empty(),
    };
    (is != should || !label_fits).then(|| {
        format!("DaemonSet {name}: mounted is {is} with label {label:?}, should be {should}")
    })
}

/// Agents that a policy wants to be restarted: each started before its node could deny.
#[must_use]
pub fn stale_agents(server: &Server) -> Vec<String> {
    let is_wanted = server.all(Kind::Policy).any(|(_, policy)| wants_restarts(policy));
    let mut daemon_sets = server.all(Kind::DaemonSet).filter(|_| is_wanted);
    let sees_securityfs = |daemon_set: &Value| {
        let fails = !daemon_set["metadata"]["annotations"][MOUNT_FAILS].is_null();
        !fails
            && may_restart(server, daemon_set)
            && (has_mount(daemon_set) || !needs_mount(daemon_set))
    };
    if !daemon_sets.any(|(_, daemon_set)| sees_securityfs(daemon_set)) {
        return Vec::new();
    }
    let pods = server.all(Kind::Pod).filter(|(key, _)| key.0 == "kube-system");
    let stale = pods.filter(|(_, pod)| {
        let node = text(pod, "/spec/nodeName");
        let boot = server.named(Kind::Node, node).map(|node| boot(node)).unwrap_or_default();
        let report = server.named(Kind::Report, node);
        let is_tried = server.refused_evictions.contains(text(pod, "/metadata/name"));
        !is_tried && report.is_some_and(|report| proves(report, boot) && is_stale(pod, report))
    });
    stale.map(|((_, name), _)| format!("the agent {name} is stale")).collect()
}

/// Whether a policy lets stale agents be restarted.
#[must_use]
pub fn wants_restarts(policy: &Value) -> bool {
    policy["spec"]["tetragon"]["restartStaleAgents"] == true
}

/// Whether an agent started before its node could deny.
#[must_use]
pub fn is_stale(pod: &Value, report: &Value) -> bool {
    let started = text(pod, "/status/containerStatuses/0/state/running/startedAt");
    // Times in this form are in order as texts.
    !started.is_empty() && started < text(report, "/status/deniedSince")
}

/// Tetragon 1.3 needs the mount, 1.4 does not.
fn needs_mount(daemon_set: &Value) -> bool {
    let containers = daemon_set["spec"]["template"]["spec"]["containers"].as_array();
    containers.into_iter().flatten().any(|it| text(it, "/image").ends_with(":v1.3.0"))
}

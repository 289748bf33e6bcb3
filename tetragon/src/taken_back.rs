//! The mark on a DaemonSet whose agents could not be created with our mount.
//!
//! In: the DaemonSet and what is wished. Out: the value of our label after the mount was taken back, and whether that mark
//! still stands. It stands until the pod template or the wish changes, also after a restart of the operator, so that nobody's
//! agents are replaced twice for nothing. Removing the label by hand ends it at once.

use k8s_openapi::api::apps::v1::DaemonSet;
use kube::ResourceExt;
use lsm_ready_crds::names::{DAEMON_SET_LABEL, SECURITYFS_VOLUME};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::plan::MountRequest;

/// What the label's value begins with.
const PREFIX: &str = "taken-back-";
/// Characters of the digest that are kept: a label's value has 63 at most.
const KEPT: usize = 20;

/// The label's value for a mount that is taken back from that DaemonSet.
#[must_use]
pub fn mark(daemon_set: &DaemonSet, wish: &MountRequest) -> String {
    let template =
        daemon_set.spec.as_ref().and_then(|spec| serde_json::to_value(&spec.template).ok());
    let told = json!({
        "container": wish.container,
        "mount": wish.patch,
        "template": template.map(without_ours),
    });
    let digest = format!("{:x}", Sha256::digest(told.to_string()));
    PREFIX.chars().chain(digest.chars().take(KEPT)).collect()
}

/// The DaemonSet carries such a mark.
#[must_use]
pub fn is_marked(daemon_set: &DaemonSet) -> bool {
    label(daemon_set).is_some_and(|value| value.starts_with(PREFIX))
}

/// The mark is of the present pod template and of that wish.
#[must_use]
pub fn stands(daemon_set: &DaemonSet, wish: &MountRequest) -> bool {
    is_marked(daemon_set) && label(daemon_set).is_some_and(|value| *value == mark(daemon_set, wish))
}

fn label(daemon_set: &DaemonSet) -> Option<&String> {
    daemon_set.labels().get(DAEMON_SET_LABEL)
}

/// The pod template as it was before our mount.
fn without_ours(mut template: Value) -> Value {
    let pod = &mut template["spec"];
    if pod.is_object() {
        leave_out(pod, "volumes");
        let containers = pod["containers"].as_array_mut().into_iter().flatten();
        containers.for_each(|container| leave_out(container, "volumeMounts"));
    }
    template
}

/// Takes what has our volume's name out of that list, and an empty list out of the object.
fn leave_out(object: &mut Value, list: &str) {
    let Some(fields) = object.as_object_mut() else {
        return;
    };
    let Some(entries) = fields.get_mut(list).and_then(Value::as_array_mut) else {
        return;
    };
    entries.retain(|entry| entry["name"] != SECURITYFS_VOLUME);
    if entries.is_empty() {
        fields.remove(list);
    }
}

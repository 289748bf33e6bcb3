//! The mark on a DaemonSet whose agents could not be created with our mount.
//!
//! In: the DaemonSet, and what the policies request. Out: the value of our label after the mount
//! was removed, and whether that mark still applies. It applies until the pod template or the
//! request changes, also after a restart of the operator, so that agents are not replaced twice
//! without need. Removing the label by hand ends it at once.

use k8s_openapi::api::apps::v1::DaemonSet;
use kube::ResourceExt;
use lsm_ready_crds::names::{DAEMON_SET_LABEL, SECURITYFS_VOLUME};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::request::MountRequest;

/// What the label's value begins with.
const PREFIX: &str = "taken-back-";
/// Number of the digest's characters in the label. The value of a label has at most 63 characters.
const DIGEST_CHARS: usize = 20;

/// The label's value after our mount was removed from that DaemonSet.
#[must_use]
pub fn mark(daemon_set: &DaemonSet, request: &MountRequest) -> String {
    let template =
        daemon_set.spec.as_ref().and_then(|spec| serde_json::to_value(&spec.template).ok());
    let content = json!({
        "container": request.container,
        "mount": request.patch,
        "template": template.map(without_ours),
    });
    let digest = format!("{:x}", Sha256::digest(content.to_string()));
    PREFIX.chars().chain(digest.chars().take(DIGEST_CHARS)).collect()
}

/// Whether the DaemonSet has such a mark.
#[must_use]
pub fn is_marked(daemon_set: &DaemonSet) -> bool {
    label(daemon_set).is_some_and(|value| value.starts_with(PREFIX))
}

/// Whether the mark was made for the current pod template and that request.
#[must_use]
pub fn stands(daemon_set: &DaemonSet, request: &MountRequest) -> bool {
    is_marked(daemon_set)
        && label(daemon_set).is_some_and(|value| *value == mark(daemon_set, request))
}

fn label(daemon_set: &DaemonSet) -> Option<&String> {
    daemon_set.labels().get(DAEMON_SET_LABEL)
}

/// The pod template without our volume and mount.
fn without_ours(mut template: Value) -> Value {
    let pod = &mut template["spec"];
    if pod.is_object() {
        remove_ours(pod, "volumes");
        let containers = pod["containers"].as_array_mut().into_iter().flatten();
        containers.for_each(|container| remove_ours(container, "volumeMounts"));
    }
    template
}

/// Removes the entries with our volume's name from that list, and then an empty list from the
/// object.
fn remove_ours(object: &mut Value, list: &str) {
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

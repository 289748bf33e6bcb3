//! The objects that are sent: the whole of what lsm-ready owns of a DaemonSet, or nothing, for server-side apply; and a
//! merge patch for the one case that server-side apply cannot express.
//!
//! In: which DaemonSet and which container. Out: JSON. The UID is part of each (but for a manifest
//! that has none yet), so none can create a DaemonSet nor change
//! one that was made anew under the same name: the API server answers 409.

use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry;
use kube::ResourceExt;
use lsm_ready_crds::names::{DAEMON_SET_LABEL, FIELD_MANAGER, SECURITYFS_PATH, SECURITYFS_VOLUME};
use serde_json::{Value, json};

/// Value of our label.
pub const LABEL_VALUE: &str = "mounted";

/// Our label, volume and mount.
#[must_use]
pub fn mount(daemon_set: &DaemonSet, container: &str) -> Value {
    let mut object = nothing(daemon_set);
    object["metadata"]["labels"] = json!({ DAEMON_SET_LABEL: LABEL_VALUE });
    object["spec"] = json!({"template": {"spec": {
        "volumes": [{
            "name": SECURITYFS_VOLUME,
            "hostPath": {"path": SECURITYFS_PATH, "type": "Directory"},
        }],
        "containers": [{
            "name": container,
            "volumeMounts": [{"name": SECURITYFS_VOLUME, "mountPath": SECURITYFS_PATH, "readOnly": true}],
        }],
    }}});
    object
}

/// No field at all: what we owned goes, unless another manager owns it too.
#[must_use]
pub fn nothing(daemon_set: &DaemonSet) -> Value {
    let mut object = json!({
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": {"name": daemon_set.name_any()},
    });
    // A manifest that is in no cluster yet has no UID, and often no namespace.
    for (field, value) in
        [("namespace", daemon_set.namespace()), ("uid", daemon_set.metadata.uid.clone())]
    {
        if let Some(value) = value {
            object["metadata"][field] = json!(value);
        }
    }
    object
}

/// Our label alone, which says that agents could not be created with the mount.
#[must_use]
pub fn taken_back(daemon_set: &DaemonSet, mark: &str) -> Value {
    let mut object = nothing(daemon_set);
    object["metadata"]["labels"] = json!({ DAEMON_SET_LABEL: mark });
    object
}

/// Whether a container mounts another volume where ours was. Mounts are merged by their path, so the owner who writes
/// one there renames ours, and we still own the rest of it: giving back by server-side apply would take `readOnly` out
/// of the owner's mount.
#[must_use]
pub fn is_handed_over(daemon_set: &DaemonSet) -> bool {
    let pod = daemon_set.spec.as_ref().and_then(|spec| spec.template.spec.as_ref());
    let mounts = pod
        .iter()
        .flat_map(|pod| &pod.containers)
        .filter_map(|container| container.volume_mounts.as_ref());
    mounts
        .flatten()
        .any(|mount| mount.mount_path == SECURITYFS_PATH && mount.name != SECURITYFS_VOLUME)
}

/// A strategic merge patch that takes out our label and volume and gives up our fields, whoever uses them now. `live` is
/// the object with its managed fields; its resourceVersion guards them.
#[must_use]
pub fn release(live: &DaemonSet) -> Value {
    let others: Vec<_> = live.managed_fields().iter().filter(|entry| !is_ours(entry)).collect();
    json!({
        "metadata": {
            "uid": live.metadata.uid,
            "resourceVersion": live.metadata.resource_version,
            "labels": { DAEMON_SET_LABEL: null },
            "managedFields": others,
        },
        "spec": {"template": {"spec": {"volumes": [{"$patch": "delete", "name": SECURITYFS_VOLUME}]}}},
    })
}

fn is_ours(entry: &ManagedFieldsEntry) -> bool {
    entry.manager.as_deref() == Some(FIELD_MANAGER) && entry.operation.as_deref() == Some("Apply")
}

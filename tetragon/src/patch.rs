//! The objects that are sent to the API server: for server-side apply, all that lsm-ready owns of a
//! DaemonSet, or nothing; and a merge patch for the one case that server-side apply cannot express.
//!
//! In: the DaemonSet and the container. Out: JSON. Each object has the UID of the DaemonSet (if it
//! has one: a manifest does not), so it cannot create a DaemonSet or change a recreated one: the
//! API server answers 409.

use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry;
use kube::ResourceExt;
use lsm_ready_crds::names::{DAEMON_SET_LABEL, FIELD_MANAGER, SECURITYFS_PATH, SECURITYFS_VOLUME};
use serde_json::{Value, json};

/// The value of our label while our mount is there.
pub const LABEL_VALUE: &str = "mounted";

/// The object with our label, volume and mount.
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
            "volumeMounts": [{"name": SECURITYFS_VOLUME, "mountPath": SECURITYFS_PATH,
                "readOnly": true}],
        }],
    }}});
    object
}

/// The object without fields of ours: the API server removes what only lsm-ready owned.
#[must_use]
pub fn nothing(daemon_set: &DaemonSet) -> Value {
    let mut object = json!({
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": {"name": daemon_set.name_any()},
    });
    // A manifest has no UID, and often no namespace.
    for (field, value) in
        [("namespace", daemon_set.namespace()), ("uid", daemon_set.metadata.uid.clone())]
    {
        if let Some(value) = value {
            object["metadata"][field] = json!(value);
        }
    }
    object
}

/// The object with only our label, which says that agents could not be created with the mount.
#[must_use]
pub fn taken_back(daemon_set: &DaemonSet, mark: &str) -> Value {
    let mut object = nothing(daemon_set);
    object["metadata"]["labels"] = json!({ DAEMON_SET_LABEL: mark });
    object
}

/// Whether a container mounts another volume where ours was. Server-side apply merges mounts by
/// their path, so an owner who adds a mount there renames ours, and we still own its other fields.
/// Removing them by server-side apply would remove `readOnly` from the owner's mount.
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

/// A strategic merge patch that removes our label and volume, and gives up our other fields. `live`
/// is the object with its managed fields. The patch has its resourceVersion as a precondition.
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
        "spec": {"template": {"spec": {"volumes": [{"$patch": "delete",
            "name": SECURITYFS_VOLUME}]}}},
    })
}

fn is_ours(entry: &ManagedFieldsEntry) -> bool {
    entry.manager.as_deref() == Some(FIELD_MANAGER) && entry.operation.as_deref() == Some("Apply")
}

//! The objects that server-side apply sends: the whole of what lsm-ready owns of a DaemonSet, or nothing.
//!
//! In: which DaemonSet and which container. Out: JSON. The UID is part of both, so neither can create a DaemonSet nor
//! change one that was made anew under the same name: the API server answers 409.

use k8s_openapi::api::apps::v1::DaemonSet;
use kube::ResourceExt;
use lsm_ready_crds::names::{DAEMON_SET_LABEL, SECURITYFS_PATH, SECURITYFS_VOLUME};
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
    json!({
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": {
            "name": daemon_set.name_any(),
            "namespace": daemon_set.namespace(),
            "uid": daemon_set.metadata.uid,
        },
    })
}

//! What has to be removed from a DaemonSet. Pure.
//!
//! In: a DaemonSet as it was read, with its managed fields. Out: one strategic merge patch, or
//! None.
//!
//! ## What is ours
//! - Each label that begins with `lsmready.io/`.
//! - The volume `lsm-ready-securityfs`, if it is the host's `/sys/kernel/security`, and its mounts:
//!   where our label or our server-side apply says that we added it, and no other server-side apply
//!   has taken it over.
//! - Our entries in the managed fields. Without this, we would go on owning fields that an owner's
//!   mount at the same path shares with ours.
//!
//! Annotations are never ours: `lsmready.io/apply` was written by the DaemonSet's owner.

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::{Container, PodSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry;
use kube::ResourceExt;
use lsm_ready_crds::names::{DOMAIN_PREFIX, FIELD_MANAGER, SECURITYFS_PATH, SECURITYFS_VOLUME};
use serde_json::{Value, json};

use crate::metadata::{finalizers, preconditions};

/// The patch that removes everything of ours.
pub fn patch(daemon_set: &DaemonSet) -> Option<Value> {
    let labels: BTreeMap<&String, Option<()>> = daemon_set
        .labels()
        .keys()
        .filter(|key| key.starts_with(DOMAIN_PREFIX))
        .map(|key| (key, None))
        .collect();
    let pod = pod(daemon_set).and_then(|pod| pod_patch(daemon_set, pod, !labels.is_empty()));
    let finalizers = finalizers(&daemon_set.metadata);
    let applied = daemon_set.managed_fields().iter().any(is_our_apply);
    if labels.is_empty() && pod.is_none() && finalizers.is_none() && !applied {
        return None;
    }
    let mut patch = json!({ "metadata": preconditions(&daemon_set.metadata) });
    if !labels.is_empty() {
        patch["metadata"]["labels"] = json!(labels);
    }
    if let Some(finalizers) = finalizers {
        patch["metadata"]["finalizers"] = json!(finalizers);
    }
    if applied {
        let others = daemon_set.managed_fields().iter().filter(|entry| !is_our_apply(entry));
        patch["metadata"]["managedFields"] = json!(others.collect::<Vec<_>>());
    }
    if let Some(pod) = pod {
        patch["spec"] = json!({"template": {"spec": pod}});
    }
    Some(patch)
}

fn pod(daemon_set: &DaemonSet) -> Option<&PodSpec> {
    daemon_set.spec.as_ref()?.template.spec.as_ref()
}

/// Removes our volume and its mounts from the pod template.
fn pod_patch(daemon_set: &DaemonSet, pod: &PodSpec, labelled: bool) -> Option<Value> {
    let is_securityfs = pod.volumes.iter().flatten().any(|volume| {
        volume.name == SECURITYFS_VOLUME
            && volume.host_path.as_ref().is_some_and(|host| host.path == SECURITYFS_PATH)
    });
    let fields = daemon_set.managed_fields();
    let added = labelled || fields.iter().any(|entry| is_our_apply(entry) && has_volume(entry));
    let taken_over = fields.iter().any(|entry| !is_our_apply(entry) && has_volume(entry));
    if !is_securityfs || !added || taken_over {
        return None;
    }
    let mut patch = json!({"volumes": [{"name": SECURITYFS_VOLUME, "$patch": "delete"}]});
    for (list, containers) in
        [("containers", Some(&pod.containers)), ("initContainers", pod.init_containers.as_ref())]
    {
        let mounts: Vec<Value> =
            containers.into_iter().flatten().filter_map(container_patch).collect();
        if !mounts.is_empty() {
            patch[list] = json!(mounts);
        }
    }
    Some(patch)
}

fn container_patch(container: &Container) -> Option<Value> {
    let mounts: Vec<Value> = container
        .volume_mounts
        .iter()
        .flatten()
        .filter(|mount| mount.name == SECURITYFS_VOLUME)
        .map(|mount| json!({"mountPath": mount.mount_path, "$patch": "delete"}))
        .collect();
    (!mounts.is_empty()).then(|| json!({"name": container.name, "volumeMounts": mounts}))
}

fn is_our_apply(entry: &ManagedFieldsEntry) -> bool {
    entry.manager.as_deref() == Some(FIELD_MANAGER) && entry.operation.as_deref() == Some("Apply")
}

/// Whether a server-side apply has set our volume.
fn has_volume(entry: &ManagedFieldsEntry) -> bool {
    let key = format!("k:{{\"name\":\"{SECURITYFS_VOLUME}\"}}");
    let volume = entry.fields_v1.as_ref().and_then(|fields| {
        ["f:spec", "f:template", "f:spec", "f:volumes", &key]
            .iter()
            .try_fold(&fields.0, |fields, step| fields.get(*step))
    });
    entry.operation.as_deref() == Some("Apply") && volume.is_some()
}

#[cfg(test)]
mod tests;

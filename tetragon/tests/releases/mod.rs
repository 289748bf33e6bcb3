//! DaemonSets in the shape of Tetragon's charts, and changes of them, for tests.
#![allow(dead_code, reason = "each test binary uses a part of it")]

use k8s_openapi::api::apps::v1::DaemonSet;
use lsm_ready_crds::names::{DAEMON_SET_LABEL, SECURITYFS_VOLUME};
use serde_json::{Value, json};

/// The DaemonSets of the charts, by release.
pub const RELEASES: [(&str, &str); 3] = [
    ("v1.0", include_str!("v1.0.yaml")),
    ("v1.3", include_str!("v1.3.yaml")),
    ("v1.7", include_str!("v1.7.yaml")),
];

/// The DaemonSet of that release.
pub fn release(name: &str) -> Value {
    let (_, yaml) = RELEASES.iter().find(|(release, _)| *release == name).unwrap();
    serde_saphyr::from_str(yaml).unwrap()
}

/// The same object as a typed DaemonSet.
pub fn parsed(object: &Value) -> DaemonSet {
    serde_json::from_value(object.clone()).unwrap()
}

/// The agent's container.
pub fn agent(object: &mut Value) -> &mut Value {
    let containers = object["spec"]["template"]["spec"]["containers"].as_array_mut().unwrap();
    containers.iter_mut().find(|container| container["name"] == "tetragon").unwrap()
}

/// Adds a volume.
pub fn add_volume(object: &mut Value, volume: Value) {
    object["spec"]["template"]["spec"]["volumes"].as_array_mut().unwrap().push(volume);
}

/// Adds a mount to the agent's container.
pub fn add_mount(object: &mut Value, mount: Value) {
    agent(object)["volumeMounts"].as_array_mut().unwrap().push(mount);
}

/// The object after a server-side apply of `patch` by a manager that owned nothing. Items of lists
/// are found by the keys that the API declares, their fields are merged, and new items are
/// appended.
pub fn applied(object: &Value, patch: &Value) -> Value {
    let mut merged = object.clone();
    merge(&mut merged, patch, "");
    merged
}

fn merge(into: &mut Value, patch: &Value, field: &str) {
    let key = match field {
        "volumes" | "containers" => "name",
        "volumeMounts" => "mountPath",
        _ => "",
    };
    match (&mut *into, patch) {
        (Value::Object(into), Value::Object(patch)) => {
            for (field, value) in patch {
                merge(into.entry(field).or_insert(Value::Null), value, field);
            }
        }
        (Value::Array(into), Value::Array(patch)) if !key.is_empty() => {
            for item in patch {
                match into.iter_mut().find(|old| old[key] == item[key]) {
                    Some(old) => merge(old, item, ""),
                    None => into.push(item.clone()),
                }
            }
        }
        _ => *into = patch.clone(),
    }
}

/// The object without lsm-ready's label, volume and mounts.
pub fn without_ours(object: &Value) -> Value {
    let mut object = object.clone();
    if let Some(labels) = object["metadata"]["labels"].as_object_mut() {
        labels.remove(DAEMON_SET_LABEL);
    }
    let pod = &mut object["spec"]["template"]["spec"];
    retain(&mut pod["volumes"]);
    for container in pod["containers"].as_array_mut().unwrap() {
        retain(&mut container["volumeMounts"]);
    }
    object
}

fn retain(list: &mut Value) {
    if let Some(list) = list.as_array_mut() {
        list.retain(|item| item["name"] != SECURITYFS_VOLUME);
    }
}

/// A hostPath volume.
pub fn host_path(name: &str, path: &str, type_: &str) -> Value {
    let mut volume = json!({"name": name, "hostPath": {"path": path}});
    if !type_.is_empty() {
        volume["hostPath"]["type"] = json!(type_);
    }
    volume
}
